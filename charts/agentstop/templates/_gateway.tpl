{{/* Name of the gateway's Deployment, and the beginning of its other names. */}}
{{- define "agentstop.gatewayName" -}}
{{- printf "%s-gateway" (include "agentstop.fullname" . | trunc 55 | trimSuffix "-") -}}
{{- end -}}

{{/* The same for what lives outside of namespaces, or in those of others. */}}
{{- define "agentstop.gatewayClusterName" -}}
{{- printf "%s-gateway" (include "agentstop.clusterFullname" .) -}}
{{- end -}}

{{/* Name of the gateway's service account. */}}
{{- define "agentstop.gatewayAccount" -}}
{{- $account := .Values.gateway.serviceAccount -}}
{{- default (ternary (include "agentstop.gatewayName" .) "default" $account.create) $account.name -}}
{{- end -}}

{{/* Labels that select the gateway's pods. */}}
{{- define "agentstop.gatewaySelectorLabels" -}}
{{ include "agentstop.selectorLabels" . }}
app.kubernetes.io/component: gateway
{{- end -}}

{{/* Labels of the gateway's objects. */}}
{{- define "agentstop.gatewayLabels" -}}
{{ include "agentstop.labels" . }}
app.kubernetes.io/component: gateway
{{- end -}}

{{/* Name of the gateway's port, which is its protocol too. */}}
{{- define "agentstop.gatewayScheme" -}}
{{- ternary "https" "http" (not (empty .Values.gateway.tls.secretName)) -}}
{{- end -}}

{{/* Name of the ConfigMap with what the meter reads. */}}
{{- define "agentstop.gatewayMeterName" -}}
{{- printf "%s-meter" (include "agentstop.gatewayName" . | trunc 57 | trimSuffix "-") -}}
{{- end -}}

{{/* The meter's file. */}}
{{- define "agentstop.gatewayMeter" -}}
{{- $meter := .Values.gateway.meter -}}
{{- $file := dict "currency" $meter.currency "writeSeconds" $meter.writeSeconds "limits" $meter.limits "trustRequests" $meter.trustRequests -}}
{{- with $meter.keys }}{{ $_ := set $file "keys" . }}{{ end -}}
{{- if $meter.prices.configMapName -}}
{{- $_ := set $file "prices" "/etc/agentstop/prices/prices.json" -}}
{{- else if $meter.prices.models -}}
{{- $_ := set $file "prices" "prices.json" -}}
{{- end -}}
{{- toYaml $file -}}
{{- end -}}

{{/* What the gateway's arguments and volumes are for: YAML of `args`, `volumes` and `volumeMounts`, each a list. */}}
{{- define "agentstop.gatewayFiles" -}}
{{- $args := list -}}
{{- $volumes := list -}}
{{- with .Values.gateway.keys.secretName -}}
{{- $args = append $args "--keys=/etc/agentstop/keys/keys.yaml" -}}
{{- $item := dict "key" $.Values.gateway.keys.secretKey "path" "keys.yaml" -}}
{{- /* A Secret that has to be there would stay mounted after it was deleted, and its keys would count on. */ -}}
{{- $volumes = append $volumes (dict "name" "keys" "secret" (dict "secretName" . "optional" true "items" (list $item))) -}}
{{- end -}}
{{- with .Values.gateway.hooks.secretName -}}
{{- $args = append $args "--hooks=/etc/agentstop/hooks/hooks.yaml" -}}
{{- $item := dict "key" $.Values.gateway.hooks.secretKey "path" "hooks.yaml" -}}
{{- $volumes = append $volumes (dict "name" "hooks" "secret" (dict "secretName" . "optional" true "items" (list $item))) -}}
{{- end -}}
{{- if .Values.gateway.hosts -}}
{{- $args = append $args "--hosts=/etc/agentstop/hosts/hosts.yaml" -}}
{{- $volumes = append $volumes (dict "name" "hosts" "configMap" (dict "name" (include "agentstop.gatewayName" .))) -}}
{{- end -}}
{{- if .Values.gateway.meter.enabled -}}
{{- $args = append $args "--meter=/etc/agentstop/meter/meter.yaml" -}}
{{- $volumes = append $volumes (dict "name" "meter" "configMap" (dict "name" (include "agentstop.gatewayMeterName" .))) -}}
{{- with .Values.gateway.meter.prices.configMapName -}}
{{- $item := dict "key" $.Values.gateway.meter.prices.configMapKey "path" "prices.json" -}}
{{- $volumes = append $volumes (dict "name" "prices" "configMap" (dict "name" . "optional" true "items" (list $item))) -}}
{{- end -}}
{{- end -}}
{{- with .Values.gateway.tls.secretName -}}
{{- $args = concat $args (list "--tls-cert=/etc/agentstop/tls/tls.crt" "--tls-key=/etc/agentstop/tls/tls.key") -}}
{{- $volumes = append $volumes (dict "name" "tls" "secret" (dict "secretName" .)) -}}
{{- end -}}
{{- $mounts := list -}}
{{- range $volumes -}}
{{- $mounts = append $mounts (dict "name" .name "mountPath" (printf "/etc/agentstop/%s" .name) "readOnly" true) -}}
{{- end -}}
{{- dict "args" $args "volumes" $volumes "volumeMounts" $mounts | toYaml -}}
{{- end -}}

{{/* What the gateway asks for in the namespaces that it serves. All else is asked for by its callers. */}}
{{- define "agentstop.gatewayRules" }}
- apiGroups: [agentstop.dev]
  resources: [agenttasks, stoporders{{ if not .Values.watchNamespaces }}, clusterstoporders{{ end }}]
  verbs: [get, list, watch]
{{- end }}

{{/* Where `helm test` and the notes reach the gateway. */}}
{{- define "agentstop.gatewayUrl" -}}
{{- $service := printf "%s.%s.svc:%d" (include "agentstop.gatewayName" .) .Release.Namespace (int .Values.gateway.service.port) -}}
{{- .Values.gateway.url | default (printf "%s://%s" (include "agentstop.gatewayScheme" .) $service) | trimSuffix "/" -}}
{{- end -}}

{{/* What NOTES.txt says of the gateway; nothing, or lines of text. */}}
{{- define "agentstop.gatewayNotes" -}}
{{- if .Values.gateway.enabled -}}
The gateway is at {{ include "agentstop.gatewayUrl" . }}.
{{- if .Values.gateway.keys.secretName }} Make an API key, which is shown this once:

  agentstop gateway key NAME --user USER | tee /dev/stderr | grep -v '^#' | kubectl --namespace {{ .Release.Namespace }} create secret generic {{ .Values.gateway.keys.secretName }} --from-file={{ .Values.gateway.keys.secretKey }}=/dev/stdin

USER must be in gateway.impersonate.users{{ with .Values.gateway.impersonate.users }}, which has {{ join ", " . }}{{ else }}, which has nobody yet{{ end }}.
{{- else }} It takes tokens of the cluster alone: API keys need gateway.keys.secretName.
{{- end }}
{{- if and (not .Values.gateway.tls.secretName) (or (ne .Values.gateway.service.type "ClusterIP") (and .Values.gateway.ingress.enabled (not .Values.gateway.ingress.tls))) }}
Keys and tokens come to it unencrypted from outside of the cluster: see gateway.tls and gateway.ingress.tls.
{{- end }}
{{- end -}}
{{- end -}}
