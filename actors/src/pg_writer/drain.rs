use super::PgWriterActor;
use crate::error::ActorError;
use actix::prelude::*;

/// Takes no more audits, commits what is queued, and ends the actor. Answered when that is done.
#[derive(Message)]
#[rtype(result = "Result<(), ActorError>")]
pub struct Drain;

impl Handler<Drain> for PgWriterActor {
    type Result = ResponseFuture<Result<(), ActorError>>;

    fn handle(&mut self, _: Drain, _: &mut Self::Context) -> Self::Result {
        self.pool = None;
        self.queue.drain();
        let ended = std::mem::take(&mut self.ended);
        Box::pin(async move {
            for ended in ended {
                // An error means that the lane has ended otherwise.
                let _ = ended.await;
            }
            Ok(())
        })
    }
}
