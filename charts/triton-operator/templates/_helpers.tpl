{{- define "triton-operator.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{- /* Names a Service too: no dots, a letter first, and room for a suffix within 63 characters. */ -}}
{{- define "triton-operator.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else -}}
{{- $name := include "triton-operator.name" . -}}
{{- $full := printf "%s-%s" .Release.Name $name -}}
{{- if contains $name .Release.Name -}}
{{- $full = .Release.Name -}}
{{- end -}}
{{- if regexMatch "^[0-9]" $full -}}
{{- $full = printf "release-%s" $full -}}
{{- end -}}
{{- $full | replace "." "-" | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- /* Names what lives outside of the release's namespace, where another release may have the same full name. */ -}}
{{- define "triton-operator.outsideName" -}}
{{- printf "%s.%s" (include "triton-operator.fullname" .) .Release.Namespace -}}
{{- end -}}

{{- define "triton-operator.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "triton-operator.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "triton-operator.selector" -}}
app.kubernetes.io/name: {{ include "triton-operator.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{- define "triton-operator.labels" -}}
{{- $own := include "triton-operator.selector" . | fromYaml -}}
{{- $own = set $own "app.kubernetes.io/component" "operator" -}}
{{- $own = set $own "app.kubernetes.io/managed-by" .Release.Service -}}
{{- $own = set $own "app.kubernetes.io/version" .Chart.AppVersion -}}
{{- $own = set $own "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_") -}}
{{- merge $own .Values.commonLabels | toYaml -}}
{{- end -}}

{{- define "triton-operator.podLabels" -}}
{{- $own := include "triton-operator.selector" . | fromYaml -}}
{{- $own = set $own "app.kubernetes.io/component" "operator" -}}
{{- merge $own .Values.podLabels .Values.commonLabels | toYaml -}}
{{- end -}}

{{- /* Takes a dict of: image, a block of values; registry, the one for all images; tag, for when the image has none. */ -}}
{{- define "triton-operator.image" -}}
{{- $name := .image.repository -}}
{{- $registry := default .image.registry .registry -}}
{{- if $registry -}}
{{- $name = printf "%s/%s" $registry $name -}}
{{- end -}}
{{- if .image.digest -}}
{{- printf "%s@%s" $name .image.digest -}}
{{- else -}}
{{- printf "%s:%s" $name (default .tag .image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "triton-operator.operatorImage" -}}
{{- include "triton-operator.image" (dict "image" .Values.image "registry" .Values.imageRegistry "tag" .Chart.AppVersion) -}}
{{- end -}}

{{- define "triton-operator.tritonImage" -}}
{{- include "triton-operator.image" (dict "image" .Values.triton.image "registry" .Values.imageRegistry "tag" "") -}}
{{- end -}}

{{- /* The job that the operator's metrics have by the ServiceMonitor: no other release has it. */ -}}
{{- define "triton-operator.job" -}}
{{- printf "%s/%s" .Release.Namespace (include "triton-operator.fullname" .) -}}
{{- end -}}
