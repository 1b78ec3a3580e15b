{{/* Where backups are, for vttablet and vtctld: flags, environment, mounts and volumes. */}}
{{- define "vitess.backupFlags" -}}
{{- with .Values.config.backup }}
{{- if .enabled }}
- --backup_storage_implementation={{ .backup_storage_implementation }}
{{- if eq .backup_storage_implementation "file" }}
- {{ printf "--file_backup_storage_root=/vt/backups/%s" .file_backup_storage_root | quote }}
{{- else }}
- {{ printf "--s3_backup_storage_bucket=%s" .s3_backup_storage_bucket | quote }}
{{- range $name := list "s3_backup_storage_root" "s3_backup_aws_region" "s3_backup_aws_endpoint" "s3_backup_server_side_encryption" }}
{{- with get $.Values.config.backup $name }}
- {{ printf "--%s=%s" $name . | quote }}
{{- end }}
{{- end }}
{{- if .s3_backup_force_path_style }}
- --s3_backup_force_path_style
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "vitess.backupEnv" -}}
{{- with .Values.config.backup }}
{{- if and .enabled (eq .backup_storage_implementation "s3") .s3Secret }}
- {name: AWS_SHARED_CREDENTIALS_FILE, value: /vt/s3/credentials}
{{- end }}
{{- end }}
{{- end -}}

{{- define "vitess.backupMounts" -}}
{{- with .Values.config.backup }}
{{- if and .enabled (eq .backup_storage_implementation "file") }}
- {name: backups, mountPath: /vt/backups}
{{- else if and .enabled .s3Secret }}
- {name: s3-credentials, mountPath: /vt/s3, readOnly: true}
{{- end }}
{{- end }}
{{- end -}}

{{- define "vitess.backupVolumes" -}}
{{- with .Values.config.backup }}
{{- if and .enabled (eq .backup_storage_implementation "file") }}
- name: backups
{{- if not .volume }}{{ fail "config.backup.volume: the storage file needs a volume that all tablets and vtctld share" }}{{ end }}
{{ toYaml .volume | indent 2 }}
{{- else if and .enabled .s3Secret }}
- name: s3-credentials
  secret:
    secretName: {{ .s3Secret }}
{{- end }}
{{- end }}
{{- end -}}
