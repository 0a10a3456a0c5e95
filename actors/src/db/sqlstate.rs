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
    /// The data of some row.
    Data,
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
    match code.code().get(..2) {
        Some("08" | "53" | "57") => Fault::Unavailable,
        Some("40") => Fault::Conflict,
        Some("22" | "23" | "54") => Fault::Data,
        _ => Fault::Other,
    }
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

/// Logs an error with its SQLSTATE, constraint and primary message (never DETAIL, which holds data) under the name of its
/// transaction, and turns it into what the client may know.
pub fn handle(error: &Error, transaction: &'static str) -> ActorError {
    let db = error.as_db_error();
    let sqlstate = db.map_or("", |db| db.code().code());
    let constraint = db.and_then(|db| db.constraint()).unwrap_or_default();
    let message = db.map_or_else(|| error.to_string(), |db| db.message().to_owned());
    match fault(error) {
        Fault::Unavailable | Fault::Conflict => {
            tracing::warn!(transaction, sqlstate, constraint, message, "database unavailable");
            ActorError::Unavailable("PostgreSQL does not answer")
        }
        Fault::Data | Fault::Other => {
            tracing::error!(transaction, sqlstate, constraint, message, "database error");
            ActorError::Internal
        }
    }
}
