//! Drops what is older than it is to be kept: incidents whose latest audit lies in no kept month, with their month where all of it goes, and
//! then, in batches, what belongs to them. Readers never wait for it, and totals are exact at every moment.

mod drop_months;
mod forget_incidents;
mod forget_loose;
mod forget_vectors;
mod list_dropped;

pub use drop_months::{DropMonths, MonthStep};
pub use forget_incidents::ForgetIncidents;
pub use forget_loose::ForgetLoose;
pub use forget_vectors::ForgetVectors;
pub use list_dropped::{DroppedIncident, ListDropped};

use crate::db::sqlstate::DatabaseFault;
use crate::domain::time::{Clock, TimeWindow};
use crate::error::ActorError;
use crate::handle::Handle;
use crate::pg_writer::PgWriterActor;
use crate::vector_writer::VectorWriterActor;
use chrono::{DateTime, Utc};
use std::time::Duration;
use tokio::time::sleep;

/// How often it is looked, and how soon again where something was in the way.
const EVERY: Duration = Duration::from_secs(3600);
const AGAIN: Duration = Duration::from_secs(10);
/// Incidents of a batch.
const BATCH: i64 = 1000;
/// How long one transaction may take: a part of a month may have many incidents, and a batch many audits. How long its caller waits.
const LIMIT: Duration = Duration::from_secs(55);
const PATIENCE: Duration = Duration::from_secs(60);

/// Works for as long as it is polled. Where all is kept it does nothing.
pub async fn retain(
    window: TimeWindow,
    clock: Clock,
    pg_writer: Handle<PgWriterActor>,
    vector_writer: Handle<VectorWriterActor>,
) {
    while let Some(kept_from) = window.kept_from(clock()) {
        let pause = match round(kept_from, &pg_writer, &vector_writer).await {
            Ok(Round::Done) => EVERY,
            Ok(Round::Busy) => AGAIN,
            // Before the first migration there is nothing to drop.
            Err(ActorError::Database(error)) if error.fault == DatabaseFault::Schema => AGAIN,
            Err(error) => {
                tracing::warn!(%error, "what is to be dropped is not dropped yet");
                AGAIN
            }
        };
        sleep(pause).await;
    }
}

/// How a round ended.
enum Round {
    Done,
    /// Another process is at it, and may end in the middle.
    Busy,
}

async fn round(
    kept_from: DateTime<Utc>,
    pg_writer: &Handle<PgWriterActor>,
    vector_writer: &Handle<VectorWriterActor>,
) -> Result<Round, ActorError> {
    let (mut after, mut part) = (None, 0);
    loop {
        match pg_writer.ask(DropMonths { kept_from, after: after.clone(), part }, PATIENCE).await? {
            MonthStep::Nothing => break,
            MonthStep::Part => part += 1,
            MonthStep::Dropped => part = 0,
            MonthStep::Kept(month) => (after, part) = (Some(month), 0),
            MonthStep::Busy => return Ok(Round::Busy),
        }
    }
    let mut from = 0;
    loop {
        let incidents = pg_writer.ask(ListDropped { kept_from, from, limit: BATCH }, PATIENCE).await?;
        let Some(last) = incidents.last() else { break };
        if last.correlation_id.is_some() {
            from = last.bucket; // it may have more
        }
        let count = incidents.len();
        // The vectors go first: what is left of an incident in the audit database finds them again.
        vector_writer.ask(ForgetVectors { incidents: incidents.clone() }, PATIENCE).await?;
        if !pg_writer.ask(ForgetIncidents { incidents, kept_from }, PATIENCE).await? {
            return Ok(Round::Busy);
        }
        tracing::info!(incidents = count, "forgotten with their audits");
    }
    while pg_writer.ask(ForgetLoose { kept_from }, PATIENCE).await? {}
    Ok(Round::Done)
}
