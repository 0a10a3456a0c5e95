use super::{Embed, EmbedderActor, Embedding, QueryWords};
use crate::domain::audit_text::AuditText;
use crate::error::ActorError;
use actix::prelude::*;
use std::sync::Arc;

/// Embeds what is asked for, and tells its words.
#[derive(Message)]
#[rtype(result = "Result<EmbeddedQuery, ActorError>")]
pub struct EmbedQuery {
    /// The id of the embedder.
    pub space: String,
    pub text: AuditText,
}

pub struct EmbeddedQuery {
    /// `None` if the text has no feature.
    pub embedding: Option<Arc<Embedding>>,
    pub written: QueryWords,
}

impl Handler<EmbedQuery> for EmbedderActor {
    type Result = Result<EmbeddedQuery, ActorError>;

    fn handle(&mut self, message: EmbedQuery, ctx: &mut Self::Context) -> Self::Result {
        let written = self.builtin.written(&message.text);
        let embed = Embed { space: message.space, texts: vec![message.text] };
        let embedding = self.handle(embed, ctx)?.pop().flatten();
        Ok(EmbeddedQuery { embedding, written })
    }
}
