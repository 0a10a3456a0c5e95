//! The advisory locks of the service, all of them. The numbers are only names; they are never used again for something else.

/// What one process at a time does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lock {
    /// Migrating a database.
    Migration,
    /// Making monthly partitions.
    Partitions,
    /// Folding deltas into the totals, and mending the totals.
    Totals,
    /// Dropping what is older than it is to be kept.
    Retention,
    /// Deleting patterns that no incident has. Writers of patterns share it, so that a pattern which is about to get an incident is not
    /// taken for unused.
    Patterns,
}

impl Lock {
    pub fn number(self) -> i64 {
        match self {
            Lock::Migration => 7_261_000,
            Lock::Partitions => 7_261_001,
            Lock::Totals => 7_261_002,
            Lock::Retention => 7_261_003,
            Lock::Patterns => 7_261_004,
        }
    }
}
