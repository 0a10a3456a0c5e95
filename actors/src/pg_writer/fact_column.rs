//! The facts of incidents as the columns that an upsert takes.

use crate::db::columns::{Column, column};
use crate::domain::facts::FactKind;
use crate::domain::incident::{IncidentFacts, Stated};
use tokio_postgres::types::ToSql;
use uuid::Uuid;

/// The values of one fact, and the audits that state them.
pub(super) struct FactColumn<'a> {
    values: FactValues<'a>,
    by: Column<Option<Uuid>>,
}

enum FactValues<'a> {
    Texts(Column<Option<&'a str>>),
    Numbers(Column<Option<f64>>),
}

impl<'a> FactColumn<'a> {
    /// `at`: its place among the facts that audits state by themselves.
    pub fn of(rows: &[&'a IncidentFacts<'a>], at: usize, kind: FactKind) -> Self {
        let value = |row: &IncidentFacts<'a>| row.stated[at].map(|stated| stated.value);
        let values = match kind {
            FactKind::Number => FactValues::Numbers(column(rows, |row| value(row)?.number())),
            FactKind::Text | FactKind::Severity | FactKind::Status => {
                FactValues::Texts(column(rows, |row| value(row)?.text()))
            }
        };
        FactColumn { values, by: column(rows, |row| stated_by(row.stated[at])) }
    }

    pub fn params(&self) -> [&(dyn ToSql + Sync); 2] {
        match &self.values {
            FactValues::Texts(texts) => [texts, &self.by],
            FactValues::Numbers(numbers) => [numbers, &self.by],
        }
    }
}

pub(super) fn stated_by<T>(stated: Option<Stated<T>>) -> Option<Uuid> {
    stated.map(|stated| stated.by)
}
