{{/* Name of the DaemonSet of the component on each node, and of all else that is its own. */}}
{{- define "agentstop.nodeName" -}}
{{- printf "%s-node" (include "agentstop.fullname" . | trunc 58 | trimSuffix "-") -}}
{{- end -}}

{{/* The same for what lives outside of namespaces. */}}
{{- define "agentstop.nodeClusterName" -}}
{{- /* A linter has no namespace. */ -}}
{{- printf "%s-node" (include "agentstop.clusterFullname" .) | trimPrefix "-" -}}
{{- end -}}

{{/* Name of its service account, which nothing else should have: by it the API server knows who may say what the kernel says. */}}
{{- define "agentstop.nodeAccount" -}}
{{- default (include "agentstop.nodeName" .) .Values.node.serviceAccount.name -}}
{{- end -}}

{{/* Labels that select its pods. */}}
{{- define "agentstop.nodeSelectorLabels" -}}
{{ include "agentstop.selectorLabels" . }}
app.kubernetes.io/component: node
{{- end -}}

{{/* Labels of its objects. */}}
{{- define "agentstop.nodeLabels" -}}
{{ include "agentstop.labels" . }}
app.kubernetes.io/component: node
{{- end -}}

{{/* What it asks for in the namespaces that are served. It has no right to pods at all. */}}
{{- define "agentstop.nodeRules" }}
# What its node is asked for, and the answer, which admission lets it give for its own node alone.
- apiGroups: [agentstop.dev]
  resources: [podcontrols]
  verbs: [list, watch]
- apiGroups: [agentstop.dev]
  resources: [podcontrols/status]
  verbs: [patch]
# Whether a pod is a task's: the task's record says so.
- apiGroups: [agentstop.dev]
  resources: [agenttasks]
  verbs: [get]
{{- end }}

{{/* What NOTES.txt says of it; nothing, or lines of text. */}}
{{- define "agentstop.nodeNotes" -}}
{{- if .Values.node.enabled -}}
The component on each node (DaemonSet {{ include "agentstop.nodeName" . }}) runs as root with the nodes' cgroups mounted. Where pod security standards are
enforced, namespace {{ .Release.Namespace }} needs the label pod-security.kubernetes.io/enforce=privileged.
{{- end -}}
{{- end -}}
