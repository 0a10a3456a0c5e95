use super::{LIMIT, MOST_ATTEMPTS};
use crate::error::ActorError;
use crate::pg_writer::PgWriterActor;
use actix::prelude::*;
use chrono::{DateTime, Utc};

/// Counts what is still to be embedded, for the metrics and for the caller.
#[derive(Message)]
#[rtype(result = "Result<OutboxSize, ActorError>")]
pub struct MeasureOutbox;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutboxSize {
    pub rows: i64,
    /// When the oldest of them that is still tried was received.
    pub oldest: Option<DateTime<Utc>>,
}

impl Handler<MeasureOutbox> for PgWriterActor {
    type Result = ResponseFuture<Result<OutboxSize, ActorError>>;

    fn handle(&mut self, _: MeasureOutbox, _: &mut Self::Context) -> Self::Result {
        let (pool, metrics, now) = (self.pool(), self.metrics().clone(), self.now());
        Box::pin(async move {
            let pool = pool?;
            let mut connection = pool.get().await?;
            let measured = connection.autocommit("outbox.measure", LIMIT, async |tx| {
                let statement = tx.prepare(include_str!("measure.sql")).await?;
                tx.client().query_one(&statement, &[&MOST_ATTEMPTS]).await
            });
            let row = measured.await?;
            let size = OutboxSize { rows: row.get(0), oldest: row.get(1) };
            metrics.outbox_rows.set(size.rows);
            metrics.outbox_set_aside_rows.set(row.get(2));
            let lag = size.oldest.map_or(0, |oldest| (now - oldest).num_seconds().max(0));
            metrics.outbox_lag_seconds.set(lag);
            Ok(size)
        })
    }
}
