//! Makes and drops indexes on tables that are in use, without a lock that readers or writers wait behind.
//!
//! A migration whose first line is `-- concurrently` holds nothing but these statements, which run one by one outside a
//! transaction, on an ordinary table and on a partitioned one alike:
//!
//! ```sql
//! -- concurrently
//! CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_name ON table_name (column);
//! DROP INDEX CONCURRENTLY IF EXISTS idx_name;
//! ```
//!
//! Each can be repeated: a migration that was interrupted begins anew, and an index that was left half made is dropped first.

use super::MigrateError;
use super::session::Session;
use tokio_postgres::{Client, Error};

const MARK: &str = "-- concurrently";
/// The longest name of an index, in bytes: PostgreSQL cuts names at 63, and a partition's index bears its month too.
const LONGEST_NAME: usize = 48;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Create(Index),
    /// By the index's name.
    Drop(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Index {
    unique: bool,
    name: String,
    table: String,
    /// What follows the table's name: the method, the columns and the condition.
    rest: String,
}

impl Step {
    /// The statements of a migration; `None` where it is not marked, and runs in a transaction.
    ///
    /// # Errors
    /// The first statement that is none of those above.
    pub fn parse(sql: &str) -> Result<Option<Vec<Self>>, String> {
        if sql.lines().next().map(str::trim_end) != Some(MARK) {
            return Ok(None);
        }
        let code: Vec<&str> = sql.lines().filter(|line| !line.trim_start().starts_with("--")).collect();
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let statements = code.join("\n").split(';').map(words).filter(|text| !text.is_empty()).collect::<Vec<_>>();
        let step = |text: &String| Self::parse_one(text).ok_or_else(|| format!("cannot run concurrently: {text}"));
        statements.iter().map(step).collect::<Result<_, _>>().map(Some)
    }

    fn parse_one(text: &str) -> Option<Self> {
        if let Some(name) = text.strip_prefix("DROP INDEX CONCURRENTLY IF EXISTS ") {
            return is_name(name).then(|| Step::Drop(name.to_owned()));
        }
        let plain = text.strip_prefix("CREATE INDEX CONCURRENTLY IF NOT EXISTS ");
        let unique = text.strip_prefix("CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS ");
        let (name, on) = plain.or(unique)?.split_once(" ON ")?;
        let (table, rest) = on.split_once(' ')?;
        (is_name(name) && is_name(table)).then(|| {
            Step::Create(Index {
                unique: unique.is_some(),
                name: name.to_owned(),
                table: table.to_owned(),
                rest: rest.to_owned(),
            })
        })
    }
}

fn is_name(text: &str) -> bool {
    let is_plain = text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'));
    is_plain && (1..=LONGEST_NAME).contains(&text.len())
}

impl Index {
    /// The statement that makes an index like this one: `how` stands before its name, `on` is its table.
    fn create(&self, how: &str, name: &str, on: &str) -> String {
        let unique = if self.unique { "UNIQUE " } else { "" };
        format!("CREATE {unique}INDEX {how} {name} ON {on} {}", self.rest)
    }
}

pub(super) async fn run(session: &mut Session<'_>, migration: &str, steps: &[Step]) -> Result<(), MigrateError> {
    for step in steps {
        match step {
            Step::Create(index) if kind(&session.client, &index.table).await? == Some(PARTITIONED_TABLE) => {
                on_partitions(session, migration, index).await?;
            }
            Step::Create(index) => on_table(session, migration, index, &index.name, &index.table).await?,
            Step::Drop(name) => drop_index(session, migration, name).await?,
        }
    }
    Ok(())
}

/// `pg_class.relkind`.
const PARTITIONED_TABLE: i8 = b'p' as i8; // ASCII
const PARTITIONED_INDEX: i8 = b'I' as i8; // ASCII

async fn kind(client: &Client, relation: &str) -> Result<Option<i8>, Error> {
    let sql = "-- migrate.kind\nSELECT c.relkind FROM pg_class AS c WHERE c.oid = to_regclass($1)";
    Ok(client.query_opt(sql, &[&relation]).await?.map(|row| row.get(0)))
}

/// Whether an index is valid, where it exists: an interrupted `CREATE INDEX CONCURRENTLY` leaves one that is not.
async fn is_valid(client: &Client, name: &str) -> Result<Option<bool>, Error> {
    let sql = "-- migrate.is_valid\nSELECT i.indisvalid FROM pg_index AS i WHERE i.indexrelid = to_regclass($1)";
    Ok(client.query_opt(sql, &[&name]).await?.map(|row| row.get(0)))
}

/// Makes an index on one table that holds rows itself.
async fn on_table(
    session: &mut Session<'_>,
    migration: &str,
    index: &Index,
    name: &str,
    table: &str,
) -> Result<(), MigrateError> {
    let create = index.create("CONCURRENTLY IF NOT EXISTS", name, table);
    loop {
        match is_valid(&session.client, name).await? {
            Some(true) => return Ok(()),
            Some(false) => drop_index(session, migration, name).await?,
            None => match session.at_leisure(migration, &create).await {
                // It gave way to another transaction, and left an index that is not valid.
                Err(error) if error.is_wait() => {}
                result => result?,
            },
        }
    }
}

/// Makes an index on a partitioned table: on the parent alone, then on each partition, then the one becomes part of the other. The
/// parent's index becomes valid with its last part.
async fn on_partitions(session: &mut Session<'_>, migration: &str, index: &Index) -> Result<(), MigrateError> {
    // From now on a partition that is attached gets the index by itself.
    let parent = index.create("IF NOT EXISTS", &index.name, &format!("ONLY {}", index.table));
    session.in_short_tries(migration, batch(&parent)).await?;
    loop {
        let lacking = lacking(&session.client, index).await?;
        if lacking.is_empty() {
            return Ok(());
        }
        for partition in lacking {
            match on_partition(session, migration, index, &partition).await {
                // Retention has dropped the month.
                Err(error) if error.is_gone() => {}
                result => result?,
            }
        }
    }
}

async fn on_partition(
    session: &mut Session<'_>,
    migration: &str,
    index: &Index,
    partition: &str,
) -> Result<(), MigrateError> {
    let month = partition.strip_prefix(&index.table).unwrap_or(partition);
    let name = format!("{}{month}", index.name);
    on_table(session, migration, index, &name, partition).await?;
    let attach = format!("ALTER INDEX {} ATTACH PARTITION {name}", index.name);
    session.in_short_tries(migration, batch(&attach)).await
}

/// The partitions that have no part of an index yet.
async fn lacking(client: &Client, index: &Index) -> Result<Vec<String>, Error> {
    let sql = "-- migrate.lacking
        SELECT c.relname::text
        FROM pg_inherits AS p
        JOIN pg_class AS c ON c.oid = p.inhrelid
        WHERE p.inhparent = to_regclass($1) AND NOT p.inhdetachpending
          AND NOT EXISTS (
            SELECT 1 FROM pg_index AS i
            JOIN pg_inherits AS a ON a.inhrelid = i.indexrelid
            WHERE i.indrelid = c.oid AND a.inhparent = to_regclass($2))
        ORDER BY c.relname";
    let rows = client.query(sql, &[&index.table, &index.name]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// PostgreSQL drops an index of a partitioned table only with a lock that others wait behind.
async fn drop_index(session: &mut Session<'_>, migration: &str, name: &str) -> Result<(), MigrateError> {
    if kind(&session.client, name).await? == Some(PARTITIONED_INDEX) {
        let drop = format!("DROP INDEX IF EXISTS {name}");
        return session.in_short_tries(migration, batch(&drop)).await;
    }
    let drop = format!("DROP INDEX CONCURRENTLY IF EXISTS {name}");
    loop {
        match session.at_leisure(migration, &drop).await {
            // It gave way to another transaction.
            Err(error) if error.is_wait() => {}
            result => return result,
        }
    }
}

/// Work that is one statement.
fn batch(sql: &str) -> impl AsyncFnMut(&mut Client) -> Result<(), MigrateError> {
    async move |client: &mut Client| Ok(client.batch_execute(sql).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_marked_migration_runs_outside_a_transaction() {
        assert_eq!(Step::parse("CREATE TABLE t (a int);"), Ok(None));
        let sql = "-- concurrently\n-- Why; it is there.\nCREATE INDEX CONCURRENTLY IF NOT EXISTS i\n    ON t USING gin (a) WHERE b;\nDROP INDEX CONCURRENTLY IF EXISTS j;\n";
        let index = Index { unique: false, name: "i".into(), table: "t".into(), rest: "USING gin (a) WHERE b".into() };
        assert_eq!(index.create("", "x", "y"), "CREATE INDEX  x ON y USING gin (a) WHERE b");
        assert_eq!(Step::parse(sql), Ok(Some(vec![Step::Create(index), Step::Drop("j".into())])));
    }

    #[test]
    fn what_cannot_be_repeated_is_refused() {
        for statement in [
            "CREATE INDEX CONCURRENTLY i ON t (a)",
            "CREATE INDEX IF NOT EXISTS i ON t (a)",
            "CREATE INDEX CONCURRENTLY IF NOT EXISTS I ON t (a)",
            "ALTER TABLE t ADD COLUMN a int",
            "DROP INDEX CONCURRENTLY IF EXISTS i, j",
        ] {
            assert!(Step::parse(&format!("-- concurrently\n{statement};")).is_err(), "{statement}");
        }
    }
}
