use super::{EmbedderActor, Embedding};
use crate::domain::audit_text::AuditText;
use crate::error::ActorError;
use actix::prelude::*;
use std::sync::Arc;

/// Embeds some texts; the answer has one entry for each, `None` where a text has no feature.
#[derive(Message)]
#[rtype(result = "Result<Vec<Option<Arc<Embedding>>>, ActorError>")]
pub struct Embed {
    pub texts: Vec<AuditText>,
}

impl Handler<Embed> for EmbedderActor {
    type Result = Result<Vec<Option<Arc<Embedding>>>, ActorError>;

    fn handle(&mut self, message: Embed, _: &mut Self::Context) -> Self::Result {
        let _timer = self.metrics.embedding_generation_duration_seconds.start_timer();
        Ok(message.texts.iter().map(|text| self.embed(text)).collect())
    }
}
