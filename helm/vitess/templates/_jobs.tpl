{{/*
(dict root name component sum script env files cell worker): a job that runs a script once. worker: it is vtworker's, and the script gets its flags.

A job's pod template cannot be changed, but an image's tag or a limit in the values can. So a job that is there keeps the template it was made
with, as long as what it did (`sum`) is the same; with another text under the same name the upgrade is refused instead of ignored.
*/}}
{{- define "vitess.job" -}}
{{- $root := .root -}}
{{- $client := ternary $root.Values.vtworker $root.Values.vtctlclient (eq true .worker) -}}
{{- $name := include "vitess.checked" (list .name 63) -}}
{{- $sum := sha256sum .sum | trunc 16 -}}
{{- $labels := dict "root" $root "component" .component -}}
{{- $old := lookup "batch/v1" "Job" $root.Release.Namespace $name -}}
{{- if $old }}
{{- $was := dig "metadata" "annotations" "vitess/sum" "" $old -}}
{{- if ne $was $sum }}{{ fail (printf "job %s has run with another text: give what is new a new name, or run: kubectl delete job %s" $name $name) }}{{ end -}}
{{- end }}
---
apiVersion: batch/v1
kind: Job
metadata:
  name: {{ $name }}
  labels: {{- include "vitess.labels" $labels | nindent 4 }}
  annotations:
    vitess/sum: {{ $sum | quote }}
spec:
  backoffLimit: {{ $client.backoffLimit }}
  template:
    metadata:
      labels: {{- include "vitess.labels" $labels | nindent 8 }}
    {{- if $old }}
    spec: {{- toYaml $old.spec.template.spec | nindent 6 }}
    {{- else }}
    spec:
      {{- include "vitess.podSettings" (dict "root" $root "settings" dict "cell" .cell) | nindent 6 }}
      restartPolicy: Never
      containers:
        - name: job
          image: {{ include "vitess.image" (list $root "vitess" $client.vitessTag) | quote }}
          imagePullPolicy: {{ $root.Values.images.pullPolicy }}
          command: [bash, /vt/scripts/{{ .script }}]
          args:
            {{- if .worker }}
            {{- include "vitess.topoFlags" $root | nindent 12 }}
            - --cell={{ .cell.name }}
            {{- end }}
            {{- include "vitess.flags" $client.extraFlags | nindent 12 }}
          env:
            - {name: VTCTLD, value: "vtctld:15999"}
            - {name: WAIT_SECONDS, value: {{ $root.Values.config.jobWaitSeconds | quote }}}
            {{- if and .worker $root.Values.vtctlclient.extraFlags }}
            - name: CLIENT_FLAGS
              value: {{ include "vitess.flags" $root.Values.vtctlclient.extraFlags | fromYamlArray | join "\n" | quote }}
            {{- end }}
            {{- range $key, $value := .env }}
            - name: {{ $key }}
              value: {{ $value | quote }}
            {{- end }}
          {{- with $client.resources }}
          resources: {{- toYaml . | nindent 12 }}
          {{- end }}
          {{- include "vitess.containerSecurity" . | nindent 10 }}
          volumeMounts:
            - {name: scripts, mountPath: /vt/scripts, readOnly: true}
            {{- if .files }}
            - {name: files, mountPath: /vt/files, readOnly: true}
            {{- end }}
            {{- include "vitess.secretMounts" $client.secrets | nindent 12 }}
      volumes:
        - name: scripts
          configMap: {name: vitess-scripts}
        {{- if .files }}
        - name: files
          configMap: {name: {{ $name }}}
        {{- end }}
        {{- include "vitess.secretVolumes" $client.secrets | nindent 8 }}
    {{- end }}
{{- if .files }}
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ $name }}
  labels: {{- include "vitess.labels" $labels | nindent 4 }}
data: {{- toYaml .files | nindent 2 }}
{{- end }}
{{- end -}}
