{{/*
CEL of the bounds. Everything is counted before it is measured: an expression that looks at too much fails, and would refuse what it
must let pass.
*/}}

{{/* How deep managedFields may be. A pod's are 10 deep at most, a task's 13. */}}
{{- define "agentstop.fieldDepth" -}}16{{- end -}}

{{/*
CEL: the bytes of all names in a tree of managedFields, or far too many where it is too deep. CEL has no recursion, so this has one
level in another. Takes a list: the expression of the tree, its level, the level that is too deep.
*/}}
{{- define "agentstop.celFields" -}}
{{- $tree := index . 0 -}}
{{- $level := index . 1 -}}
{{- $deepest := index . 2 -}}
{{- if eq $level $deepest -}}
({{ $tree }}.size() == 0 ? 0 : 1000000000)
{{- else -}}
{{- $below := printf "t%d" (add1 $level) -}}
{{ $tree }}.map(k{{ $level }}, k{{ $level }}.size() + [{{ $tree }}[k{{ $level }}]].map({{ $below }}, {{ include "agentstop.celFields" (list $below (add1 $level | int) $deepest) }}).sum()).sum()
{{- end -}}
{{- end -}}

{{/* CEL: the bytes of labels or annotations. */}}
{{- define "agentstop.celBytes" -}}
{{ . }}.map(key, bytes(key).size() + bytes({{ . }}[key]).size()).sum()
{{- end -}}

{{- define "agentstop.boundsVariables" -}}
{{- $entries := int .Values.admission.bounds.maxEntries -}}
{{- $fields := include "agentstop.celFields" (list "t0" 0 (include "agentstop.fieldDepth" . | int)) -}}
- name: changes
  expression: request.operation == 'UPDATE'
# A stop, or what makes it shorter, goes through; what the API server writes into it comes on top.
- name: stops
  expression: >-
    request.resource.resource == 'agenttasks' && variables.changes && object.?spec.?stopRequested.orValue(false)
    && (!oldObject.?spec.?stopRequested.orValue(false) || object.?spec.?stop != oldObject.?spec.?stop)
- name: meta
  expression: object.metadata
- name: former
  expression: >-
    variables.changes ? dyn(oldObject.metadata) : dyn({})
- name: labels
  expression: dyn(variables.meta.?labels.orValue({}))
- name: annotations
  expression: dyn(variables.meta.?annotations.orValue({}))
- name: formerLabels
  expression: dyn(variables.former.?labels.orValue({}))
- name: formerAnnotations
  expression: dyn(variables.former.?annotations.orValue({}))
- name: entries
  expression: variables.labels.size() + variables.annotations.size()
- name: formerEntries
  expression: variables.formerLabels.size() + variables.formerAnnotations.size()
- name: size
  expression: >-
    variables.entries > {{ add $entries 3 }} ? 0
    : {{ include "agentstop.celBytes" "variables.labels" }} + {{ include "agentstop.celBytes" "variables.annotations" }}
- name: formerSize
  expression: >-
    variables.formerEntries > {{ add $entries 3 }} ? 1000000000
    : {{ include "agentstop.celBytes" "variables.formerLabels" }} + {{ include "agentstop.celBytes" "variables.formerAnnotations" }}
- name: finalizers
  expression: variables.meta.?finalizers.orValue([]).size()
- name: owners
  expression: dyn(variables.meta.?ownerReferences.orValue([]))
- name: formerOwners
  expression: dyn(variables.former.?ownerReferences.orValue([]))
- name: fields
  expression: >-
    dyn(variables.meta.?managedFields.orValue([])).map(entry, entry.?fieldsV1.orValue({})).map(t0, {{ $fields }}).sum()
- name: formerFields
  expression: >-
    dyn(variables.former.?managedFields.orValue([])).map(entry, entry.?fieldsV1.orValue({})).map(t0, {{ $fields }}).sum()
{{- end -}}

{{- define "agentstop.boundsValidations" -}}
{{- $entries := int .Values.admission.bounds.maxEntries -}}
{{- $bytes := int .Values.admission.bounds.maxBytes -}}
- expression: >-
    variables.entries <= {{ $entries }} || variables.entries <= variables.formerEntries + (variables.stops ? 3 : 0)
  message: "an object may have {{ $entries }} labels and annotations at most in this cluster (the chart's admission.bounds.maxEntries): take some off"
  reason: Forbidden
- expression: >-
    variables.size <= {{ $bytes }} || variables.size <= variables.formerSize + (variables.stops ? 4096 : 0)
  message: "labels and annotations may have {{ $bytes }} bytes at most in this cluster (the chart's admission.bounds.maxBytes): take some off, or keep what they say elsewhere"
  reason: Forbidden
- expression: >-
    variables.finalizers <= 16 || (variables.changes && variables.finalizers <= variables.former.?finalizers.orValue([]).size())
  message: "an object may have 16 finalizers at most in this cluster: take some off"
  reason: Forbidden
- expression: >-
    variables.owners == variables.formerOwners || (variables.owners.size() <= 16
    && variables.owners.all(owner, owner.?name.orValue('').size() + owner.?kind.orValue('').size() + owner.?uid.orValue('').size() <= 1024))
  message: "an object may have 16 owners at most in this cluster, with names as Kubernetes has them: take some off"
  reason: Forbidden
- expression: >-
    variables.stops || variables.fields <= {{ $bytes }} || variables.fields <= variables.formerFields
  message: "metadata.managedFields may have {{ $bytes }} bytes and be {{ include "agentstop.fieldDepth" . }} levels deep at most in this cluster: leave them out, the API server writes them; kubectl patch --type=json -p '[{\"op\":\"replace\",\"path\":\"/metadata/managedFields\",\"value\":[{}]}]' clears them"
  reason: Forbidden
{{- end -}}

{{- define "agentstop.podBoundsVariables" -}}
- name: spec
  expression: dyn(object.?spec.orValue({}))
- name: formerSpec
  expression: >-
    variables.changes ? dyn(oldObject.?spec.orValue({})) : dyn({})
{{- end -}}

{{/* What of a running pod's spec can be added to: none of it can be taken off again. */}}
{{- define "agentstop.podBoundsValidations" -}}
{{- $bytes := int .Values.admission.bounds.maxBytes -}}
- expression: >-
    !variables.changes || variables.spec.?tolerations.orValue([]).size() <= 64 || variables.spec.?tolerations == variables.formerSpec.?tolerations
  message: "a pod may have 64 tolerations at most in this cluster: it needs no more, and none can be taken off"
  reason: Forbidden
- expression: >-
    !variables.changes || variables.spec.?containers.orValue([]).all(each, each.?image.orValue('').size() <= 1024)
    || variables.spec.?containers == variables.formerSpec.?containers
  message: "the name of an image may have 1024 characters at most in this cluster: give a shorter one"
  reason: Forbidden
- expression: >-
    !variables.changes || variables.spec.?initContainers.orValue([]).all(each, each.?image.orValue('').size() <= 1024)
    || variables.spec.?initContainers == variables.formerSpec.?initContainers
  message: "the name of an image may have 1024 characters at most in this cluster: give a shorter one"
  reason: Forbidden
- expression: >-
    !variables.changes || variables.spec.?ephemeralContainers == variables.formerSpec.?ephemeralContainers
    || (variables.spec.?ephemeralContainers.orValue([]).size() <= 16
    && variables.spec.?ephemeralContainers.orValue([]).map(each, each.?image.orValue('').size() + each.?workingDir.orValue('').size()
    + each.?volumeMounts.orValue([]).map(one, one.?mountPath.orValue('').size() + one.?subPath.orValue('').size() + one.?subPathExpr.orValue('').size()).sum()
    + each.?command.orValue([]).map(word, word.size()).sum() + each.?args.orValue([]).map(word, word.size()).sum()
    + each.?env.orValue([]).map(one, one.name.size() + one.?value.orValue('').size()).sum()).sum() <= {{ $bytes }})
  message: "a pod may have 16 ephemeral containers at most in this cluster, of {{ $bytes }} bytes in all: none can be taken off again"
  reason: Forbidden
{{- end -}}
