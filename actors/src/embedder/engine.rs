//! The embedders other than the built-in one. Each makes the vectors of a space of its own.

use super::{Builtin, Embedding, Features, split_camel_case};
use crate::domain::audit_text::AuditText;
use sha2::{Digest, Sha256};
use uuid::Uuid;

#[derive(Debug, Clone, thiserror::Error)]
pub enum EngineFault {
    /// The embedder does not answer now. It may answer later.
    #[error("it does not answer: {0}")]
    Away(String),
    /// The endpoint does not have the model, at least not now.
    #[error("it is not there: {0}")]
    Gone(String),
    /// The embedder refuses these texts.
    #[error("it refuses the text: {0}")]
    Refused(String),
    /// The embedder cannot work with these settings.
    #[error("{0}")]
    Settings(String),
}

impl EngineFault {
    /// For clients.
    pub fn words(&self) -> &'static str {
        match self {
            EngineFault::Away(_) => "the embedder does not answer",
            EngineFault::Gone(_) => "the embedder has no such model: reindex is needed",
            EngineFault::Refused(_) => "the embedder refuses this text",
            EngineFault::Settings(_) => "the embedder cannot be used",
        }
    }
}

pub(super) trait Engine {
    /// Makes one vector for each text.
    fn embed(&mut self, texts: &[AuditText], words: &Builtin) -> Result<Vec<Embedding>, EngineFault>;
}

/// The text of an audit, as sentences: the name of the alert in words, the reasoning, and the error if it is wanted.
pub(super) fn told(text: &AuditText, with_error: bool) -> String {
    let name = text.alert_name.as_deref().map(|name| split_camel_case(name).join(" "));
    let parts = [name, text.reasoning.clone(), text.error_message.clone().filter(|_| with_error)];
    parts.into_iter().flatten().collect::<Vec<_>>().join(". ")
}

/// Joins the model's vector with the features of the words, which are compared exactly beside the vectors. A text
/// without words is a pattern of its own.
pub(super) fn embedding(vector: Vec<f32>, told: &str, words: Option<Embedding>) -> Embedding {
    let vector = of_length_one(vector);
    match words {
        Some(known) => Embedding { vector, ..known },
        None => {
            let digest = Sha256::digest(told.as_bytes());
            let mut head = [0; 16];
            head.copy_from_slice(&digest[..16]);
            Embedding { vector, features: Features::default(), pattern: Uuid::from_bytes(head) }
        }
    }
}

pub(super) fn of_length_one(mut vector: Vec<f32>) -> Vec<f32> {
    let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
    vector.iter_mut().for_each(|x| *x /= length);
    vector
}
