//! Finds out what a migration waits for: who holds a lock, since when, and in which statement. Never data.

use crate::db::{DatabaseConfig, connect};
use std::time::Duration;
use tokio::time::sleep;
use tokio_postgres::{Client, Error, Row};

/// Looks at a session from a connection of its own, which is opened when it is first needed.
pub(super) struct Waits<'a> {
    database: &'a DatabaseConfig,
    /// The process of the server that runs the session.
    pid: i64,
    client: Option<Client>,
}

impl<'a> Waits<'a> {
    pub async fn of(session: &Client, database: &'a DatabaseConfig) -> Result<Self, Error> {
        let row = session.query_one("SELECT pg_backend_pid()::bigint", &[]).await?;
        Ok(Waits { database, pid: row.get(0), client: None })
    }

    /// Does the work, and looks each `every` what it waits for.
    pub async fn during<T>(
        &mut self,
        every: Duration,
        work: impl Future<Output = T>,
        mut seen: impl FnMut(String),
    ) -> T {
        tokio::pin!(work);
        loop {
            tokio::select! {
                result = &mut work => return result,
                blockers = self.look_after(every) => {
                    if let Some(blockers) = blockers {
                        seen(blockers);
                    }
                }
            }
        }
    }

    /// What the session waits for after this time, where it waits and that can be found out.
    async fn look_after(&mut self, time: Duration) -> Option<String> {
        sleep(time).await;
        if self.client.is_none() {
            self.client = connect(self.database).await.ok();
        }
        let found = describe(self.client.as_ref()?, "pg_blocking_pids($1::bigint::int)", self.pid).await;
        if found.is_err() {
            // Opened anew at the next look.
            self.client = None;
        }
        found.ok().flatten()
    }
}

/// The holders of an advisory lock.
pub(super) async fn holders(client: &Client, lock: i64) -> Result<Option<String>, Error> {
    let pids = "ARRAY(
        SELECT l.pid FROM pg_locks AS l
        WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
          AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
          AND (l.classid::bigint << 32 | l.objid::bigint) = $1::bigint)";
    describe(client, pids, lock).await
}

/// Describes the sessions of an SQL expression for an array of pids, in which `$1` is a number.
async fn describe(client: &Client, pids: &str, number: i64) -> Result<Option<String>, Error> {
    let sql = format!(
        "-- migrate.blockers
        SELECT
            b.pid, a.application_name, COALESCE(a.state, a.backend_type) AS state, a.query,
            extract(epoch FROM now() - a.xact_start)::bigint AS seconds
        FROM (SELECT DISTINCT unnest({pids}) AS pid) AS b
        LEFT JOIN pg_stat_activity AS a ON a.pid = b.pid
        ORDER BY a.xact_start, b.pid
        LIMIT 3"
    );
    let rows = client.query(&sql, &[&number]).await?;
    let blockers: Vec<String> = rows.iter().map(blocker).collect();
    Ok((!blockers.is_empty()).then(|| blockers.join("; ")))
}

fn blocker(row: &Row) -> String {
    let pid: i32 = row.get("pid");
    if pid == 0 {
        return "a prepared transaction".to_owned();
    }
    let text = |name| row.get::<_, Option<String>>(name).filter(|text| !text.is_empty());
    let mut parts: Vec<String> = ["application_name", "state"].into_iter().filter_map(text).collect();
    parts.extend(row.get::<_, Option<i64>>("seconds").map(|seconds| format!("in a transaction for {seconds} s")));
    parts.extend(text("query").and_then(|query| statement_name(&query)));
    format!("pid {pid} ({})", parts.join(", "))
}

/// What may be said of a statement, which may hold data: the name in its first line, else its first word.
fn statement_name(sql: &str) -> Option<String> {
    let is_name = |text: &str| {
        !text.is_empty() && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'.'))
    };
    let named = sql.lines().next().and_then(|line| line.trim().strip_prefix("--")).map(str::trim);
    if let Some(name) = named.filter(|name| is_name(name)) {
        return Some(name.to_owned());
    }
    let word: String = sql.trim_start().chars().take_while(char::is_ascii_alphabetic).collect();
    (!word.is_empty()).then(|| word.to_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::statement_name;

    #[test]
    fn a_statement_is_named_without_its_data() {
        for (sql, name) in [
            ("-- query.list_incidents\nSELECT 'secret'", Some("query.list_incidents")),
            ("-- of Bob's secret\nSELECT 1", None),
            ("  select 'secret'", Some("SELECT")),
            ("<insufficient privilege>", None),
            ("", None),
        ] {
            assert_eq!(statement_name(sql).as_deref(), name, "{sql}");
        }
    }
}
