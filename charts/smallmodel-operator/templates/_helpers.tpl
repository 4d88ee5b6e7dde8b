{{- define "smallmodel.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" }}
{{- end }}

{{- define "smallmodel.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else if contains (include "smallmodel.name" .) .Release.Name }}
{{- .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "smallmodel.name" .) | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* Names of what has no namespace: two releases in two namespaces must not meet. */}}
{{- define "smallmodel.clusterName" -}}
{{- printf "%s:%s" .Release.Namespace (include "smallmodel.fullname" .) }}
{{- end }}

{{/* The operator, its policies and the agent in its pods know the gateway by this one name. */}}
{{- define "smallmodel.gatewayName" -}}
smallmodel-gateway
{{- end }}

{{- define "smallmodel.commonLabels" -}}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: smallmodel
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "smallmodel.selectorLabels" -}}
app.kubernetes.io/name: {{ include "smallmodel.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/component: operator
{{- end }}

{{- define "smallmodel.labels" -}}
{{ include "smallmodel.selectorLabels" . }}
{{ include "smallmodel.commonLabels" . }}
{{- end }}

{{- define "smallmodel.gatewaySelectorLabels" -}}
app.kubernetes.io/name: {{ include "smallmodel.gatewayName" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{- define "smallmodel.gatewayLabels" -}}
{{ include "smallmodel.gatewaySelectorLabels" . }}
app.kubernetes.io/component: gateway
{{ include "smallmodel.commonLabels" . }}
{{- end }}

{{/* Models go on being served when the release is gone, and what answers for them stays, too. */}}
{{- define "smallmodel.keep" -}}
{{- if not .Values.uninstall.deleteModels }}
helm.sh/resource-policy: keep
{{- end }}
{{- end }}

{{- define "smallmodel.serviceAccountName" -}}
{{- default (include "smallmodel.fullname" .) .Values.serviceAccount.name }}
{{- end }}

{{/* A name without a slash is an image of the registry, with the common tag; another is taken as it is. */}}
{{- define "smallmodel.image" -}}
{{- $images := .root.Values.images -}}
{{- if contains "/" .name -}}
{{ .name }}
{{- else -}}
{{ $images.registry }}/{{ .name }}:{{ default .root.Chart.AppVersion $images.tag }}
{{- end -}}
{{- end }}

{{- define "smallmodel.operatorImage" -}}
{{ include "smallmodel.image" (dict "root" . "name" .Values.images.operator) }}
{{- end }}

{{- define "smallmodel.gatewayHost" -}}
{{ include "smallmodel.gatewayName" . }}.{{ .Release.Namespace }}.svc
{{- end }}

{{- define "smallmodel.gatewayUrl" -}}
{{- default (printf "http://%s" (include "smallmodel.gatewayHost" .)) .Values.gateway.url | trimSuffix "/" }}
{{- end }}

{{/* Where `helm test` asks: one address for a namespace, or one for each model. */}}
{{- define "smallmodel.testUrl" -}}
{{- if .root.Values.gateway.httpRoute.enabled -}}
{{ include "smallmodel.gatewayUrl" .root }}/{{ .root.Release.Namespace }}/{{ .model }}/v1
{{- else -}}
http://{{ include "smallmodel.gatewayHost" .root }}/{{ .root.Release.Namespace }}/v1
{{- end -}}
{{- end }}

{{- define "smallmodel.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 1000
runAsGroup: 1000
fsGroup: 1000
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "smallmodel.securityContext" -}}
allowPrivilegeEscalation: false
capabilities:
  drop: [ALL]
privileged: false
readOnlyRootFilesystem: true
{{- end }}

{{- define "smallmodel.scheduling" -}}
{{- with .nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- end }}

{{- define "smallmodel.pullSecrets" -}}
{{- with .Values.images.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . | quote }}
  {{- end }}
{{- end }}
{{- end }}

{{/* Rules of a role from files/permissions.yaml. */}}
{{- define "smallmodel.rules" -}}
{{- range . }}
- apiGroups: {{ toJson .groups }}
  resources: {{ toJson .resources }}
  verbs: {{ toJson .verbs }}
  {{- with .names }}
  resourceNames: {{ toJson . }}
  {{- end }}
{{- end }}
{{- end }}

{{/* The variables that smallmodel_operator.settings reads. */}}
{{- define "smallmodel.environment" -}}
{{- $v := .Values -}}
- name: SMALLMODEL_NAMESPACE
  valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
- name: SMALLMODEL_POD_NAME
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
{{- $values := dict
  "LEASE" (include "smallmodel.fullname" .)
  "LOG_LEVEL" $v.operator.logLevel
  "SERVING_CPU_IMAGE" (include "smallmodel.image" (dict "root" . "name" $v.images.servingCpu))
  "IMAGE_PULL_POLICY" $v.images.pullPolicy
  "IMAGE_PULL_SECRETS" (join "," $v.images.pullSecrets)
  "WATCH_NAMESPACES" (join "," $v.watchNamespaces)
  "KUBERAY_NAMESPACE" $v.kuberay.namespace
  "GATEWAY_URL" (include "smallmodel.gatewayUrl" .)
  "GATEWAY_ALLOW_FROM" (join "," $v.gateway.allowFrom)
  "GATEWAY_ADMIT_LOOPBACK" (toString $v.gateway.admitPortForward)
  "GATEWAY_IPV6" (toString $v.gateway.ipv6)
  "GATEWAY_BODY_LIMIT" $v.gateway.bodyLimit
  "WEIGHTS_VOLUME" (toJson $v.weights.volume)
  "WORKERS_MAX" (toString (int $v.pools.workersMax))
  "POOL_MODELS_MAX" (toString (int $v.pools.modelsMax))
  "POOL_UPGRADE_POLICY" $v.pools.upgradePolicy
  "POOL_SURGE_MAX" (toString (int $v.pools.surgeMax))
  "REQUEST_TIMEOUT" $v.pools.requestTimeout
  "FAULT_TOLERANCE" $v.faultTolerance.mode
  "METRICS_NAMESPACES" (join "," $v.networkPolicy.metricsFrom)
  "ACCELERATOR_RESOURCE" $v.accelerators.resource
  "ACCELERATOR_PRODUCT_LABEL" $v.accelerators.productLabel
  "ACCELERATOR_TOLERATIONS" (toJson $v.accelerators.tolerations)
}}
{{- if $v.images.servingGpu }}
{{- $_ := set $values "SERVING_GPU_IMAGE" (include "smallmodel.image" (dict "root" . "name" $v.images.servingGpu)) }}
{{- end }}
{{- if $v.cluster.jurisdiction }}
{{- $_ := set $values "CLUSTER_JURISDICTION" $v.cluster.jurisdiction }}
{{- end }}
{{- if eq $v.role "Hub" }}
{{- $_ := set $values "S3_ENDPOINT" $v.dataSources.s3Endpoint }}
{{- end }}
{{- $placement := dict "currency" $v.placement.currency "tables" $v.placement.tables }}
{{- range $name := list "usdRate" "carbonPricePerTon" "minimumStay" "movesPerMinute" }}
{{- with index $v.placement $name }}
{{- $_ := set $placement $name . }}
{{- end }}
{{- end }}
{{- $_ := set $values "PLACEMENT" (toJson $placement) }}
{{- if $v.weights.fetchEnv }}
{{- $_ := set $values "FETCH_ENV" (toJson $v.weights.fetchEnv) }}
{{- end }}
{{- if $v.clusters.credentialProviders }}
{{- $_ := set $values "CREDENTIAL_PROVIDERS" (toJson $v.clusters.credentialProviders) }}
{{- end }}
{{- if $v.pools.tolerations }}
{{- $_ := set $values "POOL_TOLERATIONS" (toJson $v.pools.tolerations) }}
{{- end }}
{{- if $v.gateway.httpRoute.enabled }}
{{- $route := omit $v.gateway.httpRoute "enabled" "parentRef" | merge (deepCopy $v.gateway.httpRoute.parentRef) }}
{{- if not $route.sectionName }}
{{- $route = omit $route "sectionName" }}
{{- end }}
{{- $_ := set $values "HTTP_ROUTE" (toJson $route) }}
{{- end }}
{{- if eq $v.faultTolerance.mode "Redis" }}
{{- $_ := set $values "REDIS_ADDRESS" (include "smallmodel.redisAddress" .) }}
{{- $_ := set $values "REDIS_SECRET" $v.faultTolerance.passwordSecret }}
{{- end }}
{{- if eq $v.role "Agent" }}
{{- $_ := set $values "AGENT_CLUSTER_NAME" $v.agent.clusterName }}
{{- $_ := set $values "AGENT_HUB_ID" $v.agent.hubID }}
{{- end }}
{{- range $name, $value := $values }}
{{- if $value }}
- name: SMALLMODEL_{{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- end }}
{{- with $v.operator.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "smallmodel.redisName" -}}
{{ include "smallmodel.fullname" . }}-redis
{{- end }}

{{- define "smallmodel.redisAddress" -}}
{{- if .Values.faultTolerance.redis.install -}}
{{ include "smallmodel.redisName" . }}.{{ .Release.Namespace }}.svc:6379
{{- else -}}
{{ .Values.faultTolerance.address }}
{{- end -}}
{{- end }}

{{- define "smallmodel.metricsPeers" -}}
{{- range .Values.networkPolicy.metricsFrom }}
- namespaceSelector:
    matchLabels: {kubernetes.io/metadata.name: {{ . | quote }}}
{{- end }}
{{- end }}

{{/* Name lookup and the API server, whose address a policy cannot know: ports only. */}}
{{- define "smallmodel.egressBasics" -}}
- ports:
    - {port: 53, protocol: UDP}
    - {port: 53, protocol: TCP}
- ports:
    {{- range .Values.networkPolicy.apiServerPorts }}
    - {port: {{ . }}, protocol: TCP}
    {{- end }}
{{- end }}

{{- define "smallmodel.hookLabels" -}}
app.kubernetes.io/name: {{ include "smallmodel.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/component: hook
{{ include "smallmodel.commonLabels" . }}
{{- end }}

{{- define "smallmodel.redisSelectorLabels" -}}
app.kubernetes.io/name: {{ include "smallmodel.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/component: redis
{{- end }}
