//! Which embedder beside the built-in one is configured.

use super::engine::{Engine, EngineFault};
use super::http::{Http, HttpSettings};
use super::{Builtin, Embedding, Space};
use crate::domain::audit_text::AuditText;
use std::path::PathBuf;

/// What the id of an endpoint's space begins with; the model follows.
pub(super) const HTTP: &str = "http:";

/// Which one, and what it needs.
#[derive(Debug, Clone)]
pub enum EngineSettings {
    Http(HttpSettings),
    /// A folder with `model.safetensors`, `config.json` and `tokenizer.json` of all-MiniLM-L6-v2.
    MiniLm(PathBuf),
}

impl EngineSettings {
    pub fn space(&self) -> Space {
        // As measured with minilm (docs/recall.md); other models differ, and a request may say otherwise.
        let (id, min_similarity) = match self {
            EngineSettings::Http(settings) => (format!("{HTTP}{}", settings.model), 0.15),
            EngineSettings::MiniLm(_) => ("minilm-1".to_owned(), 0.1),
        };
        Space { id, min_similarity, sparse: false }
    }

    /// Those of the embedder of this space: this one, or another model of its endpoint.
    pub(super) fn of_space(&self, id: &str) -> Option<Self> {
        match self {
            EngineSettings::Http(settings) => {
                let model = id.strip_prefix(HTTP)?.to_owned();
                Some(EngineSettings::Http(HttpSettings { model, ..settings.clone() }))
            }
            other => (other.space().id == id).then(|| other.clone()),
        }
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

    /// Embeds some texts on this thread, for those that have no actor.
    ///
    /// # Errors
    /// Why it cannot.
    pub fn embed_here(&self, texts: &[AuditText]) -> Result<Vec<Embedding>, EngineFault> {
        self.make().map_err(EngineFault::Settings)?.embed(texts, &Builtin::default())
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
