{{/*
What hooks need: a pod that runs `agentstop` with an account of its own, which is there only as long as the hook.

Both take a list: the chart's root, the name of the hook, and what follows.
*/}}

{{/* metadata.annotations of a hook: root, event, weight. */}}
{{- define "agentstop.hookAnnotations" -}}
helm.sh/hook: {{ index . 1 }}
helm.sh/hook-weight: {{ index . 2 | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end -}}

{{/* Name of everything that belongs to a hook: root, hook. */}}
{{- define "agentstop.hookName" -}}
{{- $root := first . -}}
{{- printf "%s-%s" (include "agentstop.fullname" $root | trunc 50 | trimSuffix "-") (index . 1) -}}
{{- end -}}

{{/*
Account and rights of a hook: root, hook, event, namespaces, rules. In each of the namespaces it gets a Role; in all of them
a ClusterRole if there are none.
*/}}
{{- define "agentstop.hookAccount" -}}
{{- $root := index . 0 -}}
{{- $name := include "agentstop.hookName" . -}}
{{- $labels := include "agentstop.labels" $root -}}
{{- $annotations := include "agentstop.hookAnnotations" (list $root (index . 2) "-5") -}}
{{- $rules := index . 4 -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ $name }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- $labels | nindent 4 }}
  annotations:
    {{- $annotations | nindent 4 }}
automountServiceAccountToken: false
{{- range $namespace := index . 3 | default (list "") }}
{{- $kind := ternary "Role" "ClusterRole" (not (empty $namespace)) }}
{{- $named := ternary $name (printf "%s-%s" $root.Release.Namespace $name) (not (empty $namespace)) }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ $kind }}
metadata:
  name: {{ $named }}
  {{- with $namespace }}
  namespace: {{ . }}
  {{- end }}
  labels:
    {{- $labels | nindent 4 }}
  annotations:
    {{- $annotations | nindent 4 }}
rules:
{{ toYaml $rules }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ $kind }}Binding
metadata:
  name: {{ $named }}
  {{- with $namespace }}
  namespace: {{ . }}
  {{- end }}
  labels:
    {{- $labels | nindent 4 }}
  annotations:
    {{- $annotations | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: {{ $kind }}
  name: {{ $named }}
subjects:
- kind: ServiceAccount
  name: {{ $name }}
  namespace: {{ $root.Release.Namespace }}
{{- end }}
{{- end -}}

{{/* spec of a hook's pod: root, hook, arguments, volumes, volume mounts; the last two are lists, and may be left out. */}}
{{- define "agentstop.hookPod" -}}
{{- $root := index . 0 -}}
restartPolicy: Never
serviceAccountName: {{ include "agentstop.hookName" . }}
automountServiceAccountToken: true
enableServiceLinks: false
terminationGracePeriodSeconds: 5
{{ include "agentstop.placement" $root }}
containers:
- name: {{ index . 1 }}
  image: {{ include "agentstop.image" $root | quote }}
  imagePullPolicy: {{ $root.Values.image.pullPolicy }}
  command: [agentstop]
  args:
  {{- range index . 2 }}
  - {{ . | quote }}
  {{- end }}
  {{- with $root.Values.extraEnv }}
  env:
  {{- toYaml . | nindent 2 }}
  {{- end }}
  resources:
    requests:
      cpu: 10m
      memory: 64Mi
    limits:
      memory: 128Mi
  securityContext:
    {{- toYaml ($root.Values.securityContext | default dict) | nindent 4 }}
{{- if gt (len .) 3 }}
{{- with index . 4 }}
  volumeMounts:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with index . 3 }}
volumes:
{{- toYaml . | nindent 0 }}
{{- end }}
{{- end }}
{{- end -}}
