//! Success rates from the attempts in memory (`attempts/`).

use super::pipeline::Ask;
use super::success_rate::{GetSuccessRate, SuccessRates};
use super::totals::{IDLE, LOAD, PAUSE, TOO_MANY, Totals};
use super::{Pools, Reader};
use crate::attempts::{HeldAttempts, RateQuestion};
use crate::db::sqlstate::DatabaseError;
use crate::db::transaction::Transaction;
use crate::domain::bucket::Bucket;
use crate::domain::filter::IncidentFilter;
use crate::error::ActorError;
use crate::metrics::Metrics;
use crate::totals::{MOST_BYTES, Seen};
use crate::waiting::left;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, watch};
use tokio::time::timeout;
use tokio_postgres::Error;

/// The attempts that this actor's questions share.
#[derive(Clone)]
pub(super) struct AttemptRates {
    held: HeldAttempts,
    totals: Totals,
    metrics: Metrics,
    /// One look at a time.
    turn: Rc<Mutex<LoadTurn>>,
}

#[derive(Default)]
struct LoadTurn {
    /// When somebody asked last for whom they are held.
    asked: Option<Instant>,
    /// Before that not all are read again: it would take the time that it saves, or was in vain.
    next_load: Option<Instant>,
    /// Closed when all attempts have been read, or could not be.
    loading: Option<watch::Receiver<()>>,
}

/// How long a question waits at most for all attempts to be read: for PostgreSQL they are as much work.
const PATIENCE: Duration = Duration::from_secs(4);

/// How many times as long as reading all attempts has taken it is not done again.
const RESTS: u32 = 4;

impl AttemptRates {
    pub fn new(totals: Totals, metrics: Metrics) -> Self {
        AttemptRates { held: HeldAttempts::default(), totals, metrics, turn: Rc::default() }
    }

    /// Gives the memory back where nobody has asked for long.
    pub fn rest(&self) {
        if let Ok(mut turn) = self.turn.try_lock()
            && turn.asked.is_some_and(|asked| asked.elapsed() > IDLE)
        {
            turn.asked = None;
            self.release();
        }
    }

    fn release(&self) {
        self.held.release();
        self.measure();
    }

    /// The memory that they take.
    fn measure(&self) -> usize {
        let (attempts, bytes) = self.held.size();
        self.metrics.held_attempts.set(i64::try_from(attempts).unwrap_or(i64::MAX));
        self.metrics.held_attempts_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
        bytes
    }

    /// The rates, as of now; `None` where PostgreSQL is to be asked.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn rates(&self, reader: &Reader, message: &GetSuccessRate) -> Result<Option<SuccessRates>, ActorError> {
        if !self.are_held(reader, message).await? {
            return Ok(None);
        }
        let asked = RateQuestion {
            filter: message.filter.clone(),
            incident: incident(reader, &message.filter).await?,
            group_by: message.group_by.clone(),
            limit: usize::try_from(message.limit).unwrap_or(usize::MAX),
            after: message.after.clone(),
        };
        let held = self.held.clone();
        // Many attempts are more work than a thread for reads can be held up with.
        let rates = tokio::task::spawn_blocking(move || held.read(|attempts| attempts.rates(&asked)));
        Ok(rates.await.map_err(|_| ActorError::Internal)?.map(SuccessRates::from))
    }

    /// Whether the attempts are held, as they are now: what was committed before this was called is in them.
    async fn are_held(&self, reader: &Reader, message: &GetSuccessRate) -> Result<bool, ActorError> {
        // On distributed tables the notes say nothing of attempts.
        if reader.is_distributed {
            return Ok(false);
        }
        let (pools, window) = (reader.pools.clone()?, message.recurrence_window);
        loop {
            let mut turn = self.turn.lock().await;
            if message.may_hold {
                turn.asked = Some(Instant::now());
            } else if self.held.seen().is_none() {
                return Ok(false);
            }
            if let Some(loading) = turn.loading.clone().filter(|loading| loading.has_changed().is_ok()) {
                drop(turn);
                if !has_ended(loading).await {
                    return Ok(false);
                }
                continue;
            }
            if !self.totals.are_held(reader).await? {
                return Ok(false);
            }
            let (now, changed) = self.totals.changed_since(self.held.seen());
            if self.held.is_as_of(now, window) || self.catch_up(reader, now, &changed, window).await? {
                return Ok(self.fit_into_memory(&mut turn));
            }
            if turn.next_load.is_some_and(|next| Instant::now() < next) {
                return Ok(false);
            }
            let (loading, ended) = watch::channel(());
            turn.loading = Some(ended);
            let (attempts, pools) = (self.clone(), pools.clone());
            // Also when nobody waits for it any more.
            actix::spawn(async move { attempts.load(pools, now, window, loading).await });
        }
    }

    async fn catch_up(
        &self,
        reader: &Reader,
        now: Seen,
        changed: &[(i32, i64)],
        window: Duration,
    ) -> Result<bool, ActorError> {
        let pools = reader.pools.clone()?;
        let mut connection = pools.own.get().await?;
        let catch_up =
            async |tx: &mut Transaction<'_>| self.held.catch_up(tx, now, changed, window, reader.limit).await;
        Ok(connection.transaction("query.read_changed_attempts", reader.limit, catch_up).await?)
    }

    /// Forgets the attempts where they have come to take too much memory.
    fn fit_into_memory(&self, turn: &mut LoadTurn) -> bool {
        let fit = self.measure() + self.totals.bytes() <= MOST_BYTES;
        if !fit {
            self.release();
            turn.next_load = Some(Instant::now() + TOO_MANY);
        }
        fit
    }

    /// Reads all attempts. `loading` is dropped when that has ended.
    async fn load(&self, pools: Pools, now: Seen, window: Duration, loading: watch::Sender<()>) {
        let (begun, most) = (Instant::now(), MOST_BYTES.saturating_sub(self.totals.bytes()));
        let load = async {
            let mut connection = pools.counts.get().await?;
            let load = async |tx: &mut Transaction<'_>| self.held.load(tx, now, window, most, LOAD).await;
            connection.transaction("query.load_attempts", LOAD, load).await
        };
        let loaded: Result<bool, DatabaseError> = load.await;
        let rest = match loaded {
            Ok(true) => begun.elapsed() * RESTS,
            Ok(false) => TOO_MANY,
            Err(error) => {
                tracing::warn!(%error, "the attempts could not be read");
                PAUSE
            }
        };
        let mut turn = self.turn.lock().await;
        turn.next_load = Some(Instant::now() + rest);
        turn.loading = None;
        drop(loading);
    }
}

/// Whether reading all attempts has ended while there was still time for another way.
async fn has_ended(mut loading: watch::Receiver<()>) -> bool {
    let patience = left().min(PATIENCE).mul_f32(0.75);
    // Nothing is ever sent: it ends when the sender is dropped.
    timeout(patience, loading.changed()).await.is_ok()
}

/// The incident of the filter's request, where it has one: 0 where there is none.
async fn incident(reader: &Reader, filter: &IncidentFilter) -> Result<Option<i64>, ActorError> {
    let Some(request) = &filter.remediation_request_id else { return Ok(None) };
    let bucket = Bucket::of(request).get();
    let find = async |ask: Ask<'_>| -> Result<Option<i64>, Error> {
        let find =
            "-- query.find_incident\nSELECT i.id FROM incident_ids AS i WHERE i.bucket = $1 AND i.correlation_id = $2";
        let rows = ask.client().query(&ask.prepare(find).await?, &[&bucket, request]).await?;
        Ok(Some(rows.first().map_or(0, |row| row.get("id"))))
    };
    reader.read_either("query.find_incident", true, find).await
}
