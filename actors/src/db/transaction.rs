//! The one way to a transaction. Each has a name, is timed under that name, ends with its caller's deadline, and leaves its connection
//! either fit for the next one or spoilt.

use super::connection::{Connection, LOCK_TIMEOUT};
use super::locks::Lock;
use super::pool_state::PoolState;
use super::sqlstate::{DatabaseError, DatabaseFault};
use crate::trace::{self, Span, SpanKind};
use crate::waiting::{Waiting, left};
use backon::{BackoffBuilder, ExponentialBuilder};
use futures_util::join;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::{sleep, timeout};
use tokio_postgres::{Client, Error};

/// How often a transaction that met another one is tried again.
const RETRIES: usize = 5;

/// Pauses between these tries. They differ by chance, so that two replicas do not meet again and again.
fn pauses() -> impl Iterator<Item = Duration> {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(1))
        .with_max_delay(Duration::from_millis(50))
        .with_max_times(RETRIES)
        .with_jitter()
        .build()
}

impl Connection {
    /// Runs `work` between BEGIN and COMMIT. BEGIN is sent together with the first statement of the work, and COMMIT together with the
    /// last ones where the work hands these to [`Transaction::last`]. A transaction that met another one (40001, 40P01) is run again
    /// from its beginning, so the work may be called several times.
    ///
    /// The transaction takes at most `limit`, and no longer than the current request has left. When time runs out or nobody waits
    /// any more, the statement is cancelled on the server and the connection is not used again.
    ///
    /// # Errors
    /// The first error of the work; `Late` past the limit; `Unconfirmed` when the COMMIT came with a warning: committed here, but not on the
    /// standby that it was to wait for.
    pub async fn transaction<T>(
        &mut self,
        name: &'static str,
        limit: Duration,
        mut work: impl AsyncFnMut(&mut Transaction<'_>) -> Result<T, Error>,
    ) -> Result<T, DatabaseError> {
        let state = self.state().clone();
        bounded(&state, name, limit, async move {
            let mut pauses = pauses();
            loop {
                match self.attempt(name, &mut work).await {
                    Err(error) if error.fault == DatabaseFault::Conflict => match pauses.next() {
                        Some(pause) => sleep(pause).await,
                        None => return Err(error),
                    },
                    result => return result,
                }
            }
        })
        .await
    }

    async fn attempt<T>(
        &mut self,
        name: &'static str,
        work: &mut impl AsyncFnMut(&mut Transaction<'_>) -> Result<T, Error>,
    ) -> Result<T, DatabaseError> {
        let fault = |error: Error| DatabaseError::new(name, error);
        self.has_warned(); // of what was before
        let is_distributed = self.is_distributed();
        let mut transaction = Transaction { connection: self, is_open: true };
        let client = transaction.client();
        let mut begin = format!("-- {name}\nBEGIN");
        if is_distributed {
            // What the connection is set to is unknown on the nodes.
            begin += &format!("; SET LOCAL lock_timeout = {}", LOCK_TIMEOUT.as_millis());
        }
        let (begun, done) = join!(client.batch_execute(&begin), work(&mut transaction));
        let result = match begun.and(done) {
            Ok(done) => transaction.commit().await.map(|()| done),
            Err(error) => {
                transaction.roll_back(&error).await;
                Err(error)
            }
        };
        drop(transaction);
        let done = result.map_err(fault)?;
        if self.has_warned() {
            // Committed here, but somebody ended the wait for the standby. The repeat is a replay, and waits anew.
            tracing::warn!(transaction = name, "a COMMIT came with a warning: not acknowledged");
            return Err(DatabaseError::of(name, DatabaseFault::Unconfirmed));
        }
        Ok(done)
    }

    /// Runs statements each of which is a transaction of its own, within the same bounds and under the same care as
    /// [`Self::transaction`]. It saves the BEGIN and COMMIT of reads and of single statements.
    ///
    /// # Errors
    /// As [`Self::transaction`]; a warning is none.
    pub async fn autocommit<T>(
        &mut self,
        name: &'static str,
        limit: Duration,
        work: impl AsyncFnOnce(&mut Transaction<'_>) -> Result<T, Error>,
    ) -> Result<T, DatabaseError> {
        let state = self.state().clone();
        bounded(&state, name, limit, async move {
            let mut statements = Transaction { connection: self, is_open: true };
            let result = work(&mut statements).await;
            // An error that the server tells has ended its statement.
            statements.is_open = result.as_ref().is_err_and(is_unfinished);
            result.map_err(|error| DatabaseError::new(name, error))
        })
        .await
    }
}

impl Connection {
    /// Waits for an advisory lock, and holds it as long as the connection lives.
    ///
    /// # Errors
    /// As [`Self::transaction`].
    pub async fn lock_for_good(&mut self, lock: Lock, limit: Duration) -> Result<(), DatabaseError> {
        self.autocommit("db.lock", limit, async |tx| {
            tx.client().execute("-- db.lock\nSELECT pg_advisory_lock($1)", &[&lock.number()]).await.map(|_| ())
        })
        .await
    }
}

/// A transaction under way, or statements that are a transaction each. Dropped before its end it spoils the connection.
pub struct Transaction<'c> {
    connection: &'c mut Connection,
    is_open: bool,
}

impl Transaction<'_> {
    /// For statements that are sent together.
    pub fn client(&self) -> Arc<Client> {
        self.connection.client()
    }

    /// Sends the last statements and COMMIT together. After an error PostgreSQL answers the COMMIT with success and rolls back: the
    /// error of the statements counts.
    ///
    /// # Errors
    /// The first of both.
    pub async fn last<T>(&mut self, statements: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let client = self.client();
        let (done, committed) = join!(statements, client.batch_execute("COMMIT"));
        self.ended(&committed);
        let done = done?;
        committed.map(|()| done)
    }

    /// Takes an advisory lock until the end of the transaction, where nobody else holds it.
    ///
    /// # Errors
    /// PostgreSQL's.
    pub async fn try_lock(&mut self, lock: Lock) -> Result<bool, Error> {
        let statement = self.prepare("-- db.try_lock\nSELECT pg_try_advisory_xact_lock($1)").await?;
        Ok(self.client().query_one(&statement, &[&lock.number()]).await?.get(0))
    }

    /// Waits for an advisory lock, and holds it until the end of the transaction. Holders of a shared lock exclude only those who take it
    /// alone.
    ///
    /// # Errors
    /// PostgreSQL's; `LOCK_NOT_AVAILABLE` when it is not free within `patience`.
    pub async fn lock(&mut self, lock: Lock, share: Share, patience: Duration) -> Result<(), Error> {
        let function = match share {
            Share::Alone => "pg_advisory_xact_lock",
            Share::Shared => "pg_advisory_xact_lock_shared",
        };
        let (number, patience) = (lock.number(), patience.as_millis());
        let lock = format!(
            "SET LOCAL lock_timeout = {patience}; SELECT {function}({number}); SET LOCAL lock_timeout = {}",
            LOCK_TIMEOUT.as_millis()
        );
        self.client().batch_execute(&lock).await
    }

    async fn commit(&mut self) -> Result<(), Error> {
        if !self.is_open {
            return Ok(());
        }
        let committed = self.client().batch_execute("COMMIT").await;
        self.ended(&committed);
        committed
    }

    /// The server has ended the transaction where it has answered, be it with an error.
    fn ended(&mut self, committed: &Result<(), Error>) {
        self.is_open = committed.as_ref().is_err_and(is_unfinished);
    }

    /// A connection to a server that went away, or became a standby, is of no use any more: it stays spoilt.
    async fn roll_back(&mut self, error: &Error) {
        let is_useless = self.client().is_closed() || DatabaseFault::of(error).is_away();
        if self.is_open && !is_useless {
            self.is_open = self.client().batch_execute("ROLLBACK").await.is_err();
        } else if is_useless {
            self.is_open = true;
        }
    }
}

/// Whether an error leaves a connection in the middle of something, or at a server that is of no use any more.
fn is_unfinished(error: &Error) -> bool {
    error.as_db_error().is_none() || DatabaseFault::of(error).is_away()
}

/// Whether others may hold a lock at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    Alone,
    Shared,
}

impl Deref for Transaction<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection
    }
}

impl DerefMut for Transaction<'_> {
    fn deref_mut(&mut self) -> &mut Connection {
        self.connection
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if self.is_open {
            self.connection.spoil();
        }
    }
}

/// Runs statements under a name, for as long as the limit, the current request's deadline and its client allow, and records their time.
pub(crate) async fn bounded<T>(
    state: &PoolState,
    name: &'static str,
    limit: Duration,
    statements: impl Future<Output = Result<T, DatabaseError>>,
) -> Result<T, DatabaseError> {
    let started = Instant::now();
    let result = tokio::select! {
        biased;
        done = timeout(limit.min(left()), statements) => match done {
            Ok(result) => result,
            Err(_) => {
                state.doubt();
                Err(DatabaseError::of(name, DatabaseFault::Late))
            }
        },
        () = Waiting::current().over() => Err(DatabaseError::of(name, DatabaseFault::Abandoned)),
    };
    let took = started.elapsed();
    state.record(name, took, result.as_ref().err());
    record_span(name, took, result.as_ref().err());
    result
}

/// Records what a statement or transaction took, as a part of the span that is under way, if one is.
fn record_span(name: &str, took: Duration, error: Option<&DatabaseError>) {
    let Some(parent) = Waiting::current_span() else { return };
    trace::record(Span {
        ids: parent.ids.child(),
        parent: Some((parent.ids.span_id, false)),
        kind: SpanKind::Client,
        name: name.to_owned(),
        ended: trace::now(),
        took,
        attributes: vec![("db.system.name", "postgresql".into()), ("db.query.summary", name.into())],
        links: Vec::new(),
        error: error.map(ToString::to_string),
    });
}
