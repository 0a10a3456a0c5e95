use super::VectorWriterActor;
use crate::pg_writer::EmbeddingJob;
use actix::prelude::*;

/// Asks for the vectors of audits that are committed. Nothing is answered: what cannot be taken in stays in the outbox.
#[derive(Message)]
#[rtype(result = "()")]
pub struct WriteEmbedding {
    pub jobs: Vec<EmbeddingJob>,
}

impl Handler<WriteEmbedding> for VectorWriterActor {
    type Result = ();

    fn handle(&mut self, message: WriteEmbedding, _: &mut Self::Context) {
        let missed = message.jobs.len() as u64; // usize fits into 64 bits
        let taken = self.running.as_ref().is_some_and(|running| running.jobs.try_send(message.jobs).is_ok());
        if !taken {
            self.metrics.dualwrite_failure_total.with_label_values(&["queue_full"]).inc_by(missed);
        }
    }
}
