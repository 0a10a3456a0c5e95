//! Exact answers from the counts (`totals/`): how many incidents fit a filter, and what they are counted by.

use super::pipeline::Ask;
use super::{ListIncidents, PageStart, Pools, Reader};
use crate::db::connection::Connection;
use crate::db::sqlstate::DatabaseError;
use crate::db::statement::{ComposedStatement, FactSource, SqlValue, conditions};
use crate::db::template::fill;
use crate::db::transaction::Transaction;
use crate::domain::cursor::Order;
use crate::domain::facts::counted;
use crate::domain::filter::IncidentFilter;
use crate::domain::totals::{CountedFilter, PartOfPeriod, Periods, Values, minute_of};
use crate::error::ActorError;
use crate::single_flight::{Joining, SingleFlight};
use crate::totals::{Fit, Found, HeldTotals, Minutes, Seen, StateStatements, values};
use crate::waiting::Waiting;
use chrono::{DateTime, Utc};
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::timeout;
use tokio_postgres::Row;

/// The counts that this actor's questions share.
#[derive(Clone)]
pub(super) struct Totals {
    counts: HeldTotals,
    looks: Rc<SingleFlight<(), bool>>,
    /// One look at a time.
    turn: Rc<Mutex<Turn>>,
}

#[derive(Default)]
struct Turn {
    /// When somebody asked last.
    asked: Option<Instant>,
    /// Until when they are not tried: they were found not to be whole, or not to be worth their memory, or could not be read.
    pause: Option<Instant>,
    /// Reads the counts, although nobody waits for them any more.
    loading: Option<JoinHandle<Result<bool, DatabaseError>>>,
}

/// So many incidents are looked through in less time than an index may take.
const FEW: i64 = 2_000;
/// Counts that are read in less time than that, in bytes.
const FEW_BYTES: usize = 100_000;
/// How long nothing is tried after that.
pub(super) const PAUSE: Duration = Duration::from_secs(5);
/// How long counts that take too much memory are not read again.
pub(super) const TOO_MANY: Duration = Duration::from_secs(600);
/// How long the counts are held for nobody.
pub(super) const IDLE: Duration = Duration::from_secs(900);
/// How often that is looked at.
pub(super) const REST: Duration = Duration::from_secs(60);
/// How long a question waits for the counts to be read.
const PATIENCE: Duration = Duration::from_millis(500);
/// How long reading all counts may take.
pub(super) const LOAD: Duration = Duration::from_secs(60);

impl Totals {
    pub fn new() -> Self {
        Totals {
            counts: HeldTotals::default(),
            looks: Rc::new(SingleFlight::new(Joining::BeforeStart)),
            turn: Rc::default(),
        }
    }

    /// Whether the counts are held, as they are now: what was committed before this was called is in them.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn are_held(&self, reader: &Reader) -> Result<bool, ActorError> {
        let (totals, reader) = (self.clone(), reader.clone());
        let look = move |waiting: Waiting| waiting.scope(move || async move { totals.look(&reader).await });
        self.looks.ask((), Waiting::current(), look).await
    }

    /// Whether they are being read, or looked at.
    pub fn are_loading(&self) -> bool {
        self.turn.try_lock().map_or(true, |turn| turn.loading.is_some())
    }

    /// What the held counts have taken in, and which incidents may have changed since `seen`, as far as that is not folded.
    pub fn changed_since(&self, seen: Option<Seen>) -> (Seen, Vec<(i32, i64)>) {
        self.counts.changed_since(seen)
    }

    /// How many incidents are counted.
    pub fn incidents(&self) -> i64 {
        let none = IncidentFilter::default();
        CountedFilter::of(&none).map_or(0, |all| self.counts.read().fit(all).count((i32::MIN, i32::MAX)))
    }

    /// The memory that the counts take.
    pub fn bytes(&self) -> usize {
        self.counts.read().bytes()
    }

    /// Gives the memory back where nobody has asked for long; the next question reads the counts again.
    pub fn rest(&self) {
        if let Ok(mut turn) = self.turn.try_lock()
            && turn.asked.is_some_and(|asked| asked.elapsed() > IDLE)
        {
            turn.asked = None;
            self.counts.release();
        }
    }

    async fn look(&self, reader: &Reader) -> Result<bool, ActorError> {
        let mut turn = self.turn.lock().await;
        turn.asked = Some(Instant::now());
        if turn.pause.is_some_and(|until| Instant::now() < until) {
            return Ok(false);
        }
        turn.pause = None;
        let is_joined = turn.loading.is_some();
        let mut found = match turn.loading {
            Some(_) => Found::Other,
            None => self.read_changes(reader).await?,
        };
        if found == Found::Other {
            let pools = reader.pools.clone()?;
            let load = turn.loading.take().unwrap_or_else(|| actix::spawn(load(pools, self.counts.clone())));
            found = match patient(load).await {
                Ok(loaded) => match loaded.map_err(|_| ActorError::Internal)? {
                    Ok(true) => Found::Held,
                    Ok(false) => {
                        turn.pause = Some(Instant::now() + TOO_MANY);
                        self.counts.release();
                        return Ok(false);
                    }
                    // It may have begun long before this question, and says nothing of what PostgreSQL can answer now.
                    Err(error) => {
                        tracing::warn!(%error, "the counts could not be read");
                        turn.pause = Some(Instant::now() + PAUSE);
                        return Ok(false);
                    }
                },
                // Of a large store they are read in the background; PostgreSQL counts meanwhile.
                Err(load) => {
                    turn.loading = Some(load);
                    return Ok(false);
                }
            };
        }
        // That was begun before this question.
        if is_joined && found == Found::Held {
            found = self.read_changes(reader).await?;
        }
        if found == Found::NotWhole {
            turn.pause = Some(Instant::now() + PAUSE);
            self.counts.release();
        }
        Ok(found == Found::Held)
    }

    async fn read_changes(&self, reader: &Reader) -> Result<Found, ActorError> {
        if let Some(direct) = reader.pools.clone()?.direct {
            let state = async |ask: Ask<'_>| {
                let statements = StateStatements::prepare(async |sql: &str| ask.prepare(sql).await, false).await?;
                self.counts.read_state(ask.client(), &statements.state).await
            };
            let state = reader.read_either("query.read_counts", true, state).await?;
            let read = async |connection: &mut Connection| self.counts.read_unfolded(connection).await;
            if let Some(changes) = direct.read_each("query.read_unfolded", reader.limit, read).await? {
                return Ok(self.counts.take_in(&state, Some(changes.into_iter().flatten().collect())));
            }
        }
        let look = async |ask: Ask<'_>| {
            let prepare = async |sql: &str| ask.prepare(sql).await;
            let statements = StateStatements::prepare(prepare, reader.is_distributed).await?;
            self.counts.look(ask.client(), &statements).await
        };
        reader.read_either("query.read_counts", true, look).await
    }

    /// How many incidents fit; `None` where the counts cannot tell.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn count(&self, reader: &Reader, filter: &IncidentFilter) -> Result<Option<i64>, ActorError> {
        let Some(counted) = CountedFilter::of(filter) else { return Ok(None) };
        if !self.are_held(reader).await? {
            return Ok(None);
        }
        let (parts, of_minutes) = {
            let held = self.counts.read();
            if !held.is_held() {
                return Ok(None);
            }
            let (fit, periods) = (held.fit(counted), held.periods(&counted));
            let of_minutes = fit.count(periods.minutes);
            (parts(&fit, periods), of_minutes)
        };
        let rest = rest(reader, filter, &parts).await?;
        Ok(Some(of_minutes + rest.iter().map(|row| row.get::<_, i64>("n")).sum::<i64>()))
    }

    /// The minutes in which the first `wanted` incidents of a page are, where that is a shorter way to them than an index: `None` where it is not,
    /// or where the counts cannot tell.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn minutes(
        &self,
        reader: &Reader,
        message: &ListIncidents,
        wanted: i64,
    ) -> Result<Option<Minutes>, ActorError> {
        let Some(counted) = CountedFilter::of(&message.filter) else { return Ok(None) };
        let has_index = message.filter.facts().any(|(fact, _)| fact.listed);
        if counted.facts() < 2 && (has_index || counted.facts() == 0) || !self.are_held(reader).await? {
            return Ok(None);
        }
        let newest = message.order == Order::Newest;
        let (since, until) = match message.start {
            PageStart::After(cursor) if newest => (counted.since, Some(cursor.action_timestamp)),
            PageStart::After(cursor) => (Some(cursor.action_timestamp), counted.until),
            PageStart::Offset(_) => (counted.since, counted.until),
        };
        // Parts of minutes at the ends are looked through too.
        let first = since.map_or(i32::MIN, minute_of);
        let last = until.map_or(i32::MAX, minute_of);
        let after = |minute: i32| if minute == i32::MIN { minute } else { minute.saturating_add(1) };
        let (minutes, whole) = ((first, after(last)), (after(first), last));
        if has_index {
            let held = self.counts.read();
            let found = held.fit(counted).minutes(minutes, whole, newest, wanted, FEW_BYTES);
            return Ok(found.filter(|found| found.incidents <= FEW && held.is_held()));
        }
        let (counts, filter) = (self.counts.clone(), message.filter.clone());
        let work = move || {
            let counted = CountedFilter::of(&filter)?;
            let held = counts.read();
            held.is_held().then(|| held.fit(counted).minutes(minutes, whole, newest, wanted, usize::MAX))?
        };
        // Of a rare status all counts may have to be read.
        tokio::task::spawn_blocking(work).await.map_err(|_| ActorError::Internal)
    }

    /// What `read` makes of the counts: of what fits in these whole minutes, and of the rest. `None` where the counts cannot tell.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn read<T: Send + 'static>(
        &self,
        reader: &Reader,
        filter: &IncidentFilter,
        read: impl FnOnce(&Fit<'_>, (i32, i32), &[Rest<'_>]) -> T + Send + 'static,
    ) -> Result<Option<T>, ActorError> {
        let Some(counted) = CountedFilter::of(filter) else { return Ok(None) };
        if !self.are_held(reader).await? {
            return Ok(None);
        }
        let (minutes, parts) = {
            let held = self.counts.read();
            let periods = held.periods(&counted);
            (periods.minutes, parts(&held.fit(counted), periods))
        };
        let rows = rest(reader, filter, &parts).await?;
        let (counts, filter) = (self.counts.clone(), filter.clone());
        let work = move || {
            let counted = CountedFilter::of(&filter)?;
            let rest = |row| Rest { time: Row::get(row, "time"), values: values(row), count: row.get("n") };
            let rest: Vec<Rest<'_>> = rows.iter().map(rest).collect();
            let held = counts.read();
            // Meanwhile they may have been given back, or an hour come to be known as a whole only.
            let is_same = held.is_held() && held.periods(&counted).minutes == minutes;
            is_same.then(|| read(&held.fit(counted), minutes, &rest))
        };
        // Many incidents are more work than a thread for reads can be held up with.
        tokio::task::spawn_blocking(work).await.map_err(|_| ActorError::Internal)
    }
}

/// Reads the counts, or what was folded since.
async fn load(pools: Pools, counts: HeldTotals) -> Result<bool, DatabaseError> {
    let mut connection = pools.counts.get().await?;
    let load = async |tx: &mut Transaction<'_>| counts.load(tx, LOAD).await;
    connection.transaction("query.load_counts", LOAD, load).await
}

/// What a task comes to, or the task where that takes long.
async fn patient<T>(mut task: JoinHandle<T>) -> Result<Result<T, JoinError>, JoinHandle<T>> {
    match timeout(PATIENCE, &mut task).await {
        Ok(done) => Ok(done),
        Err(_) => Err(task),
    }
}

/// The place of a column among the counted facts.
pub(super) fn place_of(column: &str) -> Option<usize> {
    counted().position(|fact| fact.column == column)
}

/// Incidents of a part of a minute.
pub(super) struct Rest<'a> {
    /// The start of their hour.
    pub time: DateTime<Utc>,
    pub values: Values<&'a str>,
    pub count: i64,
}

/// The parts of periods at the ends of a filter's time that may have anything.
fn parts(fit: &Fit<'_>, periods: Periods) -> Vec<PartOfPeriod> {
    periods.parts.into_iter().filter(|part| fit.count(part.within) != 0).collect()
}

/// The incidents of these parts.
async fn rest(reader: &Reader, filter: &IncidentFilter, parts: &[PartOfPeriod]) -> Result<Vec<Row>, ActorError> {
    if parts.is_empty() {
        return Ok(Vec::new());
    }
    let statement = rest_statement(filter, parts);
    let read = async |ask: Ask<'_>| ask.run(&statement).await;
    reader.read_either("query.count_rest", true, read).await
}

fn rest_statement<'a>(filter: &'a IncidentFilter, parts: &[PartOfPeriod]) -> ComposedStatement<'a> {
    let mut values = Vec::new();
    let clauses = conditions(filter, FactSource::OfIncidents, &mut values);
    let and: String = clauses.iter().map(|clause| format!(" AND {clause}")).collect();
    let parts: Vec<String> = parts
        .iter()
        .map(|part| {
            values.push(SqlValue::Time(part.since));
            values.push(SqlValue::Time(part.until));
            let (from, to) = (values.len() - 1, values.len());
            format!(
                "SELECT * FROM resource_action_traces AS t WHERE t.action_timestamp >= ${from} AND t.action_timestamp < ${to}{and}"
            )
        })
        .collect();
    let sql = fill(
        "-- query.count_rest\nSELECT date_trunc('hour', t.action_timestamp, 'UTC') AS time, {counted|t.@}, count(*) AS n\nFROM (",
    );
    let end = fill(") AS t\nGROUP BY time, {counted|t.@}");
    ComposedStatement { sql: format!("{sql}{}{end}", parts.join("\nUNION ALL\n")), values }
}
