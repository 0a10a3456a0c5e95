//! What an error of PostgreSQL means to the service: the one place where a SQLSTATE is looked at.

use crate::error::ActorError;
use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

/// The kinds of error that are treated differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The database, or the way to it, does not serve now.
    Unavailable,
    /// The transaction met another one; the same again may succeed.
    Conflict,
    /// Some row: its data, or that somebody else has it locked.
    Row,
    /// A table that is made by whoever needs it first: missing, or made by somebody else in the meantime.
    Table,
    /// The schema is not this program's, as before its migration.
    Schema,
    /// A mistake of the service.
    Other,
}

pub fn fault(error: &Error) -> Fault {
    let Some(code) = error.code() else {
        // No answer of the server: the connection is gone, or a value did not fit its type.
        return if error.is_closed() || is_io(error) { Fault::Unavailable } else { Fault::Other };
    };
    if *code == SqlState::READ_ONLY_SQL_TRANSACTION {
        return Fault::Unavailable;
    }
    if [SqlState::DUPLICATE_TABLE, SqlState::INVALID_OBJECT_DEFINITION].contains(code) || is_missing_partition(error) {
        return Fault::Table;
    }
    if *code == SqlState::LOCK_NOT_AVAILABLE {
        return Fault::Row;
    }
    if UNDEFINED.contains(code) {
        return Fault::Schema;
    }
    match code.code().get(..2) {
        Some("08" | "53" | "57") => Fault::Unavailable,
        Some("40") => Fault::Conflict,
        Some("22" | "23" | "54") => Fault::Row,
        _ => Fault::Other,
    }
}

/// What a statement meets where its migration is still to come.
const UNDEFINED: [SqlState; 4] =
    [SqlState::UNDEFINED_TABLE, SqlState::UNDEFINED_COLUMN, SqlState::UNDEFINED_FUNCTION, SqlState::UNDEFINED_OBJECT];

/// "no partition of relation … found for row" is a check violation without a constraint's name.
fn is_missing_partition(error: &Error) -> bool {
    error.as_db_error().is_some_and(|db| *db.code() == SqlState::CHECK_VIOLATION && db.constraint().is_none())
}

/// Whether the server gave up a statement that took longer than its connection allows.
pub fn is_timeout(error: &Error) -> bool {
    error.code() == Some(&SqlState::QUERY_CANCELED)
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

/// Logs an error with its SQLSTATE, constraint and primary message (never DETAIL, which holds data) under the name of its
/// transaction, and turns it into what the client may know.
pub fn handle(error: &Error, transaction: &'static str) -> ActorError {
    let db = error.as_db_error();
    let sqlstate = db.map_or("", |db| db.code().code());
    let constraint = db.and_then(|db| db.constraint()).unwrap_or_default();
    let message = db.map_or_else(|| describe(error), |db| db.message().to_owned());
    match fault(error) {
        Fault::Unavailable | Fault::Conflict | Fault::Table => {
            tracing::warn!(transaction, sqlstate, constraint, message, "database unavailable");
            ActorError::Unavailable("PostgreSQL does not answer")
        }
        Fault::Row if sqlstate == SqlState::LOCK_NOT_AVAILABLE.code() => {
            tracing::warn!(transaction, sqlstate, message, "row locked by somebody else");
            ActorError::Unavailable("the incident is locked by somebody else")
        }
        Fault::Schema => {
            tracing::error!(transaction, sqlstate, message, "the schema is not this program's");
            ActorError::Unavailable("the database is not migrated for this program")
        }
        Fault::Row | Fault::Other => {
            tracing::error!(transaction, sqlstate, constraint, message, "database error");
            ActorError::Internal
        }
    }
}
