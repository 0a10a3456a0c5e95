use super::{Jobs, VectorWriterActor};
use crate::domain::embedding_job::EmbeddingJob;
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
        let count = message.jobs.len() as u64; // usize fits into 64 bits
        let kib = u32::try_from(message.jobs.iter().map(EmbeddingJob::kib).sum::<usize>()).unwrap_or(u32::MAX);
        let room = self.room.clone().try_acquire_many_owned(kib).ok();
        let taken = match (&self.jobs, room) {
            (Some(jobs), Some(room)) => jobs.try_send(Jobs { audits: message.jobs, room }).is_ok(),
            _ => false,
        };
        if !taken {
            self.metrics.dualwrite_failure_total.with_label_values(&["queue_full"]).inc_by(count);
        }
    }
}
