//! SQL whose lists of columns come from the table of facts (`domain/facts.rs`).
//!
//! `{counted|TEXT}` stands for TEXT once for each counted fact, with commas between. `{stated|…}` does the same for the facts that an
//! audit states by themselves, `{copied|…}` for those that the vector store keeps a copy of, `{grouped|…}` for those that attempts are told
//! apart by, `{only_filtered|…}` for the others that can be filtered by, and `{uncounted|…}` for those of both that are not counted. `{counted OR|…}` and
//! `{counted AND|…}` put that word between instead of a comma.
//!
//! In TEXT, `@` is the column, `#type` its type, and `#place` its place among the facts of the list, from 1.
//!
//! Everywhere, `$*` is the number of the next parameter, and `{}` is itself. `{minute}` is the minute of an incident `t`
//! (`domain/totals.rs`), `{has_new_audit}` whether an upsert brings an audit that was not there, `{progress}` is how far the status of the audit `a` has come (`domain/status.rs`), `{latest}` sorts
//! audits `a` of one incident, the latest first, and `{last_audit_at}` is the time of the latest audit of an incident `t`. Of the last attempt of an
//! incident `t`, `{last_end}` is the end, `{last_grouped}` are the facts of `{grouped|t.@}`, and `{ids_of_status}` selects the ids that the audit of its
//! status may have.
//!
//! A statement is the same where its tables are whole and where they are distributed, but for what one of the two would plan badly:
//! `/*whole*/ TEXT /*end*/` stands only where they are whole, and `/*distributed TEXT */` only where they are distributed ([`placed`]). To
//! PostgreSQL these are comments.

use crate::domain::facts::{Fact, FactKind, copied, counted, grouped, only_filtered, stated, uncounted};
use std::borrow::Cow;
use std::fmt::Write;

/// The names that tables have in their place, as those of a shard.
pub type TableNames = Vec<(&'static str, String)>;

/// The text with other names of tables.
pub fn renamed(sql: &str, names: &TableNames) -> String {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut text = String::with_capacity(sql.len() + 256);
    let mut rest = sql;
    while !rest.is_empty() {
        let word = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
        let (name, after) = rest.split_at(word);
        text.push_str(names.iter().find(|(table, _)| *table == name).map_or(name, |(_, shard)| shard));
        let other = after.find(is_name).unwrap_or(after.len());
        text.push_str(&after[..other]);
        rest = &after[other..];
    }
    text
}

/// A statement as it is for tables that are whole or distributed.
pub fn placed(sql: &str, is_distributed: bool) -> Cow<'_, str> {
    if !is_distributed || !sql.contains("/*") {
        return sql.into();
    }
    let mut text = String::with_capacity(sql.len());
    let mut rest = sql;
    while let Some(at) = rest.find("/*") {
        text.push_str(&rest[..at]);
        rest = &rest[at..];
        if rest.starts_with(WHOLE) {
            rest = within(rest, WHOLE, END).1;
        } else {
            let (comment, after) = within(rest, "/*", "*/");
            if let Some(own) = comment.strip_prefix("distributed ") {
                text.push_str(placed(own.trim_end(), true).trim_start());
            }
            rest = after;
        }
    }
    text.push_str(rest);
    text.into()
}

const WHOLE: &str = "/*whole*/";
const END: &str = "/*end*/";

/// What stands between an opening at the start of a text and its end, and what follows. There may be others of the kind within.
fn within<'a>(text: &'a str, open: &str, close: &str) -> (&'a str, &'a str) {
    let (mut at, mut depth) = (0, 0);
    loop {
        let Some(next) = text[at..].find(close) else { return (&text[open.len()..], "") };
        depth += text[at..at + next].matches(open).count();
        at += next + close.len();
        depth -= 1;
        if depth == 0 {
            return (&text[open.len()..at - close.len()], &text[at..]);
        }
    }
}

/// The statement that a template stands for.
pub(crate) fn fill(template: &str) -> String {
    let mut text = String::with_capacity(template.len() * 2);
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let (list, after) = after.split_once('}').unwrap_or((after, ""));
        text.push_str(before);
        match list {
            "" => text.push_str("{}"),
            "has_new_audit" => text.push_str(HAS_NEW_AUDIT),
            "minute" => text.push_str(MINUTE),
            "progress" => text.push_str(PROGRESS),
            "last_audit_at" => text.push_str(LAST_AUDIT_AT),
            "last_end" => text.push_str(&last_end(STATED_AT)),
            "ids_of_status" => text.push_str(IDS_OF_STATUS),
            "last_grouped" => text.push_str(&last_grouped()),
            "latest" => _ = write!(text, "a.created_at DESC, {PROGRESS} DESC, a.id DESC"),
            list => text.push_str(&expand(list)),
        }
        rest = after;
    }
    text.push_str(rest);
    number(&text)
}

/// Whether this transaction has inserted an audit of the incident that it upserts. Distributed tables cannot tell: to take a replay for a new
/// audit costs only work.
const HAS_NEW_AUDIT: &str = "/*whole*/EXISTS (SELECT 1 FROM remediation_audit AS a WHERE a.bucket = excluded.bucket \
                             AND a.remediation_request_id = excluded.correlation_id AND a.xmin = pg_current_xact_id()::xid)/*end*/\
                             /*distributed true */";

/// A statement that reads its rows from one `unnest`, as it is for one row: each list of values is a value. PostgreSQL runs a function and
/// makes a table for every list, which takes longer than the rest of the work for one row.
pub(crate) fn for_one_row(sql: &str) -> String {
    let Some((before, rest)) = sql.split_once("unnest(") else { return sql.to_owned() };
    let Some((lists, after)) = rest.split_once(')') else { return sql.to_owned() };
    // Where the lists are asked for as such, the value is.
    let one = format!("{before}(SELECT {}){after}", lists.replace("[]", ""));
    (1..10).fold(one, |sql, n| sql.replace(&format!("= ANY (${n})"), &format!("= ${n}")))
}

/// `minute_of` in SQL.
const MINUTE: &str = "floor(date_part('epoch', t.action_timestamp) / 60)::int";

/// `Status::progress` in SQL.
const PROGRESS: &str = "(CASE WHEN 'status' = ANY (a.assumed) THEN 0 WHEN a.status = 'pending' THEN 1 WHEN a.status = 'in_progress' THEN 2 \
                        WHEN a.status = 'rolled_back' THEN 4 ELSE 3 END)";

/// Where a program wrote the incident that did not keep this time, the audits tell.
const LAST_AUDIT_AT: &str = "COALESCE(t.last_audit_at, (SELECT max(a.created_at) FROM remediation_audit AS a \
                             WHERE a.bucket = t.bucket AND a.remediation_request_id = t.correlation_id), t.action_timestamp)";

/// When the audit came that states the status of an incident `t`: a place begins with it, as microseconds in 53 bits (`domain/audit_id.rs`).
pub(crate) const STATED_AT: &str = "(timestamptz 'epoch' + (('x' || left(translate(t.execution_status_by::text, '-', ''), 12))::bit(48)::bigint * 32 \
                                    + (('x' || substr(t.execution_status_by::text, 16, 3))::bit(12)::int >> 7)) * interval '1 microsecond')";

/// The ids that the audit may have which states the status of an incident `t`. Its place is its id with the progress behind the bucket and without its last
/// three bits; or, from an older program, with the progress in the 21st letter in place of what is there (`AuditId::place`).
const IDS_OF_STATUS: &str = "SELECT CASE
        WHEN n < 16 THEN 'audit-' || overlay(t.execution_status_by::text PLACING to_hex(n) FROM 21 FOR 1)
        ELSE 'audit-' || left(t.execution_status_by::text, 19) || overlay(to_hex(
            ((('x' || substr(t.execution_status_by::text, 20, 2))::bit(8)::int & 248)::bigint << 56)
            | (('x' || substr(t.execution_status_by::text, 22, 2) || right(t.execution_status_by::text, 12))::bit(56)::bigint << 3)
            | (n & 7)) PLACING '-' FROM 5 FOR 0)
    END FROM generate_series(0, 23) AS n";

/// The end of the attempt that an incident's own row `t` tells of, whose status came at that time.
pub(crate) fn last_end(stated_at: &str) -> String {
    format!("COALESCE(t.end_time, t.start_time, {stated_at}, t.action_timestamp)")
}

/// The action of that attempt: one that is stated after its end is the next one's.
pub(crate) fn last_action() -> String {
    format!(
        "(CASE WHEN t.execution_status NOT IN ('pending', 'in_progress') AND t.action_type_by > t.execution_status_by THEN (
        SELECT a.action_type FROM remediation_audit AS a
        WHERE a.bucket = t.bucket AND a.remediation_request_id = t.correlation_id AND a.action_type IS NOT NULL
            AND (a.created_at, {PROGRESS}) <= ({STATED_AT}, CASE t.execution_status WHEN 'rolled_back' THEN 4 ELSE 3 END)
        ORDER BY a.created_at DESC, {PROGRESS} DESC, a.id DESC LIMIT 1) ELSE t.action_type END)"
    )
}

fn last_grouped() -> String {
    let column = |fact: &Fact| match fact.column {
        "action_type" => last_action() + " AS action_type",
        column => format!("t.{column}"),
    };
    grouped().map(column).collect::<Vec<_>>().join(", ")
}

/// A statement from a file beside the caller, filled once, for one row or for many.
macro_rules! sql_for_rows {
    ($file:literal, $is_one:expr) => {{
        static ONE: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| {
            $crate::db::template::for_one_row(&$crate::db::template::fill(include_str!($file)))
        });
        if $is_one { ONE.as_str() } else { $crate::db::template::sql!($file) }
    }};
}
pub(crate) use sql_for_rows;

/// A statement from a file beside the caller, filled once.
macro_rules! sql {
    ($file:literal) => {{
        static SQL: std::sync::LazyLock<String> =
            std::sync::LazyLock::new(|| $crate::db::template::fill(include_str!($file)));
        SQL.as_str()
    }};
}
pub(crate) use sql;

fn expand(list: &str) -> String {
    let (head, item) = list.split_once('|').unwrap_or((list, "@"));
    let (name, between) =
        head.split_once(' ').map_or((head, ", ".to_owned()), |(name, word)| (name, format!(" {word} ")));
    let facts: Vec<&Fact> = match name {
        "counted" => counted().collect(),
        "stated" => stated().collect(),
        "copied" => copied().collect(),
        "grouped" => grouped().collect(),
        "only_filtered" => only_filtered().collect(),
        "uncounted" => uncounted().collect(),
        other => panic!("no list of facts is called {other}"),
    };
    let items = facts.iter().enumerate().map(|(at, fact)| {
        let kind = if fact.kind == FactKind::Number { "float8" } else { "text" };
        item.replace('@', fact.column).replace("#type", kind).replace("#place", &(at + 1).to_string())
    });
    items.collect::<Vec<_>>().join(&between)
}

/// Gives each `$*` its number.
fn number(text: &str) -> String {
    let mut parts = text.split("$*");
    let mut numbered = parts.next().unwrap_or_default().to_owned();
    for (at, part) in parts.enumerate() {
        _ = write!(numbered, "${}", at + 1);
        numbered.push_str(part);
    }
    numbered
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_row_needs_no_lists() {
        let many = "INSERT INTO t SELECT * FROM unnest($1::int[], $2::text[])\n    AS u (a, b) ORDER BY u.a";
        assert_eq!(
            for_one_row(many),
            "INSERT INTO t SELECT * FROM (SELECT $1::int, $2::text)\n    AS u (a, b) ORDER BY u.a"
        );
        assert_eq!(for_one_row("SELECT 1"), "SELECT 1");
    }

    #[test]
    fn one_statement_serves_both() {
        let sql = "SELECT a /*whole*/FROM t/*end*/ /*distributed FROM u WHERE b = ANY ($1) */-- c\n/* d */;";
        assert_eq!(placed(sql, false), sql);
        assert_eq!(placed(sql, true), "SELECT a  FROM u WHERE b = ANY ($1)-- c\n;");
        let nested = "/*whole*/a /*whole*/b/*end*/ /*distributed c */ d/*end*/ /*distributed e /*whole*/f/*end*/ /*distributed g */ h */ i";
        assert_eq!(placed(nested, true), " e  g h i");
    }

    #[test]
    fn lists_come_from_the_table() {
        let columns: Vec<&str> = counted().map(|fact| fact.column).collect();
        assert_eq!(fill("a, {counted|t.@}"), format!("a, t.{}", columns.join(", t.")));
        assert_eq!(fill("{counted OR|@}"), columns.join(" OR "));
        assert!(fill("($*::int[], {counted|$*::#type[]})").starts_with("($1::int[], $2::text[], $3::text[], "));
        assert!(fill("{stated|@ #type}").ends_with("model_confidence float8"));
        assert!(fill("{counted|@ #place}").starts_with("alert_name 1, alert_severity 2, action_type 3"));
    }
}
