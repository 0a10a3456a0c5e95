//! The outbox: a row for each audit whose vector is still to be written. A row is inserted in the transaction that inserts its audit
//! (`insert.sql`, part of a flush), born claimed by the service that wrote it. The worker embeds the audit, writes its vector and clears the row. A
//! row whose claim has run out is claimed anew by whichever service finds it first; one whose text the embedder refuses is set aside.

mod claim;
mod clear;
mod measure;
mod read_facts;
mod set_aside;
mod worker;

pub use claim::ClaimOutbox;
pub use clear::ClearOutbox;
pub use measure::{MeasureOutbox, OutboxSize};
pub use read_facts::ReadFacts;
pub use set_aside::SetAside;
pub use worker::Worker;

use std::time::Duration;

/// How long the service that writes an audit has for its vector before others may make up for it.
pub const CLAIM: Duration = Duration::from_secs(10);
/// Tries after which a text is not tried again: its row stays, is counted, and blocks no other.
const MOST_ATTEMPTS: i32 = 5;
/// How long one of these transactions may take.
const LIMIT: Duration = Duration::from_secs(10);
