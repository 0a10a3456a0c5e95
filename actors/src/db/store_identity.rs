//! The name of a store: made once with the first migration of the audit database, and taken over by the vector store. A replica or a vector
//! store with another name belongs to another store: its ids mean other incidents.

use super::{ConnectError, DatabaseConfig, connect};
use std::sync::{Arc, OnceLock};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Error};
use uuid::Uuid;

/// The name of the store that a process serves, once it is known.
#[derive(Debug, Clone, Default)]
pub struct StoreIdentity(Arc<OnceLock<Uuid>>);

/// Which of the two kinds of database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Audit,
    Vector,
}

/// A database that belongs to another store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it belongs to the store {found}, and this service to the store {own}")]
pub struct Foreign {
    pub own: Uuid,
    pub found: Uuid,
}

impl StoreIdentity {
    pub fn get(&self) -> Option<Uuid> {
        self.0.get().copied()
    }

    /// Learns it from the audit database; the first answer stays.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn learn(&self, database: &DatabaseConfig) -> Result<Option<Uuid>, ConnectError> {
        if let Some(own) = self.get() {
            return Ok(Some(own));
        }
        let found = identity(&connect(database).await?, Side::Audit).await?;
        if let Some(found) = found {
            // Another task may have learned it meanwhile, from the same database.
            let _ = self.0.set(found);
        }
        Ok(found)
    }
}

/// The name that a database has; `None` before its migration, or for a vector store that no store has taken over.
///
/// # Errors
/// PostgreSQL's.
pub async fn identity(client: &Client, side: Side) -> Result<Option<Uuid>, Error> {
    let sql = match side {
        Side::Audit => "-- db.identity\nSELECT s.id FROM store_identity AS s ORDER BY s.bucket, s.id LIMIT 1",
        Side::Vector => {
            "-- db.identity\nSELECT o.store_id FROM vector_store_owner AS o WHERE o.bucket = 0 AND o.name = 'owner'"
        }
    };
    match client.query_opt(sql, &[]).await {
        Ok(row) => Ok(row.map(|row| row.get(0))),
        Err(error) if error.code() == Some(&SqlState::UNDEFINED_TABLE) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Has a store take over a vector store that has no owner yet; answers who owns it.
///
/// # Errors
/// When the database cannot be asked, or takes no writes.
pub async fn take_over(database: &DatabaseConfig, store: Uuid) -> Result<Option<Uuid>, ConnectError> {
    let client = connect(database).await?;
    let take = "-- db.take_over\nINSERT INTO vector_store_owner (bucket, name, store_id) VALUES (0, 'owner', $1) ON CONFLICT DO NOTHING";
    if identity(&client, Side::Vector).await?.is_none() {
        client.execute(take, &[&store]).await?;
    }
    Ok(identity(&client, Side::Vector).await?)
}

/// What a connection of a pool must find.
#[derive(Clone)]
pub(super) struct Expectation {
    pub own: StoreIdentity,
    pub side: Side,
}

impl Expectation {
    /// Whether a new connection leads to the store. `false` where that cannot be told yet.
    ///
    /// # Errors
    /// When it leads elsewhere.
    pub async fn check(&self, client: &Client) -> Result<bool, ConnectError> {
        let Some(own) = self.own.get() else { return Ok(false) };
        match identity(client, self.side).await? {
            Some(found) if found != own => Err(ConnectError::Foreign(Foreign { own, found })),
            Some(_) => Ok(true),
            // Not migrated, or not taken over yet: soon.
            None => Err(ConnectError::Nameless),
        }
    }
}
