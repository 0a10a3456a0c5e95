//! Which embedders' vectors the service writes, and which ones it searches. Vectors of two embedders are never
//! compared.

use super::Space;
use crate::error::ActorError;
use std::sync::{Arc, RwLock};

/// The configured embedder, and the active one, whose vectors are searched. Clones share both.
#[derive(Clone)]
pub struct Spaces(Arc<SpacesInner>);

struct SpacesInner {
    configured: Space,
    /// The id of the active embedder, as the vector store says. `None` until the store was asked.
    active: RwLock<Option<String>>,
}

impl Spaces {
    pub fn new(configured: Space) -> Self {
        Spaces(Arc::new(SpacesInner { configured, active: RwLock::new(None) }))
    }

    pub fn configured(&self) -> &Space {
        &self.0.configured
    }

    /// The id of the active embedder; `None` until the store was asked.
    pub fn active(&self) -> Option<String> {
        // No code panics while it holds this lock.
        self.0.active.read().map(|active| active.clone()).unwrap_or_default()
    }

    /// Sets the active embedder. Returns whether that is a change.
    pub fn set_active(&self, id: &str) -> bool {
        let changed = self.active().as_deref() != Some(id);
        if let (true, Ok(mut active)) = (changed, self.0.active.write()) {
            *active = Some(id.to_owned());
        }
        changed
    }

    /// The spaces in which new audits get vectors: the configured one, and the active one for as long as it is
    /// searched.
    pub fn written(&self) -> Vec<Space> {
        let configured = self.0.configured.clone();
        let former = self.active().filter(|id| *id != configured.id).and_then(|id| configured.beside(&id));
        [Some(configured), former].into_iter().flatten().collect()
    }

    /// The space that is searched.
    ///
    /// # Errors
    /// `Unavailable` if the active embedder is not configured any more, and the service cannot make vectors of its
    /// space.
    pub fn searched(&self) -> Result<Space, ActorError> {
        match self.active() {
            None => Ok(self.0.configured.clone()),
            Some(id) if id == self.0.configured.id => Ok(self.0.configured.clone()),
            Some(id) => {
                let foreign = ActorError::Unavailable("the vectors are another embedder's: reindex is needed");
                self.0.configured.beside(&id).ok_or(foreign)
            }
        }
    }
}
