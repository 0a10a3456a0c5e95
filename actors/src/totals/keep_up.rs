//! Keeps the held counts up with the database. A question first reads what was committed since the last one, so that its answer is never
//! older than the question.

use super::changes::{changes_of, incidents_of, values};
use super::held::{HeldCounts, Server};
use crate::db::connection::Connection;
use crate::db::template::sql;
use crate::db::transaction::Transaction;
use futures_util::{TryStreamExt, try_join};
use std::pin::pin;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Error, Row, Statement};

/// More memory than this the counts and the attempts do not take together: PostgreSQL counts then.
pub(crate) const MOST_BYTES: usize = 384 << 20;

/// HeldTotals that questions share.
#[derive(Default, Clone)]
pub(crate) struct HeldTotals(Arc<RwLock<HeldCounts>>);

/// What a look at the state of the counts found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// The held counts are those of this moment.
    Held,
    /// They are to be read first.
    Other,
    /// Not all incidents are counted yet.
    NotWhole,
}

/// What the held counts had taken in at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    pub server: Option<Server>,
    pub generation: i64,
    begun: u64,
    changes: usize,
}

/// The statements that [`HeldTotals::look`] needs.
pub(crate) struct StateStatements {
    pub state: Statement,
    /// Set where the tables are distributed.
    unfolded: Option<Statement>,
}

impl StateStatements {
    /// # Errors
    /// PostgreSQL's.
    pub async fn prepare(
        ask: impl AsyncFn(&str) -> Result<Statement, Error>,
        is_distributed: bool,
    ) -> Result<Self, Error> {
        let state = ask(sql!("read_state.sql")).await?;
        let unfolded = if is_distributed { Some(ask(sql!("read_unfolded.sql")).await?) } else { None };
        Ok(StateStatements { state, unfolded })
    }
}

impl HeldTotals {
    pub fn read(&self) -> RwLockReadGuard<'_, HeldCounts> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in what was committed since the last look. One look at a time.
    ///
    /// # Errors
    /// PostgreSQL's.
    pub async fn look(&self, client: &Client, statements: &StateStatements) -> Result<Found, Error> {
        let state = self.read_state(client, &statements.state);
        let (rows, unfolded) = match &statements.unfolded {
            None => (state.await?, None),
            // The state goes first: what is folded behind it is among the changes.
            Some(statement) => {
                let generation = self.read().generation;
                let own: [&(dyn ToSql + Sync); 1] = [&generation];
                let (rows, unfolded) = try_join!(state, client.query(statement, &own))?;
                (rows, Some(unfolded))
            }
        };
        Ok(self.take_in(&rows, unfolded))
    }

    /// The state of the counts.
    ///
    /// # Errors
    /// PostgreSQL's.
    pub async fn read_state(&self, client: &Client, statement: &Statement) -> Result<Vec<Row>, Error> {
        let (generation, seen) = {
            let held = self.read();
            (held.generation, held.seen.to_string())
        };
        client.query(statement, &[&seen, &generation]).await
    }

    /// The changes in one shard that the held counts may lack: to be read behind the state.
    ///
    /// # Errors
    /// PostgreSQL's.
    pub async fn read_unfolded(&self, connection: &mut Connection) -> Result<Vec<Row>, Error> {
        let statement = connection.prepare(sql!("read_unfolded.sql")).await?;
        let generation = self.read().generation;
        connection.client().query(&statement, &[&generation]).await
    }

    /// Takes in a state, and the changes, which are part of it where the tables are whole.
    pub fn take_in(&self, state: &[Row], unfolded: Option<Vec<Row>>) -> Found {
        let Some(first) = state.first() else { return Found::NotWhole };
        if !first.get::<_, bool>("is_whole") {
            return Found::NotWhole;
        }
        let mut held = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if held.generation != first.get::<_, i64>("generation") || held.server != Some(first.get("server")) {
            return Found::Other;
        }
        match &unfolded {
            None => {
                for row in state.iter().filter(|row| row.get::<_, Option<i64>>("number").is_some()) {
                    take(&mut held, row);
                }
            }
            Some(unfolded) => unfolded.iter().for_each(|row| take(&mut held, row)),
        }
        held.seen = held.seen.max(first.get("seen"));
        Found::Held
    }

    /// Reads what was folded since, or everything; `false` where that is not worth its memory.
    ///
    /// # Errors
    /// PostgreSQL's.
    pub async fn load(&self, tx: &mut Transaction<'_>, limit: Duration) -> Result<bool, Error> {
        let snapshot = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout";
        tx.client().batch_execute(&format!("{snapshot} = {}", limit.as_millis())).await?;
        let state = tx.prepare(sql!("read_state.sql")).await?;
        let combinations = tx.prepare(sql!("read_combinations.sql")).await?;
        let blocks = tx.prepare(include_str!("read_blocks.sql")).await?;
        let is_distributed = tx.is_distributed();
        let changes =
            tx.prepare(if is_distributed { sql!("read_unfolded.sql") } else { sql!("read_changes.sql") }).await?;
        let client = tx.client();
        let no_generation = -1_i64;
        let state = client.query_one(&state, &[&"0", &no_generation]).await?;
        let server: Server = state.get("server");
        let (last, generation) = {
            let held = self.read();
            if held.server == Some(server) { (held.combinations.last(), held.generation) } else { (0, -1) }
        };
        // A large store has many combinations: they are taken in as they come.
        let mut fresh = HeldCounts::of(server);
        let mut new = Vec::new();
        {
            let params: [&(dyn ToSql + Sync); 1] = [&last];
            let mut rows = pin!(client.query_raw(&combinations, params).await?);
            while let Some(row) = rows.try_next().await? {
                match generation {
                    -1 => fresh.combinations.add(row.get::<_, i32>("id").unsigned_abs(), &values(&row)),
                    _ => new.push(row),
                }
            }
        }
        let generation_params: [&(dyn ToSql + Sync); 1] = [&generation];
        let read: i64 = state.get("generation");
        let of_state: [&(dyn ToSql + Sync); 1] = [&read];
        let changes_params: &[&(dyn ToSql + Sync)] = if is_distributed { &of_state } else { &[] };
        let (blocks, changes) =
            try_join!(client.query(&blocks, &generation_params), client.query(&changes, changes_params))?;
        let counts = self.clone();
        let add = move || {
            if generation == -1 {
                add(&mut fresh, &state, &new, &blocks, &changes);
                let is_worth_it = fresh.bytes() <= MOST_BYTES;
                *counts.0.write().unwrap_or_else(PoisonError::into_inner) =
                    if is_worth_it { fresh } else { HeldCounts::default() };
                return is_worth_it;
            }
            let mut held = counts.0.write().unwrap_or_else(PoisonError::into_inner);
            add(&mut held, &state, &new, &blocks, &changes);
            held.bytes() <= MOST_BYTES
        };
        // Of a large store that takes longer than a thread for reads can be held up. A panic in it leaves the counts as they were.
        Ok(tokio::task::spawn_blocking(add).await.unwrap_or(false))
    }

    /// Which incidents may have changed since a time that was told before, as far as that is not folded.
    pub fn changed_since(&self, seen: Option<Seen>) -> (Seen, Vec<(i32, i64)>) {
        let held = self.read();
        let now =
            Seen { server: held.server, generation: held.generation, begun: held.begun, changes: held.changed.len() };
        let known = seen.filter(|seen| (seen.generation, seen.begun) == (now.generation, now.begun));
        (now, held.changed.get(known.map_or(0, |seen| seen.changes)..).unwrap_or_default().to_vec())
    }

    /// Forgets everything.
    pub fn release(&self) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = HeldCounts::default();
    }
}

fn add(held: &mut HeldCounts, state: &Row, combinations: &[Row], blocks: &[Row], changes: &[Row]) {
    held.begin(state.get("generation"));
    for row in combinations {
        held.combinations.add(row.get::<_, i32>("id").unsigned_abs(), &values(row));
    }
    held.replace(blocks.iter().map(|row| (row.get("hour"), row.get::<_, &[u8]>("entries").into())));
    for row in changes {
        take(held, row);
    }
    held.seen = held.seen.max(state.get("seen"));
}

fn take(held: &mut HeldCounts, row: &Row) {
    if held.is_new(row.get("number")) {
        changes_of(row, |change| held.take_change(&change));
        held.changed.extend(incidents_of(row));
    }
}
