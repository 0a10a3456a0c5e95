//! An audit on its way to the vector store.

use super::audit_id::AuditId;
use super::audit_text::AuditText;
use chrono::{DateTime, Utc};

/// One audit that is to be embedded, and whose incident has changed.
#[derive(Debug, Clone)]
pub struct EmbeddingJob {
    pub id: AuditId,
    pub remediation_request_id: String,
    pub received_at: DateTime<Utc>,
    pub text: AuditText,
}

impl EmbeddingJob {
    /// The memory that its text takes, rounded up.
    pub fn kib(&self) -> usize {
        self.text.parts().iter().map(|part| part.len()).sum::<usize>() / 1024 + 1
    }
}
