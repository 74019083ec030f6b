{{/* Environment variables of the operator for observability: nothing, or a YAML list. */}}
{{- define "agentstop.observeEnv" -}}
{{- end -}}

{{/* What NOTES.txt says of observability; nothing, or lines of text. */}}
{{- define "agentstop.observeNotes" -}}
{{- end -}}
