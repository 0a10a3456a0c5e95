//! Tries out what `serve` needs of a database.

use crate::db::{DatabaseConfig, connect};
use crate::migrate::{MigrateError, Schema, refuse_distributed, version};

/// PostgreSQL 16.
const OLDEST_SERVER: i32 = 160_000;

/// Reaches a database and looks at its version, its extension, its tables, its migrations and its room for connections.
///
/// # Errors
/// The first thing that is wrong, in a sentence for the operator.
pub async fn check_database(database: &DatabaseConfig, schema: Schema, connections: u32) -> Result<String, String> {
    let facts = look(database, schema).await.map_err(|error| error.to_string())?;
    if facts.server < OLDEST_SERVER {
        return Err(format!("PostgreSQL {} is older than 16", facts.server_text));
    }
    if schema == Schema::Vector && !facts.has_vector {
        return Err("the extension vector is not available on this server".into());
    }
    if i64::from(connections) > facts.room {
        return Err(format!("the pools may open {connections} connections, the server takes {}", facts.room));
    }
    let pending =
        if facts.migration == 0 { "not migrated yet".into() } else { format!("migration {}", facts.migration) };
    Ok(format!("PostgreSQL {}, {} schema {pending}", facts.server_text, schema.as_str()))
}

struct Facts {
    server: i32,
    server_text: String,
    has_vector: bool,
    room: i64,
    migration: i32,
}

async fn look(database: &DatabaseConfig, schema: Schema) -> Result<Facts, MigrateError> {
    let client = connect(database).await?;
    refuse_distributed(&client, schema).await?;
    let row = client
        .query_one(
            "-- check.look
            SELECT current_setting('server_version_num')::int, current_setting('server_version'),
                EXISTS (SELECT FROM pg_available_extensions WHERE name = 'vector'),
                current_setting('max_connections')::bigint - current_setting('superuser_reserved_connections')::bigint",
            &[],
        )
        .await?;
    let migration = version(&client, schema).await?;
    Ok(Facts { server: row.get(0), server_text: row.get(1), has_vector: row.get(2), room: row.get(3), migration })
}
