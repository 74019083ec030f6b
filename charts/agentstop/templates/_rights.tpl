{{/* What NOTES.txt says of rights and admission; nothing, or lines of text. */}}
{{- define "agentstop.rightsNotes" -}}
{{- end -}}
