//! The text of an audit that is embedded.

use super::remediation::RemediationAudit;

#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct AuditText {
    pub alert_name: Option<String>,
    pub reasoning: Option<String>,
    pub error_message: Option<String>,
}

impl AuditText {
    pub fn of(audit: &RemediationAudit) -> Self {
        AuditText {
            alert_name: audit.alert_name.clone(),
            reasoning: audit.reasoning.clone(),
            error_message: audit.error_message.clone(),
        }
    }

    /// Whether there is nothing to embed.
    pub fn is_blank(&self) -> bool {
        let parts = [&self.alert_name, &self.reasoning, &self.error_message];
        parts.iter().all(|part| part.as_deref().unwrap_or_default().trim().is_empty())
    }
}
