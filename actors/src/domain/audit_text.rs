//! The text of an audit that is embedded.

use super::remediation::RemediationAudit;

#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct AuditText {
    pub alert_name: Option<String>,
    pub reasoning: Option<String>,
    pub error_message: Option<String>,
    /// The workload of the target (`domain/workload.rs`).
    pub workload: Option<String>,
    /// The texts among the attributes, one a line.
    pub attributes: Option<String>,
}

impl AuditText {
    pub fn of(audit: &RemediationAudit) -> Self {
        AuditText {
            alert_name: audit.alert_name.clone(),
            reasoning: audit.reasoning.clone(),
            error_message: audit.error_message.clone(),
            workload: audit.workload.clone(),
            attributes: audit.attributes.as_ref().and_then(|attributes| attributes.texts()),
        }
    }

    /// Its fields, in the order above; those that are not there are empty. Of a workload it is the name: its kind says nothing.
    pub fn parts(&self) -> [&str; 5] {
        let parts = [&self.alert_name, &self.reasoning, &self.error_message, &self.workload, &self.attributes];
        let mut parts = parts.map(|part| part.as_deref().unwrap_or_default());
        parts[3] = parts[3].rsplit('/').next().unwrap_or_default();
        parts
    }

    /// Whether there is nothing to embed.
    pub fn is_blank(&self) -> bool {
        self.parts().iter().all(|part| part.trim().is_empty())
    }
}
