{{/* Environment variables of the operator for observability: nothing, or a YAML list. */}}
{{- define "agentstop.observeEnv" -}}
{{- with .Values.tracing.endpoint }}
- name: OTEL_EXPORTER_OTLP_ENDPOINT
  value: {{ . | quote }}
{{- end }}
{{- end -}}

{{/* What NOTES.txt says of observability; nothing, or lines of text. */}}
{{- define "agentstop.observeNotes" -}}
{{- if and .Values.metrics.enabled .Values.networkPolicy.enabled -}}
Only what networkPolicy.metricsFrom selects reads the metrics{{ if not .Values.networkPolicy.metricsFrom }}: nobody{{ end }}. Add your Prometheus where it is another one.
{{ end -}}
{{- if and (.Capabilities.APIVersions.Has "monitoring.coreos.com/v1") (not .Values.prometheusRule.enabled) -}}
This cluster has the Prometheus operator. To be told when a stop hangs, and when nobody carries stops out:
  --set metrics.serviceMonitor.enabled=true --set prometheusRule.enabled=true
{{- end -}}
{{- end -}}

{{/* Name of a component's Deployment or DaemonSet, which is the job of its metrics too: root, operator, gateway or node. */}}
{{- define "agentstop.componentName" -}}
{{- include (get (dict "operator" "agentstop.fullname" "gateway" "agentstop.gatewayName" "node" "agentstop.nodeName") (index . 1)) (index . 0) -}}
{{- end -}}

{{/* Which components have metrics to be read: a YAML list. */}}
{{- define "agentstop.observed" -}}
- operator
{{- if .Values.gateway.enabled }}
- gateway
{{- end }}
{{- if .Values.node.enabled }}
- node
{{- end }}
{{- end -}}

{{/* metadata of an object for observability: root, its values, whose it is. */}}
{{- define "agentstop.observeMetadata" -}}
{{- $root := index . 0 -}}
{{- $values := index . 1 -}}
name: {{ include "agentstop.componentName" (list $root (index . 2)) }}
namespace: {{ $values.namespace | default $root.Release.Namespace }}
labels:
  {{- merge (include "agentstop.labels" $root | fromYaml) ($values.labels | default dict) | toYaml | nindent 2 }}
{{- with $values.annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end -}}
{{- end -}}

{{/* What a ServiceMonitor and a PodMonitor have in common: root, values of the monitor, component. */}}
{{- define "agentstop.monitorEndpoint" -}}
{{- $root := index . 0 -}}
{{- $values := index . 1 -}}
{{- $component := index . 2 -}}
{{- $scheme := include "agentstop.gatewayScheme" $root -}}
port: {{ ternary $scheme "metrics" (eq $component "gateway") }}
path: /metrics
{{- if and (eq $component "gateway") (eq $scheme "https") }}
scheme: https
tlsConfig:
  # Nothing secret is sent, and the names in the certificate are those that clients use.
  insecureSkipVerify: true
{{- end }}
# The namespace of a task is a label of its own, and must not become exported_namespace.
honorLabels: true
{{- with $values.interval }}
interval: {{ . }}
{{- end }}
{{- with $values.scrapeTimeout }}
scrapeTimeout: {{ . }}
{{- end }}
relabelings:
# The alerts look for this job.
- targetLabel: job
  replacement: {{ include "agentstop.componentName" (list $root $component) }}
{{- with $values.relabelings }}
{{ toYaml . }}
{{- end }}
{{- with $values.metricRelabelings }}
metricRelabelings:
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Which namespace and pods a monitor looks at: root, component. */}}
{{- define "agentstop.monitorSelector" -}}
{{- $root := index . 0 -}}
namespaceSelector:
  matchNames: [{{ $root.Release.Namespace }}]
selector:
  matchLabels:
    {{- include "agentstop.selectorLabels" $root | nindent 4 }}
    app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}
