//! Answers from the attempts in memory (`attempts/`).

use super::pipeline::Ask;
use super::success_rate::{GetSuccessRate, SuccessRates};
use super::totals::{IDLE, LOAD, PAUSE, TOO_MANY, Totals};
use super::{Pools, Reader};
use crate::attempts::{AttemptTable, HeldAttempts, RateQuestion};
use crate::db::sqlstate::DatabaseError;
use crate::db::transaction::Transaction;
use crate::domain::bucket::Bucket;
use crate::domain::filter::IncidentFilter;
use crate::error::ActorError;
use crate::metrics::Metrics;
use crate::totals::{MOST_BYTES, Seen};
use crate::waiting::left;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, Semaphore, watch};
use tokio::time::timeout;
use tokio_postgres::Error;

/// The attempts that this actor's questions share.
#[derive(Clone)]
pub(super) struct Attempts {
    held: HeldAttempts,
    totals: Totals,
    metrics: Metrics,
    /// Questions that are being answered.
    passes: Arc<Semaphore>,
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

/// What is done where the attempts are not held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unheld {
    /// PostgreSQL answers.
    Leave,
    /// They are read, and the question waits for that.
    Load,
    /// They are read for the next questions; PostgreSQL answers this one.
    LoadBeside,
}

/// Which attempts a count is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Freshness {
    /// Those that are held, where nothing has changed since.
    AsHeld,
    /// What has changed is read first, and where none are held all of them are, for the next questions.
    CaughtUp,
}

/// The window in which an alert comes back, where nobody has said one yet.
const WINDOW: Duration = Duration::from_secs(24 * 3600);

/// How long a question waits at most for all attempts to be read: for PostgreSQL they are as much work.
const PATIENCE: Duration = Duration::from_secs(4);

/// What an attempt takes at least.
const LEAST_BYTES: usize = 80;
/// How often changes are taken in beside the questions, and for how long after the last one.
pub(super) const KEEP_UP: Duration = Duration::from_secs(5);
const RECENTLY: Duration = Duration::from_secs(120);
/// How many times as long as reading all attempts has taken it is not done again.
const RESTS: u32 = 4;

impl Attempts {
    pub fn new(totals: Totals, metrics: Metrics) -> Self {
        let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        let passes = Arc::new(Semaphore::new(cores));
        Attempts { held: HeldAttempts::default(), totals, metrics, passes, turn: Rc::default() }
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
        let unheld = if message.may_hold { Unheld::Load } else { Unheld::Leave };
        if !self.are_held(reader, Some(message.recurrence_window), unheld).await? {
            return Ok(None);
        }
        let asked = RateQuestion {
            filter: message.filter.clone(),
            incident: incident(reader, &message.filter).await?,
            group_by: message.group_by.clone(),
            limit: usize::try_from(message.limit).unwrap_or(usize::MAX),
            after: message.after.clone(),
        };
        let rates = self.work(move |attempts| attempts.rates(&asked)).await?;
        Ok(rates.map(SuccessRates::from))
    }

    /// What `read` makes of the attempts, as of now, for a filter that asks for no request; `None` where PostgreSQL is to be asked.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn read<T: Send + 'static>(
        &self,
        reader: &Reader,
        filter: &IncidentFilter,
        freshness: Freshness,
        read: impl FnOnce(&AttemptTable, &IncidentFilter) -> T + Send + 'static,
    ) -> Result<Option<T>, ActorError> {
        let can_tell = filter.remediation_request_id.is_none()
            && match freshness {
                Freshness::AsHeld => self.are_held_now(reader).await?,
                Freshness::CaughtUp => self.are_held(reader, None, Unheld::LoadBeside).await?,
            };
        if !can_tell {
            return Ok(None);
        }
        let filter = filter.clone();
        self.work(move |attempts| read(attempts, &filter)).await
    }

    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&AttemptTable) -> T + Send + 'static,
    ) -> Result<Option<T>, ActorError> {
        let held = self.held.clone();
        // As many at once as there are cores: each takes some bytes for every attempt.
        let Ok(Ok(turn)) = timeout(left(), self.passes.clone().acquire_owned()).await else {
            return Err(ActorError::Unavailable("too many statistics are asked for"));
        };
        // Many attempts are more work than a thread for reads can be held up with.
        let done = tokio::task::spawn_blocking(move || {
            let done = held.read(work);
            drop(turn);
            done
        });
        done.await.map_err(|_| ActorError::Internal)
    }

    /// Whether the attempts are held, and nothing has changed since they were read.
    async fn are_held_now(&self, reader: &Reader) -> Result<bool, ActorError> {
        let Some(window) = self.held.window() else { return Ok(false) };
        if let Ok(mut turn) = self.turn.try_lock() {
            turn.asked = Some(Instant::now());
        }
        let seen = self.held.seen();
        Ok(self.totals.are_held(reader).await? && self.held.is_as_of(self.totals.changed_since(seen).0, window))
    }

    /// Whether the attempts are held, as they are now: what was committed before this was called is in them. Recurrence is found out for
    /// `window`, where one is asked for.
    async fn are_held(&self, reader: &Reader, window: Option<Duration>, unheld: Unheld) -> Result<bool, ActorError> {
        // On distributed tables the notes say nothing of attempts.
        if reader.is_distributed {
            return Ok(false);
        }
        let pools = reader.pools.clone()?;
        loop {
            let mut turn = self.turn.lock().await;
            if unheld != Unheld::Leave {
                turn.asked = Some(Instant::now());
            } else if self.held.seen().is_none() {
                return Ok(false);
            }
            if let Some(loading) = turn.loading.clone().filter(|loading| loading.has_changed().is_ok()) {
                drop(turn);
                if unheld != Unheld::Load || !has_ended(loading).await {
                    return Ok(false);
                }
                continue;
            }
            if !self.totals.are_held(reader).await? {
                return Ok(false);
            }
            let window = window.or_else(|| self.held.window()).unwrap_or(WINDOW);
            let (now, changed) = self.totals.changed_since(self.held.seen());
            if self.held.is_as_of(now, window) {
                return Ok(true);
            }
            if self.has_caught_up(&pools, now, &changed, window, reader.limit).await {
                return Ok(self.fit_into_memory(&mut turn));
            }
            if unheld == Unheld::Leave || turn.next_load.is_some_and(|next| Instant::now() < next) {
                return Ok(false);
            }
            // They are of no use any more.
            self.release();
            let most = MOST_BYTES.saturating_sub(self.totals.bytes());
            if usize::try_from(self.totals.incidents()).unwrap_or(0).saturating_mul(LEAST_BYTES) > most {
                turn.next_load = Some(Instant::now() + TOO_MANY);
                return Ok(false);
            }
            let (loading, ended) = watch::channel(());
            turn.loading = Some(ended);
            let (attempts, pools) = (self.clone(), pools.clone());
            // Also when nobody waits for it any more.
            actix::spawn(async move { attempts.load(pools, now, window, most, loading).await });
        }
    }

    /// Whether what has changed is taken in. Where that fails PostgreSQL may still answer.
    async fn has_caught_up(
        &self,
        pools: &Pools,
        now: Seen,
        changed: &[(i32, i64)],
        window: Duration,
        limit: Duration,
    ) -> bool {
        if self.held.seen().is_none() {
            return false;
        }
        let catch_up = async {
            let mut connection = pools.own.get().await?;
            let catch_up = async |tx: &mut Transaction<'_>| self.held.catch_up(tx, now, changed, window, limit).await;
            connection.transaction("query.read_changed_attempts", limit, catch_up).await
        };
        let caught_up: Result<bool, DatabaseError> = catch_up.await;
        caught_up.unwrap_or_else(|error| {
            error.log("the attempts that have changed could not be read");
            false
        })
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
    async fn load(&self, pools: Pools, now: Seen, window: Duration, most: usize, loading: watch::Sender<()>) {
        let begun = Instant::now();
        let load = async {
            let mut connection = pools.own.get().await?;
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
        self.measure();
        let mut turn = self.turn.lock().await;
        turn.next_load = Some(Instant::now() + rest);
        turn.loading = None;
        drop(loading);
    }

    /// Takes in what has changed while somebody asks again and again, so that no question finds very much of it.
    pub fn keep_up(&self, reader: Reader) {
        let Ok(turn) = self.turn.try_lock() else { return };
        let is_asked = turn.asked.is_some_and(|asked| asked.elapsed() < RECENTLY);
        drop(turn);
        let Some(window) = self.held.window().filter(|_| is_asked) else { return };
        let attempts = self.clone();
        actix::spawn(async move { _ = attempts.are_held(&reader, Some(window), Unheld::Leave).await });
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
