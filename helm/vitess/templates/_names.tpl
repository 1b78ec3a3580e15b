{{/* A keyspace or shard as a part of an object's name: -80 is x-80, 80- is 80-x. */}}
{{- define "vitess.dns" -}}
{{- $name := lower (toString .) | replace "_" "-" -}}
{{- if hasPrefix "-" $name }}{{ $name = print "x" $name }}{{ end -}}
{{- if hasSuffix "-" $name }}{{ $name = print $name "x" }}{{ end -}}
{{- $name -}}
{{- end -}}

{{/* (list NAME LONGEST): the name, or an error that says what is wrong with it. */}}
{{- define "vitess.checked" -}}
{{- $name := index . 0 -}}
{{- if gt (len $name) (index . 1) -}}
{{- fail (printf "the name %s has %d characters; Kubernetes allows %d here: shorten the names of cell, keyspace, shard or job" $name (len $name) (index . 1)) -}}
{{- end -}}
{{- if not (regexMatch "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$" $name) -}}
{{- fail (printf "the name %s is none for Kubernetes: letters, digits and '-' only" $name) -}}
{{- end -}}
{{- $name -}}
{{- end -}}

{{/* (list ROOT IMAGE TAG) */}}
{{- define "vitess.image" -}}
{{- $root := index . 0 -}}
{{ $root.Values.images.repository }}/{{ index . 1 }}:{{ default $root.Values.images.tag (index . 2) }}
{{- end -}}

{{- define "vitess.labels" -}}
app: vitess
app.kubernetes.io/name: vitess
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
component: {{ .component }}
{{- with .more }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Labels that selectors use: they never change. */}}
{{- define "vitess.selector" -}}
app: vitess
component: {{ .component }}
{{- with .more }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "vitess.etcdClient" -}}
etcd-{{ include "vitess.dns" . }}-client:2379
{{- end -}}

{{/* Names of all cells, with commas. */}}
{{- define "vitess.cells" -}}
{{- $names := list -}}
{{- range .Values.topology.cells }}{{ $names = append $names .name }}{{ end -}}
{{- join "," $names -}}
{{- end -}}

{{/* The etcd of each cell: <cell>=<address>, with blanks. */}}
{{- define "vitess.cellServers" -}}
{{- $servers := list -}}
{{- range .Values.topology.cells }}{{ $servers = append $servers (printf "%s=%s" .name (include "vitess.etcdClient" .name)) }}{{ end -}}
{{- join " " $servers -}}
{{- end -}}

{{/* Flags as YAML list items. */}}
{{- define "vitess.flags" -}}
{{- range $name, $value := . }}
{{- /* A whole number comes as a float, which would be printed as 2.6e+08. */ -}}
{{- if and (kindIs "float64" $value) (eq (floor $value) $value) }}{{ $value = int64 $value }}{{ end }}
- {{ printf "--%s=%s" ($name | trimPrefix "--") (toString $value) | quote }}
{{- end }}
{{- end -}}

{{- define "vitess.topoFlags" -}}
- --topo_implementation=etcd2
- --topo_global_server_address={{ include "vitess.etcdClient" "global" }}
- --topo_global_root={{ .Values.config.topoRoot }}/global
{{- end -}}

{{/* Refuses what this version does not have, by name. */}}
{{- define "vitess.guard" -}}
{{- with .Values.config.backup -}}
{{- if and .enabled (eq .backup_storage_implementation "s3") (not .s3_backup_storage_bucket) }}{{ fail "config.backup.s3_backup_storage_bucket: the storage s3 needs a bucket, which must be there" }}{{ end -}}
{{- if and .schedule (not .enabled) }}{{ fail "config.backup.schedule: backups are not enabled (config.backup.enabled)" }}{{ end -}}
{{- end -}}
{{- with .Values.pmm -}}
{{- if and .enabled (not .server.enabled) (not .server.address) }}{{ fail "pmm.server.address: where is the PMM server, when this chart runs none (pmm.server.enabled: false)?" }}{{ end -}}
{{- if and .enabled .server.enabled .server.address }}{{ fail "pmm.server.address: this chart runs a PMM server of its own; pmm.server.enabled: false takes another one" }}{{ end -}}
{{- if and .enabled .server.enabled (ne .credentials.username "admin") }}{{ fail "pmm.credentials.username: the PMM server that this chart runs has the user admin" }}{{ end -}}
{{- end -}}
{{- end -}}

{{/* --- parts of pods --- */}}

{{/* (dict root settings cell apart): what a pod has beside its containers. settings.podSecurityContext, where it is, replaces the chart's. */}}
{{- define "vitess.podSettings" -}}
serviceAccountName: vitess
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .root.Values.images.pullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
{{- $security := .root.Values.config.podSecurityContext -}}
{{- if hasKey .settings "podSecurityContext" }}{{ $security = .settings.podSecurityContext }}{{ end }}
{{- with $security }}
securityContext: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .settings.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .settings.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .settings.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- $affinity := dict -}}
{{- if .settings.affinity }}{{ $affinity = deepCopy .settings.affinity }}
{{- else if and (hasKey .settings "affinity") (kindIs "map" .settings.affinity) .apart }}
{{- $term := dict "topologyKey" "kubernetes.io/hostname" "labelSelector" (dict "matchLabels" .apart) -}}
{{- $_ := set $affinity "podAntiAffinity" (dict "preferredDuringSchedulingIgnoredDuringExecution" (list (dict "weight" 100 "podAffinityTerm" $term))) -}}
{{- end -}}
{{- if .cell }}
{{- $where := list -}}
{{- if .cell.region }}{{ $where = append $where (dict "key" "topology.kubernetes.io/region" "operator" "In" "values" (list .cell.region)) }}{{ end -}}
{{- if .cell.zone }}{{ $where = append $where (dict "key" "topology.kubernetes.io/zone" "operator" "In" "values" (list .cell.zone)) }}{{ end -}}
{{- if $where }}
{{- $_ := set $affinity "nodeAffinity" (dict "requiredDuringSchedulingIgnoredDuringExecution" (dict "nodeSelectorTerms" (list (dict "matchExpressions" $where)))) -}}
{{- end }}
{{- end }}
{{- with $affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "vitess.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
{{- end -}}

{{/* Where a server listens, and who the pod is. */}}
{{- define "vitess.env" -}}
- name: POD_NAME
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- name: POD_IP
  valueFrom: {fieldRef: {fieldPath: status.podIP}}
- name: BIND_ADDRESS
  value: {{ .Values.config.bindAddress | quote }}
{{- end -}}

{{/* (dict root port annotations): annotations of a pod. */}}
{{- define "vitess.annotations" -}}
{{- $all := dict -}}
{{- if and .port .root.Values.config.prometheusAnnotations -}}
{{- $all = dict "prometheus.io/scrape" "true" "prometheus.io/port" (toString .port) "prometheus.io/path" "/metrics" -}}
{{- end -}}
{{- $all = merge (dict) (default dict .annotations) (default dict .more) $all -}}
{{- with $all }}
annotations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "vitess.secretMounts" -}}
{{- range . }}
- name: secret-{{ . }}
  mountPath: /vt/usersecrets/{{ . }}
  readOnly: true
{{- end }}
{{- end -}}

{{- define "vitess.secretVolumes" -}}
{{- range . }}
- name: secret-{{ . }}
  secret:
    secretName: {{ . }}
{{- end }}
{{- end -}}

{{- define "vitess.httpProbes" -}}
livenessProbe:
  httpGet: {path: /debug/liveness, port: {{ .port }}}
  initialDelaySeconds: 30
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: {path: {{ .ready }}, port: {{ .port }}}
  periodSeconds: 5
  timeoutSeconds: 5
{{- end -}}

{{/* (dict root name component selector more): at most one pod of these is taken away on purpose at a time. */}}
{{- define "vitess.disruptionBudget" -}}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ .name }}
  labels: {{- include "vitess.labels" . | nindent 4 }}
spec:
  maxUnavailable: 1
  selector:
    matchLabels: {{- include "vitess.selector" . | nindent 6 }}
{{- end -}}

{{/* (list SETTINGS OVERRIDES): both as YAML, maps merged key by key. Unlike mergeOverwrite, 0, false and null override too. */}}
{{- define "vitess.merged" -}}
{{- $out := deepCopy (index . 0) -}}
{{- range $key, $value := default dict (index . 1) }}
{{- if and (kindIs "map" $value) (kindIs "map" (get $out $key)) }}
{{- $value = include "vitess.merged" (list (get $out $key) $value) | fromYaml -}}
{{- end }}
{{- $_ := set $out $key $value -}}
{{- end -}}
{{- toYaml $out -}}
{{- end -}}
