//! Every attempt in memory, for success rates by any group and filter, and for counts by facts that incidents are not counted by. Reading a
//! million of them from PostgreSQL takes seconds, and counting them here some milliseconds. Which incidents have changed since the last
//! question is told by the notes of the counts (`totals/`): those are read again before each answer.

mod counts;
mod groups;
mod held;
mod keep_up;
mod rates;
mod recurrence;

pub(crate) use counts::GroupCount;
pub(crate) use held::AttemptTable;
pub(crate) use keep_up::HeldAttempts;
pub(crate) use rates::{RateQuestion, Rates};

use crate::domain::facts::grouped;

/// The place of a column among the facts that attempts are told apart by.
pub(crate) fn place_of(column: &str) -> Option<usize> {
    grouped().position(|fact| fact.column == column)
}
