//! The tables on several nodes: Citus distributes them by bucket (docs/scale.md).

use super::{MigrateError, Migrations, Schema};
use crate::db::Distribution;
use std::fmt;
use tokio_postgres::Client;

/// The oldest Citus that will do.
const OLDEST_CITUS: i32 = 13;

/// Small tables that one process at a time writes: they stay whole on the coordinator, whose snapshot is one.
const ON_COORDINATOR: [&str; 7] = [
    "count_state",
    "count_blocks",
    "count_combinations",
    "folded_incidents",
    "store_identity",
    "embedding_active",
    "vector_store_owner",
];

/// Where the tables of a schema are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// The first part of its version; `None` where the database has no Citus.
    citus: Option<i32>,
    /// Their names, sorted.
    distributed: Vec<String>,
    /// Those that are to be distributed and are not.
    whole: Vec<String>,
    /// Shards of each distributed table, and nodes that have some.
    shards: i64,
    nodes: i64,
}

impl Placement {
    /// Looks in the catalogues.
    ///
    /// # Errors
    /// PostgreSQL's.
    pub async fn look(client: &Client, schema: Schema) -> Result<Self, tokio_postgres::Error> {
        let version = "-- migrate.find_citus
            SELECT (regexp_match(e.extversion, '^[0-9]+'))[1]::int FROM pg_extension AS e WHERE e.extname = 'citus'";
        let citus = client.query_opt(version, &[]).await?.map(|row| row.get(0));
        let mut placement = Placement { citus, distributed: Vec::new(), whole: Vec::new(), shards: 0, nodes: 0 };
        // `pg_dist_partition` is there with the extension, and may be there without.
        let tables = match citus {
            Some(_) => {
                "-- migrate.list_tables
                SELECT c.relname::text AS name, EXISTS (
                    SELECT 1 FROM pg_catalog.pg_dist_partition AS d WHERE d.logicalrelid = c.oid AND d.partmethod = 'h'
                ) AS is_distributed
                FROM pg_class AS c
                WHERE c.relname = ANY ($1::text[]) AND pg_table_is_visible(c.oid) AND c.relkind IN ('r', 'p')
                ORDER BY c.relname"
            }
            None => return Ok(placement),
        };
        let migrations = Migrations::of(schema);
        let names: Vec<&str> = migrations.tables().into_iter().filter(|name| !ON_COORDINATOR.contains(name)).collect();
        for row in client.query(tables, &[&names]).await? {
            let list = if row.get("is_distributed") { &mut placement.distributed } else { &mut placement.whole };
            list.push(row.get("name"));
        }
        if let Some(first) = placement.distributed.first() {
            let spread = "-- migrate.count_shards
                SELECT count(*) AS shards, count(DISTINCT p.groupid) AS nodes
                FROM pg_catalog.pg_dist_shard AS s
                JOIN pg_catalog.pg_dist_placement AS p ON p.shardid = s.shardid
                WHERE s.logicalrelid = to_regclass($1)";
            let row = client.query_one(spread, &[first]).await?;
            (placement.shards, placement.nodes) = (row.get("shards"), row.get("nodes"));
        }
        Ok(placement)
    }

    /// Whether this is as the configuration has it: distributed where it says so, and nowhere else.
    ///
    /// # Errors
    /// [`MigrateError::Distributed`] for tables that are distributed and should not be; `NoCitus` and `OldCitus` where they cannot be.
    pub fn fits(&self, wanted: Option<Distribution>) -> Result<(), MigrateError> {
        match (wanted, self.citus) {
            (None, _) => match self.distributed.first() {
                Some(table) => Err(MigrateError::Distributed(table.clone())),
                None => Ok(()),
            },
            (Some(_), None) => Err(MigrateError::NoCitus),
            (Some(_), Some(version)) if version < OLDEST_CITUS => Err(MigrateError::OldCitus(version)),
            (Some(_), Some(_)) => Ok(()),
        }
    }

    /// Tables that are to be distributed and are not yet.
    pub fn whole(&self) -> &[String] {
        &self.whole
    }
}

impl fmt::Display for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (tables, shards, nodes) = (self.distributed.len(), self.shards, self.nodes);
        write!(f, "{tables} tables distributed, {shards} shards on {nodes} nodes")
    }
}

/// Distributes the tables of a schema that are not distributed yet. Each is copied in a transaction of its own, and writers of it wait
/// meanwhile. Where one cannot be distributed the next call goes on from there.
pub(super) async fn distribute(client: &Client, schema: Schema, wanted: Distribution) -> Result<(), MigrateError> {
    let placement = Placement::look(client, schema).await?;
    placement.fits(Some(wanted))?;
    if placement.whole.is_empty() {
        return Ok(());
    }
    // Tables of one shard count that are placed together have the shards of one bucket on one node.
    let mut together: Option<String> = client
        .query_opt(
            "-- migrate.find_distributed
            SELECT c.relname::text
            FROM pg_catalog.pg_dist_partition AS d
            JOIN pg_class AS c ON c.oid = d.logicalrelid
            WHERE c.relname = ANY ($1::text[]) AND pg_table_is_visible(c.oid) AND d.partmethod = 'h'
            ORDER BY c.relname
            LIMIT 1",
            &[&[Schema::Audit, Schema::Vector].map(tables_of).concat()],
        )
        .await?
        .map(|row| row.get(0));
    if schema == Schema::Audit {
        // They count what an older program does, which does not run beside this one here. Distributed tables have no triggers.
        for (trigger, table) in [
            ("count_changed", "resource_action_traces"),
            ("count_deleted", "resource_action_traces"),
            ("incident_noted", "resource_action_traces"),
            ("attempt_noted", "earlier_attempts"),
        ] {
            client
                .batch_execute(&format!("-- migrate.drop_trigger\nDROP TRIGGER IF EXISTS {trigger} ON {table}"))
                .await?;
        }
    }
    for table in &placement.whole {
        let shards = i32::try_from(wanted.shards).unwrap_or(i32::MAX);
        match &together {
            None => {
                let sql = "-- migrate.distribute
                    SELECT create_distributed_table($1::text::regclass, 'bucket', shard_count => $2::int, colocate_with => 'none')";
                client.query(sql, &[table, &shards]).await?;
            }
            Some(first) => {
                let sql = "-- migrate.distribute
                    SELECT create_distributed_table($1::text::regclass, 'bucket', colocate_with => $2::text)";
                client.query(sql, &[table, first]).await?;
            }
        }
        together.get_or_insert_with(|| table.clone());
        // What was copied into the shards is still in the table itself, where nobody sees it.
        let truncate =
            "-- migrate.truncate_copied\nSELECT truncate_local_data_after_distributing_table($1::text::regclass)";
        client.query(truncate, &[table]).await?;
        tracing::info!(table, "table distributed");
    }
    Ok(())
}

fn tables_of(schema: Schema) -> Vec<String> {
    let migrations = Migrations::of(schema);
    migrations.tables().into_iter().filter(|name| !ON_COORDINATOR.contains(name)).map(str::to_owned).collect()
}
