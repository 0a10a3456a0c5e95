//! Whose vectors are written and searched. Vectors of two embedders are never compared.

use super::Space;
use crate::error::ActorError;
use std::sync::{Arc, RwLock};

/// The embedder that is configured, and the one whose vectors the store is searched by. Clones share it.
#[derive(Clone)]
pub struct Spaces(Arc<SpacesInner>);

struct SpacesInner {
    configured: Space,
    /// As the vector store says; `None` until it was asked.
    active: RwLock<Option<String>>,
}

impl Spaces {
    pub fn new(configured: Space) -> Self {
        Spaces(Arc::new(SpacesInner { configured, active: RwLock::new(None) }))
    }

    pub fn configured(&self) -> &Space {
        &self.0.configured
    }

    /// The id of the active embedder, where the store has been asked.
    pub fn active(&self) -> Option<String> {
        // Nobody panics while holding it.
        self.0.active.read().map(|active| active.clone()).unwrap_or_default()
    }

    /// Whether it was another before.
    pub fn set_active(&self, id: &str) -> bool {
        let changed = self.active().as_deref() != Some(id);
        if let (true, Ok(mut active)) = (changed, self.0.active.write()) {
            *active = Some(id.to_owned());
        }
        changed
    }

    /// Those that new audits get vectors of: the configured one, and the active one for as long as it is searched.
    pub fn written(&self) -> Vec<Space> {
        let configured = self.0.configured.clone();
        let former = self.active().filter(|id| *id != configured.id).and_then(|id| configured.beside(&id));
        [Some(configured), former].into_iter().flatten().collect()
    }

    /// The one that is searched.
    ///
    /// # Errors
    /// `Unavailable` where only its vectors are left, and it is not configured any more.
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
