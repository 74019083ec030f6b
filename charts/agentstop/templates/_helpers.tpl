{{/* Name of the application. */}}
{{- define "agentstop.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* Name of the Deployment, and the beginning of all other names. */}}
{{- define "agentstop.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "agentstop.name" . -}}
{{- ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/*
Name of what lives outside of namespaces. There may be many releases that serve single namespaces, often all of the same
name, so theirs have the release's namespace in them.
*/}}
{{- define "agentstop.clusterFullname" -}}
{{- $name := include "agentstop.fullname" . -}}
{{- ternary (printf "%s-%s" .Release.Namespace $name) $name (not (empty .Values.watchNamespaces)) -}}
{{- end -}}

{{/* Labels that select the operator's pods. */}}
{{- define "agentstop.selectorLabels" -}}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/name: {{ include "agentstop.name" . }}
{{- end -}}

{{/* Labels of everything; commonLabels can't change the chart's own. */}}
{{- define "agentstop.labels" -}}
{{- $own := include "agentstop.selectorLabels" . | fromYaml -}}
{{- $_ := set $own "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-") -}}
{{- $_ := set $own "app.kubernetes.io/version" (.Chart.AppVersion | replace "+" "_" | trunc 63) -}}
{{- $_ := set $own "app.kubernetes.io/managed-by" .Release.Service -}}
{{- merge $own (.Values.commonLabels | default dict) | toYaml -}}
{{- end -}}

{{/* Labels and annotations of a CustomResourceDefinition. */}}
{{- define "agentstop.crdMetadata" -}}
labels:
  {{- include "agentstop.labels" . | nindent 2 }}
{{- $annotations := deepCopy (.Values.crds.annotations | default dict) -}}
{{- if .Values.crds.keep -}}
{{- $_ := set $annotations "helm.sh/resource-policy" "keep" -}}
{{- end -}}
{{- with $annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end -}}
{{- end -}}

{{/* Name of the operator's service account. */}}
{{- define "agentstop.serviceAccountName" -}}
{{- default (ternary (include "agentstop.fullname" .) "default" .Values.serviceAccount.create) .Values.serviceAccount.name -}}
{{- end -}}

{{/* The image; a digest alone needs no tag. A released chart has that of its image, for whoever asks for no other. */}}
{{- define "agentstop.image" -}}
{{- $tag := .Values.image.tag | default (ternary "" .Chart.AppVersion (not (empty .Values.image.digest))) -}}
{{- $released := index (.Chart.Annotations | default dict) "agentstop.dev/image-digest" -}}
{{- $digest := .Values.image.digest | default (ternary $released "" (empty .Values.image.tag)) -}}
{{- .Values.image.repository -}}
{{- with $tag }}:{{ . }}{{ end -}}
{{- with $digest }}@{{ . }}{{ end -}}
{{- end -}}

{{/* What every pod of ours says of the image and of where it may run. */}}
{{- define "agentstop.placement" -}}
securityContext:
  {{- toYaml (.Values.podSecurityContext | default dict) | nindent 2 }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end -}}

{{/* Namespace in which `helm test` runs its task: the release's own, if it is served. */}}
{{- define "agentstop.testNamespace" -}}
{{- $served := .Values.watchNamespaces | default list -}}
{{- ternary .Release.Namespace (first $served) (or (empty $served) (has .Release.Namespace $served)) -}}
{{- end -}}

{{/* What a PodDisruptionBudget says of how many pods may be down; takes the values. */}}
{{- define "agentstop.disruptions" -}}
{{- if not (has (toString .minAvailable) (list "" "<nil>")) -}}
minAvailable: {{ .minAvailable }}
{{- else -}}
maxUnavailable: {{ .maxUnavailable }}
{{- end }}
# A pod that is not ready protects nothing, and must not hold up a drain.
unhealthyPodEvictionPolicy: AlwaysAllow
{{- end -}}
