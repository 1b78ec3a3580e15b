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
