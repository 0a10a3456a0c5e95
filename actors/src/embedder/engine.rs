//! Embedders beside the built-in one: each makes the vectors of a space of its own.

use super::{Builtin, Embedding, Features, split_camel_case};
use crate::domain::audit_text::AuditText;
use sha2::{Digest, Sha256};
use uuid::Uuid;

#[derive(Debug, Clone, thiserror::Error)]
pub enum EngineFault {
    /// It may work later.
    #[error("it does not answer: {0}")]
    Away(String),
    /// The endpoint has no such model, now at least.
    #[error("it is not there: {0}")]
    Gone(String),
    /// It refuses these texts.
    #[error("it refuses the text: {0}")]
    Refused(String),
    /// It will not work with these settings.
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
    /// One vector a text.
    fn embed(&mut self, texts: &[AuditText], words: &Builtin) -> Result<Vec<Embedding>, EngineFault>;
}

/// What an audit tells, as sentences: its alert's name in words, its reasoning, and its error where that is wanted.
pub(super) fn told(text: &AuditText, with_error: bool) -> String {
    let name = text.alert_name.as_deref().map(|name| split_camel_case(name).join(" "));
    let parts = [name, text.reasoning.clone(), text.error_message.clone().filter(|_| with_error)];
    parts.into_iter().flatten().collect::<Vec<_>>().join(". ")
}

/// The words are compared exactly beside the vectors; a text without any is a pattern of its own.
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
