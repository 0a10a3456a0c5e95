//! Why a database was not migrated.

use crate::db::ConnectError;
use crate::db::sqlstate::{DatabaseError, DatabaseFault, describe};
use refinery::error::Kind;

#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    #[error("{}", describe(.0))]
    Database(#[from] tokio_postgres::Error),
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error(transparent)]
    Transaction(#[from] DatabaseError),
    #[error("{}", describe_refinery(.0))]
    Migration(#[from] Box<refinery::Error>),
    /// The file of a migration cannot be read as what it claims to be.
    #[error("the migration {migration}: {reason}")]
    Text { migration: String, reason: String },
    #[error("the database has migration {found} of the {schema} schema, this program knows up to {known}")]
    FromTheFuture { schema: &'static str, found: i32, known: i32 },
    #[error("the database has the encoding {0}: texts of any script need UTF8")]
    Encoding(String),
    #[error(
        "the table {0} is distributed by Citus: set DISTRIBUTE=true, or use a database whose tables are not distributed"
    )]
    Distributed(String),
    #[error(
        "DISTRIBUTE=true, and the database has no extension citus: CREATE EXTENSION citus there, or leave DISTRIBUTE out"
    )]
    NoCitus,
    #[error("the database has Citus {0}, which is older than 13: upgrade it")]
    OldCitus(i32),
}

impl MigrateError {
    /// Whether the configuration and the database do not go together, which time does not mend.
    pub fn is_refusal(&self) -> bool {
        matches!(self, MigrateError::Distributed(_) | MigrateError::NoCitus | MigrateError::OldCitus(_))
    }

    /// PostgreSQL's error, where that is the cause.
    fn cause(&self) -> Option<&tokio_postgres::Error> {
        match self {
            MigrateError::Database(error) => Some(error),
            MigrateError::Migration(error) => match error.kind() {
                Kind::Connection(_, source) => source.downcast_ref(),
                _ => None,
            },
            _ => None,
        }
    }

    /// Whether others were in the way: a lock was not to be had in time, or two transactions waited for each other.
    pub(super) fn is_wait(&self) -> bool {
        let fault = self.cause().map(DatabaseFault::of);
        matches!(fault, Some(DatabaseFault::Locked | DatabaseFault::Conflict))
    }

    /// Whether the table of a statement was dropped meanwhile.
    pub(super) fn is_gone(&self) -> bool {
        self.cause().map(DatabaseFault::of) == Some(DatabaseFault::Schema)
    }
}

/// Without PostgreSQL's DETAIL, which holds data.
fn describe_refinery(error: &refinery::Error) -> String {
    match error.kind() {
        Kind::Connection(what, source) => match source.downcast_ref() {
            Some(source) => format!("{what}: {}", describe(source)),
            None => what.clone(),
        },
        kind => kind.to_string(),
    }
}
