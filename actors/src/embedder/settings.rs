//! The settings of an embedder other than the built-in one.

use super::engine::Engine;
use super::http::{Http, HttpSettings};
use super::{Builtin, Embedding, Space};
use crate::domain::audit_text::AuditText;
use crate::error::EngineFault;
use std::path::PathBuf;

/// The id of an endpoint's space begins with this; the name of the model follows.
pub(super) const HTTP: &str = "http:";

/// Which embedder it is, and what it needs.
#[derive(Debug, Clone)]
pub enum EngineSettings {
    Http(HttpSettings),
    /// A folder with `model.safetensors`, `config.json` and `tokenizer.json` of all-MiniLM-L6-v2.
    MiniLm(PathBuf),
}

impl EngineSettings {
    pub fn space(&self) -> Space {
        // Measured with all-MiniLM-L6-v2 (docs/recall.md). Other models differ, and a request may give another value.
        let (id, min_similarity) = match self {
            EngineSettings::Http(settings) => (format!("{HTTP}{}", settings.model), 0.15),
            EngineSettings::MiniLm(_) => ("minilm-1".to_owned(), 0.1),
        };
        Space { id, min_similarity, sparse: false }
    }

    /// The settings of the embedder of this space: `self`, or another model of the same endpoint.
    pub(super) fn of_space(&self, id: &str) -> Option<Self> {
        match self {
            EngineSettings::Http(settings) => {
                let model = id.strip_prefix(HTTP)?.to_owned();
                Some(EngineSettings::Http(HttpSettings { model, ..settings.clone() }))
            }
            other => (other.space().id == id).then(|| other.clone()),
        }
    }

    /// Makes the embedder. Must be called on the thread where the embedder will live.
    ///
    /// # Errors
    /// Why the embedder cannot be made.
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

    /// Embeds some texts on this thread, for callers without an `EmbedderActor`.
    ///
    /// # Errors
    /// Why the texts cannot be embedded.
    pub fn embed_here(&self, texts: &[AuditText]) -> Result<Vec<Embedding>, EngineFault> {
        self.make().map_err(EngineFault::Settings)?.embed(texts, &Builtin::default())
    }

    /// Tries the embedder out.
    ///
    /// # Errors
    /// What is wrong. `EngineFault::Settings` means that only other settings help.
    pub async fn check(&self) -> Result<(), EngineFault> {
        match self {
            EngineSettings::Http(settings) => super::http::check_endpoint(settings).await,
            EngineSettings::MiniLm(_) => self.make().map(|_| ()).map_err(EngineFault::Settings),
        }
    }
}
