use super::QueryActor;
use crate::db::statement::{ComposedStatement, FactSource, SqlValue, conditions, where_all};
use crate::domain::cursor::Cursor;
use crate::domain::filter::IncidentFilter;
use crate::error::ActorError;
use actix::prelude::*;

/// Asks for the newest incidents of a workload, or of all that fit.
#[derive(Message)]
#[rtype(result = "Result<Vec<Cursor>, ActorError>")]
pub struct ListHistory {
    /// As `domain/workload.rs` makes it of a target.
    pub workload: Option<String>,
    pub filter: IncidentFilter,
    /// The incident behind which they begin.
    pub after: Option<Cursor>,
    pub limit: i64,
}

impl Handler<ListHistory> for QueryActor {
    type Result = ResponseFuture<Result<Vec<Cursor>, ActorError>>;

    fn handle(&mut self, message: ListHistory, _: &mut Self::Context) -> Self::Result {
        self.read("query.list_history", async move |connection| {
            let statement = statement(&message);
            let prepared = connection.prepare(&statement.sql).await?;
            let rows = connection.client().query(&prepared, &statement.params()).await?;
            let place =
                |row: &tokio_postgres::Row| Cursor { action_timestamp: row.get("action_timestamp"), id: row.get("id") };
            Ok(rows.iter().map(place).collect())
        })
    }
}

fn statement(message: &ListHistory) -> ComposedStatement<'_> {
    let mut values = vec![SqlValue::Number(message.limit)];
    let mut clauses = conditions(&message.filter, FactSource::OfIncidents, &mut values);
    if let Some(workload) = &message.workload {
        values.push(SqlValue::Text(workload));
        clauses.push(format!("t.workload = ${}", values.len()));
    }
    if let Some(after) = &message.after {
        values.extend([SqlValue::Time(after.action_timestamp), SqlValue::Number(after.id)]);
        clauses.push(format!("(t.action_timestamp, t.id) < (${}, ${})", values.len() - 1, values.len()));
    }
    let sql = format!(
        "-- query.list_history\nSELECT t.id, t.action_timestamp\nFROM resource_action_traces AS t{}\n\
         ORDER BY t.action_timestamp DESC, t.id DESC\nLIMIT $1",
        where_all(&clauses)
    );
    ComposedStatement { sql, values }
}
