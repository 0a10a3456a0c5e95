//! What an error of PostgreSQL means to the service: the one place where a SQLSTATE is looked at.

use std::sync::Arc;
use tokio_postgres::Error;
use tokio_postgres::error::{DbError, SqlState};

/// The kinds of error that are treated differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DatabaseFault {
    /// No connection can be made.
    Unreachable,
    /// All connections of the pool are at work.
    Busy,
    /// The server, or the way to it, does not serve now.
    Away,
    /// No answer within the limit.
    Late,
    /// The server lacks memory, disk or connections.
    Full,
    /// The server takes no writes, as a standby does not.
    ReadOnly,
    /// The service lacks a right.
    Refused,
    /// The database belongs to another store.
    Foreign,
    /// The transaction met another one; the same again may succeed.
    Conflict,
    /// Somebody else has the row or the table locked.
    Locked,
    /// The data of some row.
    Row,
    /// The partition of a month: missing, or made by another process in the meantime.
    Partition,
    /// The schema is not this program's, as before its migration.
    Schema,
    /// A node of several does not answer.
    Node,
    /// The shard is on another node now.
    Moved,
    /// The server gave up the statement, because it took longer than its connection allows or somebody cancelled it.
    Cancelled,
    /// Committed, but the wait for a standby was ended.
    Unconfirmed,
    /// Nobody waits for the answer any more.
    Abandoned,
    /// A mistake of the service.
    Other,
}

impl DatabaseFault {
    pub fn of(error: &Error) -> Self {
        let Some(db) = error.as_db_error() else {
            // No answer of the server: the connection is gone, or a value did not fit its type.
            return if error.is_closed() || is_io(error) { DatabaseFault::Away } else { DatabaseFault::Other };
        };
        let code = db.code();
        match code {
            // What the service divides by is whether the shard is there (shards/mod.rs).
            _ if *code == SqlState::DIVISION_BY_ZERO => DatabaseFault::Moved,
            // Planned by Citus before a shard was moved or split.
            _ if db.message().starts_with("could not find valid entry for shard") => DatabaseFault::Conflict,
            _ if is_of_a_node(db) => DatabaseFault::Node,
            _ if *code == SqlState::READ_ONLY_SQL_TRANSACTION => DatabaseFault::ReadOnly,
            _ if *code == SqlState::INSUFFICIENT_PRIVILEGE => DatabaseFault::Refused,
            _ if *code == SqlState::LOCK_NOT_AVAILABLE => DatabaseFault::Locked,
            _ if *code == SqlState::QUERY_CANCELED => DatabaseFault::Cancelled,
            _ if PARTITION.contains(code) || is_missing_partition(db) => DatabaseFault::Partition,
            _ if UNDEFINED.contains(code) => DatabaseFault::Schema,
            _ => match code.code().get(..2) {
                Some("08" | "57") => DatabaseFault::Away,
                Some("53") => DatabaseFault::Full,
                Some("40") => DatabaseFault::Conflict,
                Some("22" | "23" | "54") => DatabaseFault::Row,
                _ => DatabaseFault::Other,
            },
        }
    }

    /// Why a server takes no connection.
    pub fn of_connecting(error: &Error) -> Self {
        let class = error.as_db_error().map(|db| db.code().code().get(..2).unwrap_or_default().to_owned());
        match class.as_deref() {
            // The role or its password, a rule of pg_hba.conf, the database's name.
            Some("28" | "3D" | "42" | "22") => DatabaseFault::Refused,
            Some("53") => DatabaseFault::Full,
            _ => DatabaseFault::Unreachable,
        }
    }

    /// Whether a connection that met it is of no use any more.
    pub fn is_away(self) -> bool {
        matches!(self, DatabaseFault::Away | DatabaseFault::ReadOnly)
    }

    /// Whether nothing was heard of the server.
    pub fn is_silent(self) -> bool {
        use DatabaseFault::{Away, Cancelled, Late, Unreachable};
        matches!(self, Away | Cancelled | Late | Unreachable)
    }

    /// Whether some row of several may be at fault: its data, or that somebody else has it locked.
    pub fn is_of_a_row(self) -> bool {
        matches!(self, DatabaseFault::Row | DatabaseFault::Locked)
    }

    /// Whether the service, and not its surroundings, is at fault.
    pub fn is_ours(self) -> bool {
        matches!(self, DatabaseFault::Row | DatabaseFault::Other)
    }

    /// For clients.
    pub fn words(self) -> &'static str {
        match self {
            DatabaseFault::Unreachable => "PostgreSQL connection failed",
            DatabaseFault::Busy => "the service is overloaded",
            DatabaseFault::Away | DatabaseFault::Late | DatabaseFault::Cancelled => "PostgreSQL does not answer",
            DatabaseFault::Node | DatabaseFault::Moved => "a node of the database does not answer",
            DatabaseFault::Full => "the database has no room",
            DatabaseFault::ReadOnly => "the database is read-only",
            DatabaseFault::Refused => "the database refuses this service",
            DatabaseFault::Foreign => "the database belongs to another store",
            DatabaseFault::Conflict => "the transaction met others, again and again",
            DatabaseFault::Locked => "the incident is locked by somebody else",
            DatabaseFault::Partition => "the incident's month is being made",
            DatabaseFault::Schema => "the database is not migrated for this program",
            DatabaseFault::Unconfirmed => "the commit is not confirmed by the standby",
            DatabaseFault::Abandoned => "the client has gone",
            DatabaseFault::Row | DatabaseFault::Other => "the database refuses a statement",
        }
    }
}

/// A partition that was to be made, or attached, is there already.
const PARTITION: [SqlState; 2] = [SqlState::DUPLICATE_TABLE, SqlState::INVALID_OBJECT_DEFINITION];

/// What a statement meets where its migration is still to come.
const UNDEFINED: [SqlState; 4] =
    [SqlState::UNDEFINED_TABLE, SqlState::UNDEFINED_COLUMN, SqlState::UNDEFINED_FUNCTION, SqlState::UNDEFINED_OBJECT];

/// "no partition of relation … found for row" is a check violation without a constraint's name.
fn is_missing_partition(db: &DbError) -> bool {
    *db.code() == SqlState::CHECK_VIOLATION && db.constraint().is_none()
}

/// Citus tells of a node that it cannot reach, or that went away, with codes of its own connections or none.
fn is_of_a_node(db: &DbError) -> bool {
    let is_of_a_connection = matches!(db.code().code().get(..2), Some("08" | "57" | "58" | "XX"));
    const WORDS: [&str; 8] = [
        "remote node",
        "the node ",
        "node group",
        "remote connection",
        "marked as essential",
        "server closed the connection",
        "placement",
        "to shard",
    ];
    let tells = |text: &str| WORDS.iter().any(|word| text.contains(word));
    let was_sent_there = db.where_().is_some_and(|context| context.contains("while executing command on"));
    is_of_a_connection && (was_sent_there || tells(db.message()) || db.detail().is_some_and(tells))
}

fn is_io(error: &Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        if error.is::<std::io::Error>() {
            return true;
        }
        source = error.source();
    }
    false
}

/// A transaction that failed, and why. Clones share the cause.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{transaction}: {}", .cause.as_deref().map_or_else(|| fault.words().to_owned(), describe))]
pub struct DatabaseError {
    /// The name of the transaction, or of the pool where there was no connection for one.
    pub transaction: &'static str,
    pub fault: DatabaseFault,
    cause: Option<Arc<Error>>,
}

impl DatabaseError {
    pub(crate) fn new(transaction: &'static str, cause: Error) -> Self {
        DatabaseError { transaction, fault: DatabaseFault::of(&cause), cause: Some(Arc::new(cause)) }
    }

    /// One that PostgreSQL has not told.
    pub(crate) fn of(transaction: &'static str, fault: DatabaseFault) -> Self {
        DatabaseError { transaction, fault, cause: None }
    }

    pub(crate) fn because(self, fault: DatabaseFault) -> Self {
        DatabaseError { fault, ..self }
    }

    fn db(&self) -> Option<&DbError> {
        self.cause.as_ref()?.as_db_error()
    }

    /// Empty where the server has told none.
    pub fn sqlstate(&self) -> &str {
        self.db().map_or("", |db| db.code().code())
    }

    /// Empty where the server has named none.
    pub fn constraint(&self) -> &str {
        self.db().and_then(DbError::constraint).unwrap_or_default()
    }

    /// Logs it with its transaction, SQLSTATE, constraint and primary message, and never its DETAIL, which holds data.
    pub fn log(&self, consequence: &str) {
        let cause = self.cause.as_deref().map_or_else(|| self.fault.words().to_owned(), describe);
        let (transaction, sqlstate, constraint) = (self.transaction, self.sqlstate(), self.constraint());
        if self.fault.is_ours() || self.fault == DatabaseFault::Schema {
            tracing::error!(transaction, sqlstate, constraint, cause, "{consequence}");
        } else {
            tracing::warn!(transaction, sqlstate, constraint, cause, "{consequence}");
        }
    }
}

/// The primary message, without DETAIL.
pub fn describe(error: &Error) -> String {
    match error.as_db_error() {
        Some(db) => format!("{} (SQLSTATE {})", db.message(), db.code().code()),
        None => match std::error::Error::source(error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        },
    }
}
