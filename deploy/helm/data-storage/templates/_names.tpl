{{- define "data-storage.labels" -}}
app.kubernetes.io/name: {{ .Values.name }}
app.kubernetes.io/part-of: kubernaut
{{- end }}
{{- define "data-storage.metadata" -}}
name: {{ .Values.name }}
namespace: {{ .Release.Namespace }}
labels:
  {{- include "data-storage.labels" . | nindent 2 }}
{{- end }}
