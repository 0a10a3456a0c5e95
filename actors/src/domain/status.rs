//! The status of a remediation, or of a workflow step.

use super::words::fold;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    Pending,
    InProgress,
    Completed,
    Failed,
    Cancelled,
    RolledBack,
}

impl Status {
    /// Reads any of the words and synonyms that the contract lists.
    pub fn parse(word: &str) -> Option<Self> {
        Some(match fold(word).as_str() {
            "pending" | "queued" | "blocked" | "waiting" => Status::Pending,
            "inprogress" | "executing" | "running" | "processing" => Status::InProgress,
            "completed" | "success" | "succeeded" => Status::Completed,
            "failed" | "error" | "timeout" | "timedout" => Status::Failed,
            "cancelled" | "canceled" | "skipped" | "aborted" => Status::Cancelled,
            "rolledback" => Status::RolledBack,
            _ => return None,
        })
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Status::Pending => "pending",
            Status::InProgress => "in_progress",
            Status::Completed => "completed",
            Status::Failed => "failed",
            Status::Cancelled => "cancelled",
            Status::RolledBack => "rolled_back",
        }
    }

    /// How far a remediation has come with this status: of two audits of one instant the further one is the later. 0 is a status that is only
    /// assumed. `db/template.rs` says the same in SQL.
    pub fn progress(self) -> u8 {
        match self {
            Status::Pending => 1,
            Status::InProgress => 2,
            Status::Completed | Status::Failed | Status::Cancelled => 3,
            Status::RolledBack => 4,
        }
    }

    /// Whether the status is final. Only then is a duration the whole duration.
    pub fn is_final(self) -> bool {
        !matches!(self, Status::Pending | Status::InProgress)
    }
}

pub const WORDS: &str = "pending, in_progress, completed, failed, cancelled or rolled_back";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn synonyms_are_one_word() {
        for (word, status) in [
            ("In-Progress", Status::InProgress),
            ("EXECUTING", Status::InProgress),
            ("timed_out", Status::Failed),
            ("rolled back", Status::RolledBack),
            ("Succeeded", Status::Completed),
            ("skipped", Status::Cancelled),
            ("Aborted", Status::Cancelled),
            ("time-out", Status::Failed),
            ("queued", Status::Pending),
            ("BLOCKED", Status::Pending),
            ("waiting", Status::Pending),
        ] {
            assert_eq!(Status::parse(word), Some(status), "{word}");
        }
        assert_eq!(Status::parse("done"), None);
        assert_eq!(Status::parse(""), None);
    }
}
