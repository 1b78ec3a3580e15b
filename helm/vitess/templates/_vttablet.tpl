{{- define "vitess.tabletEnv" -}}
{{ include "vitess.env" .root }}
- {name: CELL, value: {{ .cell.name }}}
- {name: VTDATAROOT, value: /vt/vtdataroot}
{{- end -}}

{{- define "vitess.tabletMounts" -}}
- {name: vtdataroot, mountPath: /vt/vtdataroot}
- {name: tmp, mountPath: /tmp}
- {name: scripts, mountPath: /vt/scripts, readOnly: true}
{{- end -}}

{{/* (dict root cell keyspace shard image): the agent of PMM, beside the server that it watches. */}}
{{- define "vitess.pmmClient" -}}
{{- $pmm := .root.Values.pmm -}}
- name: pmm-client
  image: {{ printf "%s:%s" $pmm.client.image $pmm.pmmTag | quote }}
  imagePullPolicy: {{ .root.Values.images.pullPolicy }}
  env:
    {{- include "vitess.tabletEnv" (dict "root" .root "cell" .cell) | nindent 4 }}
    - name: POD_NAMESPACE
      valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
    - {name: KEYSPACE, value: {{ .keyspace | quote }}}
    - {name: SHARD_NAME, value: {{ .shard | quote }}}
    - {name: QUERY_SOURCE, value: {{ $pmm.client.querySource }}}
    - {name: WAIT_SECONDS, value: "2147483647"}
    - {name: PMM_AGENT_SERVER_ADDRESS, value: {{ include "vitess.pmmAddress" .root | quote }}}
    - {name: PMM_AGENT_SERVER_USERNAME, value: {{ $pmm.credentials.username | quote }}}
    - name: PMM_AGENT_SERVER_PASSWORD
      valueFrom:
        secretKeyRef: {name: {{ $pmm.credentials.passwordSecret }}, key: password}
    - {name: PMM_AGENT_SERVER_INSECURE_TLS, value: {{ ternary "1" "0" $pmm.server.insecureTls | quote }}}
    # A pod that comes back is the same node for PMM.
    - {name: PMM_AGENT_SETUP, value: "1"}
    - {name: PMM_AGENT_SETUP_FORCE, value: "1"}
    - {name: PMM_AGENT_SETUP_NODE_NAME, value: $(POD_NAMESPACE)-$(POD_NAME)}
    - {name: PMM_AGENT_SETUP_NODE_TYPE, value: container}
    - {name: PMM_AGENT_SETUP_METRICS_MODE, value: push}
    # Where PMM is away the agent tries again, and the tablet stays ready.
    - {name: PMM_AGENT_SIDECAR, value: "true"}
    - {name: PMM_AGENT_SIDECAR_SLEEP, value: "5"}
    - {name: PMM_AGENT_CONFIG_FILE, value: /tmp/pmm-agent.yaml}
    - {name: PMM_AGENT_PATHS_TEMPDIR, value: /tmp}
    {{- with $pmm.client.extraFlags }}
    - name: PMM_FLAGS
      value: {{ include "vitess.flags" . | fromYamlArray | join "\n" | quote }}
    {{- end }}
    - {name: PMM_AGENT_PRERUN_SCRIPT, value: bash /vt/scripts/pmm-register.sh}
  {{- with $pmm.client.resources }}
  resources: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- include "vitess.containerSecurity" .root | nindent 2 }}
  volumeMounts:
    - {name: vtdataroot, mountPath: /vt/vtdataroot}
    - {name: pmm, mountPath: /tmp}
    - {name: scripts, mountPath: /vt/scripts, readOnly: true}
{{- end -}}

{{- define "vitess.pmmAddress" -}}
{{- if .Values.pmm.server.enabled }}pmm:443{{ else }}{{ .Values.pmm.server.address }}{{ end -}}
{{- end -}}
