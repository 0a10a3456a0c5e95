//! The table of facts (`domain/facts.rs`) and the schema say the same.

use crate::support::{Database, Service};
use data_storage_actors::domain::facts::{FACTS, Fact, FactKind};
use std::collections::BTreeSet;

async fn columns(database: &Database, table: &str) -> BTreeSet<(String, String)> {
    let sql = "SELECT column_name::text, data_type::text FROM information_schema.columns WHERE table_name = $1";
    let rows = database.rows(sql, &[&table]).await;
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

fn of<'a>(facts: impl Iterator<Item = &'a Fact>) -> BTreeSet<(String, String)> {
    facts.map(|fact| (fact.column.to_owned(), kind(fact).to_owned())).collect()
}

fn kind(fact: &Fact) -> &'static str {
    if fact.kind == FactKind::Number { "double precision" } else { "text" }
}

fn without(columns: BTreeSet<(String, String)>, others: &[&str]) -> BTreeSet<(String, String)> {
    columns.into_iter().filter(|(name, _)| !others.contains(&name.as_str())).collect()
}

#[tokio::test]
async fn the_table_of_facts_is_the_schemas() {
    let (_service, database) = Service::start().await;
    let incidents = columns(&database, "resource_action_traces").await;
    for fact in &FACTS {
        assert!(incidents.contains(&(fact.column.to_owned(), kind(fact).to_owned())), "{}", fact.column);
        assert!(incidents.contains(&(format!("{}_by", fact.column), "uuid".to_owned())), "{}", fact.column);
    }
    let with_author: BTreeSet<String> =
        incidents.iter().filter_map(|(name, _)| name.strip_suffix("_by").map(str::to_owned)).collect();
    assert_eq!(with_author, FACTS.iter().map(|fact| fact.column.to_owned()).collect());

    let counted = of(FACTS.iter().filter(|fact| fact.counted));
    let copied = of(FACTS.iter().filter(|fact| fact.filter.is_some()));
    for (table, others, facts) in [
        ("count_combinations", &["bucket", "key", "id"][..], &counted),
        (
            "incident_facts",
            &["bucket", "incident_id", "correlation_id", "action_timestamp", "revision", "is_complete"],
            &copied,
        ),
    ] {
        let there = without(columns(&database, table).await, others);
        let missing: Vec<_> = facts.difference(&there).collect();
        let left_over: Vec<_> = there.difference(facts).collect();
        assert!(missing.is_empty() && left_over.is_empty(), "{table} lacks {missing:?}, and has {left_over:?} beside");
    }
    let indexes =
        database.rows("SELECT indexdef FROM pg_indexes WHERE tablename = 'resource_action_traces'", &[]).await;
    let indexes: Vec<String> = indexes.iter().map(|row| row.get(0)).collect();
    for fact in FACTS.iter().filter(|fact| fact.filter.is_some()) {
        let index = format!("({}, action_timestamp DESC, id DESC)", fact.column);
        assert_eq!(
            indexes.iter().any(|text| text.contains(&index)),
            fact.listed,
            "an index for pages by {}",
            fact.column
        );
    }
    let indexes = database.rows("SELECT indexdef FROM pg_indexes WHERE tablename = 'incident_facts'", &[]).await;
    let indexes: Vec<String> = indexes.iter().map(|row| row.get(0)).collect();
    for fact in FACTS.iter().filter(|fact| fact.filter.is_some()) {
        let index = format!("({})", fact.column);
        assert_eq!(indexes.iter().any(|text| text.ends_with(&index)), fact.indexed, "{}", fact.column);
    }
}
