//! What the vector store keeps of an incident, so that filters apply inside a search.

use chrono::{DateTime, Utc};

#[derive(Debug, Clone)]
pub struct CopiedFacts {
    pub bucket: i32,
    pub incident_id: i64,
    pub correlation_id: String,
    pub action_timestamp: DateTime<Utc>,
    /// Of two copies the one with the greater revision is the later.
    pub revision: i64,
    /// In the order of `facts::copied`.
    pub values: Vec<Option<String>>,
}
