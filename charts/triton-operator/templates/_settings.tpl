{{- /* The operator's settings file. Every string is written as JSON, which is YAML and needs no indentation. */ -}}
{{- define "triton-operator.settings" -}}
{{- with .Values.leaderElection -}}
{{- if ge (int .renewSeconds) (int .leaseDurationSeconds) -}}
{{- fail "leaderElection.renewSeconds must be less than leaderElection.leaseDurationSeconds: a leader must give up before another one may take over" -}}
{{- end -}}
{{- if ge (int .retrySeconds) (int .renewSeconds) -}}
{{- fail "leaderElection.retrySeconds must be less than leaderElection.renewSeconds: one failed renewal must leave time for another one" -}}
{{- end -}}
{{- end -}}
tritonImage: {{ include "triton-operator.tritonImage" . | toJson }}
prepareImage: {{ include "triton-operator.operatorImage" . | toJson }}
prepareImagePullPolicy: {{ .Values.image.pullPolicy | toJson }}
{{- $secrets := list }}
{{- range .Values.prepare.imagePullSecrets }}
{{- $secrets = append $secrets .name }}
{{- end }}
prepareImagePullSecrets: {{ $secrets | toJson }}
watch:
  namespaces: {{ .Values.watch.namespaces | toJson }}
  selector: {{ .Values.watch.selector | toJson }}
leaderElection:
  name: {{ include "triton-operator.fullname" . | toJson }}
  namespace: {{ .Release.Namespace | toJson }}
  leaseDurationSeconds: {{ int .Values.leaderElection.leaseDurationSeconds }}
  renewSeconds: {{ int .Values.leaderElection.renewSeconds }}
  retrySeconds: {{ int .Values.leaderElection.retrySeconds }}
log:
  level: {{ .Values.log.level | toJson }}
  format: {{ .Values.log.format | toJson }}
gpu:
  provider: {{ .Values.gpu.provider | toJson }}
  profile: {{ .Values.gpu.profile | toJson }}
prometheus:
  url: {{ .Values.prometheus.url | toJson }}
  caFile: {{ ternary "/etc/prometheus-ca/ca.crt" nil (ne .Values.prometheus.caConfigMap "") | toJson }}
  tokenFile: {{ ternary .Values.prometheus.tokenFile nil (ne .Values.prometheus.tokenFile "") | toJson }}
  headers: {{ .Values.prometheus.headers | toJson }}
  allowQueries: {{ .Values.prometheus.allowQueries }}
podMonitor:
  enabled: {{ .Values.podMonitor.enabled | toJson }}
  intervalSeconds: {{ int .Values.podMonitor.intervalSeconds }}
  labels: {{ .Values.podMonitor.labels | toJson }}
workers: {{ int .Values.workers }}
resyncSeconds: {{ int .Values.resyncSeconds }}
port: 8080
{{- end -}}
