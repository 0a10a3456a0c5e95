//! Embedders beside the built-in one: each makes the vectors of a space of its own.

use super::http::{Http, HttpSettings};
use super::{Builtin, Embedding, Features, Space, split_camel_case};
use crate::domain::audit_text::AuditText;
use sha2::{Digest, Sha256};
use std::path::PathBuf;
use uuid::Uuid;

/// Which one, and what it needs.
#[derive(Debug, Clone)]
pub enum EngineSettings {
    Http(HttpSettings),
    /// A folder with `model.safetensors`, `config.json` and `tokenizer.json` of all-MiniLM-L6-v2.
    MiniLm(PathBuf),
}

impl EngineSettings {
    pub fn space(&self) -> Space {
        let id = match self {
            EngineSettings::Http(settings) => format!("http:{}", settings.model),
            EngineSettings::MiniLm(_) => "minilm-1".to_owned(),
        };
        Space { id, min_similarity: 0.4, exact_share: 0.5, sparse: false }
    }

    /// Makes the embedder, on the thread where it is to live.
    ///
    /// # Errors
    /// Why it cannot be made.
    pub(super) fn make(&self) -> Result<Box<dyn Engine>, String> {
        match self {
            EngineSettings::Http(settings) => {
                Ok(Box::new(Http::new(settings.clone()).map_err(|error| error.to_string())?))
            }
            #[cfg(feature = "minilm")]
            EngineSettings::MiniLm(folder) => Ok(Box::new(super::minilm::MiniLm::load(folder)?)),
            #[cfg(not(feature = "minilm"))]
            EngineSettings::MiniLm(_) => Err("this program is built without minilm".into()),
        }
    }

    /// Tries it out.
    ///
    /// # Errors
    /// What is wrong, and whether it can only be mended by other settings.
    pub async fn check(&self) -> Result<(), EngineFault> {
        match self {
            EngineSettings::Http(settings) => super::http::check_endpoint(settings).await,
            EngineSettings::MiniLm(_) => self.make().map(|_| ()).map_err(EngineFault::Settings),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum EngineFault {
    /// It may work later.
    #[error("it does not answer: {0}")]
    Away(String),
    /// It refuses these texts.
    #[error("it refuses the text: {0}")]
    Refused(String),
    /// It will not work with these settings.
    #[error("{0}")]
    Settings(String),
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
