//! Applies the migrations that a database lacks, in their order.

use super::concurrently::{self, Step};
use super::distributed::distribute;
use super::session::Session;
use super::{MigrateError, Placement, Schema, version};
use crate::db::{DatabaseConfig, connect};
use refinery::{Migration, Runner, SchemaVersion, Target};
use tokio_postgres::Client;

mod audit {
    refinery::embed_migrations!("../migrations/audit");
}
mod vector {
    refinery::embed_migrations!("../migrations/vector");
}

/// The migrations of one schema, in the order of their versions.
#[derive(Debug, Clone)]
pub struct Migrations {
    schema: Schema,
    list: Vec<Migration>,
}

impl Migrations {
    /// Those that this program ships.
    pub fn of(schema: Schema) -> Self {
        let runner = match schema {
            Schema::Audit => audit::migrations::runner(),
            Schema::Vector => vector::migrations::runner(),
        };
        let mut list = runner.get_migrations().clone();
        list.sort();
        Migrations { schema, list }
    }

    /// Those up to a version: the schema of an older program.
    pub fn up_to(mut self, version: SchemaVersion) -> Self {
        self.list.retain(|migration| migration.version() <= version);
        self
    }

    /// One more, as a later program would ship it. `name` is that of its file without `.sql`.
    ///
    /// # Errors
    /// When the name is not that of a migration.
    pub fn with(mut self, name: &str, sql: &str) -> Result<Self, MigrateError> {
        self.list.push(Migration::unapplied(name, sql).map_err(Box::new)?);
        self.list.sort();
        Ok(self)
    }

    /// The version of the last one.
    pub fn latest(&self) -> SchemaVersion {
        self.list.last().map_or(0, Migration::version)
    }

    /// The names of the tables that they make.
    pub(super) fn tables(&self) -> Vec<&str> {
        let texts = self.list.iter().filter_map(Migration::sql);
        let after = texts.flat_map(|sql| sql.split("CREATE TABLE ").skip(1));
        after.filter_map(|rest| rest.split([' ', '(', '\n']).next()).collect()
    }

    /// Applies what a database lacks. A database that lacks nothing is only read.
    ///
    /// # Errors
    /// When the database cannot be reached or changed, is newer than this program, or is not as it is configured. What was applied until
    /// then stays, and the next call goes on from there.
    pub async fn apply(&self, database: &DatabaseConfig) -> Result<(), MigrateError> {
        let client = connect(database).await?;
        let wanted = database.distribution();
        Placement::look(&client, self.schema).await?.fits(wanted)?;
        let encoding: String =
            client.query_one("-- migrate.encoding\nSELECT current_setting('server_encoding')", &[]).await?.get(0);
        if encoding != "UTF8" {
            return Err(MigrateError::Encoding(encoding));
        }
        let is_done = async |client: &Client| {
            let is_placed = wanted.is_none() || Placement::look(client, self.schema).await?.whole().is_empty();
            Ok(self.found(client).await? == self.latest() && is_placed)
        };
        if is_done(&client).await? {
            return Ok(());
        }
        let Some(mut session) = Session::begin(database, self.schema, is_done).await? else { return Ok(()) };
        // Another process may have migrated while this one waited for its turn.
        let found = self.found(&session.client).await?;
        if wanted.is_some() && found == 0 {
            // Nodes are told of nothing until there are tables to distribute: CREATE EXTENSION IF NOT EXISTS would be repeated there, which
            // needs the owner of the extension.
            session.client.batch_execute("SET citus.enable_ddl_propagation = off").await?;
        }
        // Makes the list of migrations, and compares what is listed there with the files.
        self.runner(Target::Version(found)).run_async(&mut session.client).await.map_err(Box::new)?;
        for migration in self.list.iter().filter(|migration| migration.version() > found) {
            self.apply_one(&mut session, migration).await?;
            tracing::info!(schema = self.schema.as_str(), %migration, "migration applied");
        }
        if let Some(wanted) = wanted {
            session.client.batch_execute("SET citus.enable_ddl_propagation = on").await?;
            distribute(&session.client, self.schema, wanted).await?;
        }
        session.end().await?;
        Ok(())
    }

    /// The version that a database has, which is not newer than these migrations.
    async fn found(&self, client: &Client) -> Result<SchemaVersion, MigrateError> {
        let (found, known) = (version(client, self.schema).await?, self.latest());
        match found > known {
            true => Err(MigrateError::FromTheFuture { schema: self.schema.as_str(), found, known }),
            false => Ok(found),
        }
    }

    async fn apply_one(&self, session: &mut Session<'_>, migration: &Migration) -> Result<(), MigrateError> {
        let name = migration.to_string();
        let version = migration.version();
        let target = match steps(migration)? {
            Some(steps) => {
                concurrently::run(session, &name, &steps).await?;
                // Its statements have run: refinery only notes it.
                Target::FakeVersion(version)
            }
            None => Target::Version(version),
        };
        let runner = self.runner(target);
        let run = async |client: &mut Client| {
            runner.run_async(client).await.map_err(Box::new)?;
            Ok(())
        };
        session.in_short_tries(&name, run).await
    }

    /// Runs each migration up to the target in a transaction, together with the note that it was applied.
    fn runner(&self, target: Target) -> Runner {
        let mut runner = Runner::new(&self.list).set_target(target);
        runner.set_migration_table_name(self.schema.history());
        runner
    }
}

/// The statements of a migration that is marked as concurrent.
fn steps(migration: &Migration) -> Result<Option<Vec<Step>>, MigrateError> {
    let sql = migration.sql().unwrap_or_default();
    Step::parse(sql).map_err(|reason| MigrateError::Text { migration: migration.to_string(), reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shipped_migrations_are_sorted_and_can_be_read() {
        for (schema, table) in [(Schema::Audit, "resource_action_traces"), (Schema::Vector, "embedding_patterns")] {
            let migrations = Migrations::of(schema);
            let versions: Vec<SchemaVersion> = migrations.list.iter().map(Migration::version).collect();
            assert_eq!(versions, (1..=migrations.latest()).collect::<Vec<_>>());
            assert!(migrations.list.iter().all(|migration| steps(migration).is_ok()));
            assert!(migrations.tables().contains(&table), "{:?}", migrations.tables());
        }
    }
}
