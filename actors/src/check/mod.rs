//! Tries out what `serve` needs of a database.

use crate::db::store_identity::Foreign;
use crate::db::{DatabaseConfig, connect};
use crate::migrate::{MigrateError, Placement, Schema, version};
use std::fmt;
use tokio_postgres::Client;

/// PostgreSQL 16.
const OLDEST_SERVER: i32 = 160_000;

/// What time does not mend: why a database cannot be used as it is set up, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Obstacle {
    what: String,
    remedy: String,
    pub is_foreign: bool,
}

impl Obstacle {
    fn new(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Obstacle { what: what.into(), remedy: remedy.into(), is_foreign: false }
    }

    /// A database that belongs to another store.
    pub fn foreign(foreign: Foreign) -> Self {
        let remedy = "set its URL to a database of this store, or to an empty one";
        Obstacle { is_foreign: true, ..Self::new(foreign.to_string(), remedy) }
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.remedy)
    }
}

/// Reaches a database and looks at its version, encoding, rights, extension, tables, migrations and room for connections.
///
/// # Errors
/// What is wrong, in sentences for the operator.
pub async fn check_database(database: &DatabaseConfig, schema: Schema, connections: u32) -> Result<String, String> {
    let target = database.target();
    let checked = async {
        let client = connect(database).await?;
        let placement = Placement::look(&client, schema).await?;
        placement.fits(database.distribution())?;
        let facts = Facts::read(&client, schema).await?;
        Ok::<_, MigrateError>((facts.obstacles(schema, connections), facts, placement))
    };
    let (obstacles, facts, placement) = checked.await.map_err(|error| format!("{target}: {error}"))?;
    if !obstacles.is_empty() {
        let texts: Vec<String> = obstacles.iter().map(ToString::to_string).collect();
        return Err(format!("{target}: {}", texts.join("; ")));
    }
    let pending =
        if facts.migration == 0 { "not migrated yet".into() } else { format!("migration {}", facts.migration) };
    let mut found = format!("{target}: PostgreSQL {}, {} schema {pending}", facts.server_text, schema.as_str());
    if database.distribution().is_some() && facts.migration > 0 {
        if let [table, ..] = placement.whole() {
            let others = placement.whole().len() - 1;
            return Err(format!(
                "{target}: the table {table} is not distributed{}: run `data-storage migrate` with DISTRIBUTE=true",
                if others > 0 { format!(", and {others} others") } else { String::new() }
            ));
        }
        found = format!("{found}, {placement}");
    }
    Ok(found)
}

/// The first thing that keeps a schema out of a database; `None` also where the database cannot be reached, or tells nothing.
pub async fn obstacle(database: &DatabaseConfig, schema: Schema) -> Option<Obstacle> {
    let client = connect(database).await.ok()?;
    let facts = Facts::read(&client, schema).await.ok()?;
    facts.obstacles(schema, 0).into_iter().next()
}

struct Facts {
    server: i32,
    server_text: String,
    encoding: String,
    database: String,
    role: String,
    search_path: String,
    /// The schema that tables are made in.
    schema: Option<String>,
    may_create: bool,
    has_extension: bool,
    is_extension_available: bool,
    may_make_extension: bool,
    room: i64,
    migration: i32,
}

impl Facts {
    async fn read(client: &Client, schema: Schema) -> Result<Self, tokio_postgres::Error> {
        let row = client.query_one(include_str!("look.sql"), &[]).await?;
        Ok(Facts {
            server: row.get("server"),
            server_text: row.get("server_text"),
            encoding: row.get("encoding"),
            database: row.get("database"),
            role: row.get("role"),
            search_path: row.get("search_path"),
            schema: row.get("schema"),
            may_create: row.get::<_, Option<bool>>("may_create").unwrap_or(false),
            has_extension: row.get("has_extension"),
            is_extension_available: row.get("is_extension_available"),
            may_make_extension: row.get("may_make_extension"),
            room: row.get("room"),
            migration: version(client, schema).await?,
        })
    }

    fn obstacles(&self, schema: Schema, connections: u32) -> Vec<Obstacle> {
        let mut found = Vec::new();
        if self.server < OLDEST_SERVER {
            found.push(Obstacle::new(format!("PostgreSQL {} is older than 16", self.server_text), "upgrade it"));
        }
        if self.encoding != "UTF8" {
            found.push(Obstacle::new(
                format!("the database {} has the encoding {}", self.database, self.encoding),
                "texts of any script need UTF8; make a database with ENCODING 'UTF8' TEMPLATE template0",
            ));
        }
        match &self.schema {
            None => found.push(Obstacle::new(
                format!("no schema of the search_path ({}) exists", self.search_path),
                format!("CREATE SCHEMA one of them, or ALTER ROLE {} SET search_path = public", self.role),
            )),
            Some(name) if !self.may_create => found.push(Obstacle::new(
                format!("the role {} may not create tables in the schema {name}", self.role),
                format!("GRANT CREATE ON SCHEMA {name} TO {}", self.role),
            )),
            Some(_) => {}
        }
        if schema == Schema::Vector && !self.has_extension {
            if !self.is_extension_available {
                let remedy = "install pgvector there, or set VECTOR_DATABASE_URL to a server that has it";
                found.push(Obstacle::new("the extension vector is not available on this server", remedy));
            } else if !self.may_make_extension {
                found.push(Obstacle::new(
                    format!("the role {} may not create the extension vector", self.role),
                    format!("have a superuser run CREATE EXTENSION vector in the database {}", self.database),
                ));
            }
        }
        if i64::from(connections) > self.room {
            let what = format!("the pools may open {connections} connections, the server takes {}", self.room);
            found.push(Obstacle::new(what, "raise max_connections, or lower WRITE_POOL_MAX and the others"));
        }
        found
    }
}
