{{/*
Name of the Lease by which replicas elect the one that acts.
*/}}
{{- define "agentstop.leaseName" -}}
{{- include "agentstop.fullname" . -}}
{{- end -}}

{{/*
The API version in which a kind of policy is to be made, or nothing where it is not wanted or not served.
Takes a list: the root, the setting (auto, always, never), the kind, and the versions that will do, best first.
*/}}
{{- define "agentstop.policyVersion" -}}
{{- $root := index . 0 -}}
{{- $mode := index . 1 -}}
{{- $kind := index . 2 -}}
{{- $found := "" -}}
{{- range (index . 3) -}}
{{- $version := printf "admissionregistration.k8s.io/%s" . -}}
{{- if and (not $found) ($root.Capabilities.APIVersions.Has (printf "%s/%s" $version $kind)) -}}
{{- $found = $version -}}
{{- end -}}
{{- end -}}
{{- if eq $mode "always" -}}
{{- $found | default (printf "admissionregistration.k8s.io/%s" (first (index . 3))) -}}
{{- else if eq $mode "auto" -}}
{{- $found -}}
{{- end -}}
{{- end -}}

{{/* The API version for a ValidatingAdmissionPolicy; takes a list: the root and the setting. */}}
{{- define "agentstop.validatingVersion" -}}
{{- include "agentstop.policyVersion" (list (index . 0) (index . 1) "ValidatingAdmissionPolicy" (list "v1")) -}}
{{- end -}}

{{/* The API version of the policies that fence, or nothing. The operator is to be given --fence then, and only then. */}}
{{- define "agentstop.fenceVersion" -}}
{{- include "agentstop.validatingVersion" (list . .Values.admission.fence) -}}
{{- end -}}

{{/* The API version of the policies that stamp who asked, or nothing: they need one that guards the stamps besides. */}}
{{- define "agentstop.stampVersion" -}}
{{- $mode := .Values.admission.requestedBy -}}
{{- if include "agentstop.validatingVersion" (list . $mode) -}}
{{- include "agentstop.policyVersion" (list . $mode "MutatingAdmissionPolicy" (list "v1" "v1beta1")) -}}
{{- end -}}
{{- end -}}

{{/*
Whether the operator may believe the stamps: not empty only where nobody but the API server can write them.
The operator is to be given --trust-requested-by then, and only then.
*/}}
{{- define "agentstop.trustRequestedBy" -}}
{{- if include "agentstop.stampVersion" . }}true{{ end -}}
{{- end -}}

{{/*
A binding that makes a policy count in the namespaces that are served.
Takes a list: the root, the API version, the policy's kind, its name.
*/}}
{{- define "agentstop.policyBinding" -}}
{{- $root := index . 0 -}}
apiVersion: {{ index . 1 }}
kind: {{ index . 2 }}Binding
metadata:
  name: {{ index . 3 }}
  labels:
    {{- include "agentstop.labels" $root | nindent 4 }}
spec:
  policyName: {{ index . 3 }}
  {{- if eq (index . 2) "ValidatingAdmissionPolicy" }}
  validationActions: [Deny]
  {{- end }}
  {{- with $root.Values.watchNamespaces }}
  matchResources:
    namespaceSelector:
      matchExpressions:
      - key: kubernetes.io/metadata.name
        operator: In
        values:
        {{- toYaml . | nindent 8 }}
  {{- end }}
{{- end -}}

{{/*
CEL: whether the request comes from an operator. Nobody else has the right to write the status of tasks.
*/}}
{{- define "agentstop.celOperator" -}}
authorizer.group('agentstop.dev').resource('agenttasks').subresource('status').namespace(request.?namespace.orValue('')).check('update').allowed()
{{- end -}}

{{/* CEL: whether the request asks for the stop of a task, as against one that was asked to stop before. */}}
{{- define "agentstop.celAsks" -}}
object.?spec.?stopRequested.orValue(false) && (request.operation == 'CREATE' || !oldObject.?spec.?stopRequested.orValue(false))
{{- end -}}

{{/*
CEL: whether what follows is not for the one who asks: the parts of Kubernetes itself, those whom the values name, and whoever may
write the status of tasks, which are the operator and administrators.
*/}}
{{- define "agentstop.celExempt" -}}
request.userInfo.username in {{ .Values.admission.exemptUsers | toJson }}
{{- printf " || " }}request.userInfo.?groups.orValue([]).exists(group, group in {{ .Values.admission.exemptGroups | toJson }})
{{- printf " || " }}{{ include "agentstop.celOperator" . }}
{{- end -}}

{{/* CEL: whether the request writes how a task is to be stopped, which is not stopping yet. */}}
{{- define "agentstop.celWritesStop" -}}
object.?spec.?stop.hasValue() && (request.operation == 'CREATE' || (object.?spec.?stop != oldObject.?spec.?stop && !oldObject.?spec.?stopRequested.orValue(false)))
{{- end -}}

{{/* CEL: with what the user has shown who it is, where the API server says so: a token's id, and its pod's name. */}}
{{- define "agentstop.celCredential" -}}
(request.userInfo.?extra[?'authentication.kubernetes.io/credential-id'][?0].orValue('') + request.userInfo.?extra[?'authentication.kubernetes.io/pod-name'][?0].optMap(pod, ' pod=' + pod).orValue(''))
{{- end -}}

{{/* CEL: the value of an annotation after the request, and before it; empty where there is none. */}}
{{- define "agentstop.celStamp" -}}
object.metadata.?annotations[?'{{ . }}'].orValue('')
{{- end -}}
{{- define "agentstop.celFormerStamp" -}}
(request.operation == 'CREATE' ? '' : oldObject.metadata.?annotations[?'{{ . }}'].orValue(''))
{{- end -}}

{{/* What the operator asks for in the namespaces that it serves. */}}
{{- define "agentstop.operatorRules" }}
# Tasks and orders: their status, the finalizer that holds them until nothing would be lost, and ttlSecondsAfterFinished.
- apiGroups: [agentstop.dev]
  resources: [agenttasks]
  verbs: [get, list, watch, patch, delete]
- apiGroups: [agentstop.dev]
  resources: [agenttasks/status]
  verbs: [update]
# What was counted of tasks, and the owner reference by which it goes with its task.
- apiGroups: [agentstop.dev]
  resources: [taskusages]
  verbs: [get, list, watch, patch]
- apiGroups: [agentstop.dev]
  resources: [stoporders]
  verbs: [get, list, watch, patch, delete]
- apiGroups: [agentstop.dev]
  resources: [stoporders/status]
  verbs: [update]
# Pods: those of tasks, and those of adopted workloads.
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
# Of a task that is silent for too long: whether its pods use a processor.
- apiGroups: [metrics.k8s.io]
  resources: [pods]
  verbs: [get]
# The Leases that tasks are tethered to.
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [get]
# The kinds that can be adopted. A Deployment's pods are found through its ReplicaSets, a claim's through its Sandbox.
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, patch]
{{- if .Values.suspendCronJobs }}
# A CronJob whose Job is stopped: whether it made the Job, and to suspend it.
- apiGroups: [batch]
  resources: [cronjobs]
  verbs: [get, patch]
{{- end }}
- apiGroups: [agents.x-k8s.io]
  resources: [sandboxes]
  verbs: [get, list, watch, patch]
- apiGroups: [extensions.agents.x-k8s.io]
  resources: [sandboxclaims]
  verbs: [get, list, watch]
- apiGroups: [ray.io]
  resources: [rayclusters]
  verbs: [get, list, watch, patch]
- apiGroups: [apps]
  resources: [deployments, statefulsets, replicasets]
  verbs: [get, list, watch]
- apiGroups: [apps]
  resources: [deployments/scale, statefulsets/scale, replicasets/scale]
  verbs: [get, patch]
{{- if .Values.node.enabled }}
# What the nodes are asked for, and their answers. Each goes with its pod or task.
- apiGroups: [agentstop.dev]
  resources: [podcontrols]
  verbs: [get, list, watch, create, patch, delete]
{{- end }}
{{- with .Values.rbac.extraRules }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* What it asks for outside of namespaces. */}}
{{- define "agentstop.clusterRules" }}
# Nodes: to tell a dead node from a slow one.
- apiGroups: [""]
  resources: [nodes]
  verbs: [get]
# To ask for its own rights before a stop is urgent. Kubernetes grants this to every user, unless somebody took it away.
- apiGroups: [authorization.k8s.io]
  resources: [selfsubjectaccessreviews]
  verbs: [create]
# Its own definitions: to say so in the log where they are another version's.
- apiGroups: [apiextensions.k8s.io]
  resources: [customresourcedefinitions]
  resourceNames:
  - agenttasks.agentstop.dev
  - clusterstoporders.agentstop.dev
  - fences.agentstop.dev
  - podcontrols.agentstop.dev
  - stoporders.agentstop.dev
  - taskusages.agentstop.dev
  verbs: [get]
{{- if include "agentstop.fenceVersion" . }}
# The fence: the pods whose tokens may write nothing any more. RBAC cannot limit by name what is made.
- apiGroups: [agentstop.dev]
  resources: [fences]
  verbs: [create]
- apiGroups: [agentstop.dev]
  resources: [fences]
  resourceNames: [{{ include "agentstop.clusterFullname" . }}]
  verbs: [get, patch]
{{- end }}
{{- if not .Values.watchNamespaces }}
# Orders for all namespaces, and the namespaces' labels that they select by.
- apiGroups: [agentstop.dev]
  resources: [clusterstoporders]
  verbs: [get, list, watch, patch, delete]
- apiGroups: [agentstop.dev]
  resources: [clusterstoporders/status]
  verbs: [update]
- apiGroups: [""]
  resources: [namespaces]
  verbs: [list, watch]
{{- end }}
{{- end }}

{{/* What NOTES.txt says of rights and admission; nothing, or lines of text. */}}
{{- define "agentstop.rightsNotes" -}}
{{- if not (include "agentstop.stampVersion" .) }}
Who asked for a stop is not written down: {{ if eq .Values.admission.requestedBy "never" }}admission.requestedBy is never{{ else }}that takes an API server with MutatingAdmissionPolicy{{ end }}.
{{- end }}
{{- end -}}
