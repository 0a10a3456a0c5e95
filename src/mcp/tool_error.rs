//! What an agent reads where a tool has no answer.

use crate::problem::Problem;
use data_storage_actors::domain::invalid::Invalid;
use data_storage_actors::error::ActorError;

/// Why a tool has no answer. The agent reads it.
pub enum ToolError {
    Invalid(Invalid),
    Actor(ActorError),
}

impl From<Invalid> for ToolError {
    fn from(invalid: Invalid) -> Self {
        ToolError::Invalid(invalid)
    }
}

impl From<ActorError> for ToolError {
    fn from(error: ActorError) -> Self {
        match error {
            ActorError::Invalid(invalid) => ToolError::Invalid(invalid),
            error => ToolError::Actor(error),
        }
    }
}

impl ToolError {
    /// The status in metrics, and the words for the agent.
    pub fn words(self) -> (&'static str, String, Option<Problem>) {
        match self {
            ToolError::Invalid(invalid) => ("invalid", invalid.detail, None),
            ToolError::Actor(ActorError::NotFound) => {
                ("not_found", "incident_id: there is no such incident".to_owned(), None)
            }
            ToolError::Actor(error) => {
                let problem = Problem::from(error);
                ("failure", format!("{}; try again in a moment", problem.detail), Some(problem))
            }
        }
    }
}
