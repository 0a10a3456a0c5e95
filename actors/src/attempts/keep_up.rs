//! Keeps the attempts in memory up with the database, by what the notes of the counts say.

use super::held::{AttemptTable, CountedBy, End, HeldAttempt};
use super::place_of;
use crate::db::template::sql;
use crate::db::transaction::Transaction;
use crate::domain::facts::{GROUPED, ONLY_FILTERED, grouped, only_filtered};
use crate::domain::totals::start_of;
use crate::totals::Seen;
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::TryStreamExt;
use std::collections::{HashMap, HashSet};
use std::mem::take;
use std::pin::pin;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Row};

/// The attempts that questions share.
#[derive(Default, Clone)]
pub(crate) struct HeldAttempts(Arc<RwLock<HeldState>>);

#[derive(Default)]
struct HeldState {
    attempts: AttemptTable,
    /// The changes up to which they have been taken in; `None` where nothing is held.
    seen: Option<Seen>,
}

/// Where more incidents may have changed than this, all are read.
const MOST_CHANGED: usize = 50_000;
/// What an attempt that ended before its request went on takes while all are read, in bytes.
const EARLIER_BYTES: usize = 300;
/// Rows that are taken in at once.
const ROWS: usize = 4096;

const SNAPSHOT: &str = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout";

/// What is to be read again: incidents, with the starts of their minutes, and minutes as a whole.
#[derive(Debug, Default, PartialEq, Eq)]
struct ToRead {
    incidents: HashMap<i64, i32>,
    /// Sorted, and none twice.
    minutes: Vec<i32>,
}

impl ToRead {
    fn add(&mut self, minute: i32, incident: i64) {
        match incident {
            0 => self.minutes.push(minute),
            incident => _ = self.incidents.insert(incident, minute),
        }
    }

    /// The times of the minutes; those that meet are one.
    fn times(&self) -> (Vec<DateTime<Utc>>, Vec<DateTime<Utc>>) {
        let starts = |chunk: &[i32]| (start_of(chunk[0]), start_of(chunk[chunk.len() - 1]) + TimeDelta::minutes(1));
        self.minutes.chunk_by(|a, b| i64::from(*b) == i64::from(*a) + 1).map(starts).unzip()
    }
}

impl HeldAttempts {
    pub fn seen(&self) -> Option<Seen> {
        self.held().seen
    }

    /// Whether what is held is as of this time, for this window.
    pub fn is_as_of(&self, now: Seen, window: Duration) -> bool {
        let held = self.held();
        held.seen == Some(now) && held.attempts.window == Some(micros(window))
    }

    /// For which recurrence was found out; `None` where nothing is held.
    pub fn window(&self) -> Option<Duration> {
        let held = self.held();
        let micros = held.attempts.window.filter(|_| held.seen.is_some())?;
        u64::try_from(micros).ok().map(Duration::from_micros)
    }

    fn held(&self) -> RwLockReadGuard<'_, HeldState> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// What `read` makes of the attempts; `None` where none are held.
    pub fn read<T>(&self, read: impl FnOnce(&AttemptTable) -> T) -> Option<T> {
        let held = self.held();
        held.seen.is_some().then(|| read(&held.attempts))
    }

    /// How many there are, and the memory that they take.
    pub fn size(&self) -> (usize, usize) {
        let held = self.held();
        match held.seen {
            Some(_) => (held.attempts.len(), held.attempts.bytes()),
            None => (0, 0),
        }
    }

    /// Forgets everything.
    pub fn release(&self) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = HeldState::default();
    }

    /// Takes in what has changed up to `now`: these incidents, and those of the folds until then. `false` where it is not known which incidents
    /// these are, or where they are so many that all should be read.
    ///
    /// # Errors
    /// PostgreSQL's.
    pub async fn catch_up(
        &self,
        tx: &mut Transaction<'_>,
        now: Seen,
        unfolded: &[(i32, i64)],
        window: Duration,
        limit: Duration,
    ) -> Result<bool, Error> {
        let Some(seen) = self.seen().filter(|seen| seen.server == now.server) else { return Ok(false) };
        tx.client().batch_execute(&format!("{SNAPSHOT} = {}", limit.as_millis())).await?;
        let mut changed = ToRead::default();
        if seen.generation != now.generation {
            let folds = tx.prepare(include_str!("read_folded.sql")).await?;
            let rows = tx.client().query(&folds, &[&seen.generation, &now.generation]).await?;
            // Those of long ago are forgotten, and an older program keeps none.
            if i64::try_from(rows.len()) != Ok(now.generation - seen.generation) {
                return Ok(false);
            }
            for row in &rows {
                let (minutes, ids): (Vec<i32>, Vec<i64>) = (row.get("minutes"), row.get("ids"));
                minutes.into_iter().zip(ids).for_each(|(minute, id)| changed.add(minute, id));
            }
        }
        unfolded.iter().for_each(|(minute, id)| changed.add(*minute, *id));
        changed.minutes.sort_unstable();
        changed.minutes.dedup();
        if changed.incidents.len() + changed.minutes.len() > MOST_CHANGED {
            return Ok(false);
        }
        let (ids, minutes): (Vec<i64>, Vec<DateTime<Utc>>) =
            changed.incidents.iter().map(|(id, minute)| (*id, start_of(*minute))).unzip();
        let mut rows = Vec::new();
        if !ids.is_empty() {
            let read = tx.prepare(sql!("read_changed.sql")).await?;
            rows.extend(tx.client().query(&read, &[&ids, &minutes]).await?);
        }
        let mut meant: HashSet<i64> = ids.into_iter().collect();
        if !changed.minutes.is_empty() {
            let (firsts, nexts) = changed.times();
            let read = tx.prepare(sql!("read_minutes.sql")).await?;
            let most = i64::try_from(MOST_CHANGED).unwrap_or(i64::MAX);
            let of_minutes = tx.client().query(&read, &[&firsts, &nexts, &most]).await?;
            if of_minutes.len() == MOST_CHANGED {
                return Ok(false);
            }
            rows.extend(of_minutes);
        }
        meant.extend(rows.iter().map(|row| row.get::<_, i64>("id")));
        let meant: Vec<i64> = meant.into_iter().collect();
        let mut earlier = Earlier::default();
        if !meant.is_empty() {
            let read = tx.prepare(include_str!("read_earlier.sql")).await?;
            earlier.add(&tx.client().query(&read, &[&meant]).await?);
        }
        let held = self.clone();
        let put = move || {
            let mut held = held.0.write().unwrap_or_else(PoisonError::into_inner);
            // Meanwhile somebody else may have gone on, or given the memory back.
            if held.seen != Some(seen) {
                return false;
            }
            let mut gone: HashSet<i64> = meant.into_iter().collect();
            gone.extend(held.attempts.incidents_of_minutes(&changed.minutes));
            for row in &rows {
                // One may come for its own sake and for its minute's.
                if gone.remove(&row.get("id")) {
                    put(&mut held.attempts, row, &mut earlier);
                }
            }
            for incident in gone {
                held.attempts.put(incident, CountedBy::default(), &[]);
            }
            held.attempts.find_recurred(micros(window));
            held.seen = Some(now);
            true
        };
        let is_put = spawn_blocking(put).await;
        if is_put.is_err() {
            // What a panic leaves behind is a part of the changes.
            self.release();
        }
        Ok(is_put.unwrap_or(false))
    }

    /// Reads all attempts, as of `now` or later; `false` where they would take more than `most` bytes.
    ///
    /// # Errors
    /// PostgreSQL's.
    pub async fn load(
        &self,
        tx: &mut Transaction<'_>,
        now: Seen,
        window: Duration,
        most: usize,
        limit: Duration,
    ) -> Result<bool, Error> {
        tx.client().batch_execute(&format!("{SNAPSHOT} = {}", limit.as_millis())).await?;
        let none: [&(dyn ToSql + Sync); 0] = [];
        let read = tx.prepare(include_str!("read_all_earlier.sql")).await?;
        let mut earlier = Earlier::default();
        {
            let mut stream = pin!(tx.client().query_raw(&read, none).await?);
            while let Some(row) = stream.try_next().await? {
                earlier.add(&[row]);
                if earlier.0.len() * EARLIER_BYTES > most {
                    return Ok(false);
                }
            }
        }
        let (rows, mut come) = mpsc::channel::<Vec<Row>>(4);
        // Of a large store that takes longer than a thread for reads can be held up.
        let taken_in = spawn_blocking(move || {
            let (mut attempts, mut measured) = (AttemptTable::default(), 0);
            while let Some(rows) = come.blocking_recv() {
                for row in &rows {
                    put(&mut attempts, row, &mut earlier);
                }
                if attempts.len() > measured + measured / 4 + 16 * ROWS {
                    measured = attempts.len();
                    if attempts.bytes() > most {
                        return None;
                    }
                }
            }
            attempts.find_recurred(micros(window));
            Some(attempts)
        });
        let read = tx.prepare(sql!("read_all.sql")).await?;
        let mut stream = pin!(tx.client().query_raw(&read, none).await?);
        let mut some = Vec::with_capacity(ROWS);
        while let Some(row) = stream.try_next().await? {
            some.push(row);
            if some.len() == ROWS && rows.send(take(&mut some)).await.is_err() {
                break;
            }
        }
        // Who takes them has ended where they are too many.
        let _ = rows.send(some).await;
        drop(rows);
        // Only now are they known to be all: where a read fails, what came before it is dropped.
        let Some(attempts) = taken_in.await.ok().flatten() else { return Ok(false) };
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = HeldState { attempts, seen: Some(now) };
        Ok(true)
    }
}

fn micros(window: Duration) -> i64 {
    i64::try_from(window.as_micros()).unwrap_or(i64::MAX / 2)
}

/// The attempts that ended before their request went on, by incident and its time.
#[derive(Default)]
struct Earlier(HashMap<(i64, i64), Vec<EarlierAttempt>>);

struct EarlierAttempt {
    action_type: Option<String>,
    status: String,
    duration: i64,
    ended_at: i64,
}

impl Earlier {
    fn add(&mut self, rows: &[Row]) {
        for row in rows {
            let incident = (row.get("incident_id"), time(row, "action_timestamp"));
            self.0.entry(incident).or_default().push(EarlierAttempt {
                action_type: row.get("action_type"),
                status: row.get("execution_status"),
                duration: duration(row),
                ended_at: time(row, "ended_at"),
            });
        }
    }
}

fn time(row: &Row, column: &str) -> i64 {
    row.get::<_, DateTime<Utc>>(column).timestamp_micros()
}

fn duration(row: &Row) -> i64 {
    row.get::<_, Option<i64>>("duration_ms").unwrap_or(-1)
}

/// Puts the attempts of the incident of this row.
fn put(attempts: &mut AttemptTable, row: &Row, earlier: &mut Earlier) {
    let (incident, opened) = (row.get("id"), time(row, "action_timestamp"));
    let mut values: [Option<&str>; GROUPED] = [None; GROUPED];
    for (value, fact) in values.iter_mut().zip(grouped()) {
        *value = row.get(fact.column);
    }
    let mut digests = [0; ONLY_FILTERED];
    for (digest, fact) in digests.iter_mut().zip(only_filtered()) {
        *digest = attempts.digest(row.get(fact.column));
    }
    let status = place_of("execution_status");
    let last = HeldAttempt {
        time: opened,
        ended_at: time(row, "ended_at"),
        duration: duration(row),
        facts: attempts.facts_of(&values),
        end: End::of(status.and_then(|status| values[status]).unwrap_or_default()),
        is_last: true,
    };
    let before = earlier.0.remove(&(incident, opened)).unwrap_or_default();
    let mut all = vec![last];
    for attempt in &before {
        let mut own = values;
        for (column, value) in
            [("action_type", attempt.action_type.as_deref()), ("execution_status", Some(attempt.status.as_str()))]
        {
            if let Some(place) = place_of(column) {
                own[place] = value;
            }
        }
        all.push(HeldAttempt {
            time: opened,
            ended_at: attempt.ended_at,
            duration: attempt.duration,
            facts: attempts.facts_of(&own),
            end: End::of(&attempt.status),
            is_last: false,
        });
    }
    if let Some(action) = place_of("action_type") {
        values[action] = row.get("stated_action");
    }
    let facts = attempts.facts_of(&values);
    attempts.put(incident, CountedBy { facts, digests }, &all);
}
