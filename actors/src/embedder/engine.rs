//! The embedders other than the built-in one. Each makes the vectors of a space of its own.

use super::{Builtin, Embedding, Features, split_camel_case};
use crate::domain::audit_text::AuditText;
use crate::error::EngineFault;
use sha2::{Digest, Sha256};
use uuid::Uuid;

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
