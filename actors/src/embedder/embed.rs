use super::{BUILTIN_ID, CacheKey, EmbedderActor, Embedding, EngineFault, FIRST_ID, cache_key};
use crate::domain::audit_text::AuditText;
use crate::error::ActorError;
use actix::prelude::*;
use std::sync::Arc;

/// Embeds some texts. The answer has one entry for each text: `None` if the text has no feature.
#[derive(Message)]
#[rtype(result = "Result<Vec<Option<Arc<Embedding>>>, ActorError>")]
pub struct Embed {
    /// The id of the embedder.
    pub space: String,
    pub texts: Vec<AuditText>,
}

impl Handler<Embed> for EmbedderActor {
    type Result = Result<Vec<Option<Arc<Embedding>>>, ActorError>;

    fn handle(&mut self, message: Embed, _: &mut Self::Context) -> Self::Result {
        let metrics = self.metrics.clone();
        let _timer = metrics.embedding_generation_duration_seconds.start_timer();
        let keys: Vec<CacheKey> = message.texts.iter().map(|text| cache_key(&message.space, text)).collect();
        let mut found: Vec<Option<Option<Arc<Embedding>>>> = keys.iter().map(|key| self.cache.get(key)).collect();
        let missing: Vec<usize> = (0..found.len()).filter(|at| found[*at].is_none()).collect();
        self.metrics.cache_hits_total.inc_by((found.len() - missing.len()) as u64); // usize fits into 64 bits
        self.metrics.cache_misses_total.inc_by(missing.len() as u64); // as above
        if !missing.is_empty() {
            let texts: Vec<AuditText> = missing.iter().map(|at| message.texts[*at].clone()).collect();
            let made = self.make(&message.space, &texts)?;
            for (at, embedding) in missing.into_iter().zip(made) {
                let embedding = embedding.map(Arc::new);
                self.cache.insert(keys[at], embedding.clone());
                found[at] = Some(embedding);
            }
        }
        Ok(found.into_iter().map(Option::flatten).collect())
    }
}

impl EmbedderActor {
    fn make(&mut self, space: &str, texts: &[AuditText]) -> Result<Vec<Option<Embedding>>, ActorError> {
        if space == BUILTIN_ID {
            return Ok(texts.iter().map(|text| self.builtin.embed(text)).collect());
        }
        if space == FIRST_ID {
            return Ok(texts.iter().map(|text| self.builtin.embed_first(text)).collect());
        }
        if !self.engines.contains_key(space) {
            let settings = self.settings.as_ref().and_then(|settings| settings.of_space(space));
            let settings = settings.ok_or_else(|| EngineFault::Settings("it is not configured".into()))?;
            let engine = settings.make().map_err(|error| {
                tracing::error!(error, "the embedder cannot be used");
                EngineFault::Settings(error)
            })?;
            self.engines.insert(space.to_owned(), engine);
        }
        let Some(engine) = self.engines.get_mut(space) else { return Err(ActorError::Internal) };
        // A blank text gets no vector, whatever vector a model would make of it.
        let told: Vec<AuditText> = texts.iter().filter(|text| !text.is_blank()).cloned().collect();
        let made = if told.is_empty() { Ok(Vec::new()) } else { engine.embed(&told, &self.builtin) };
        let mut made = made?.into_iter();
        Ok(texts.iter().map(|text| if text.is_blank() { None } else { made.next() }).collect())
    }
}
