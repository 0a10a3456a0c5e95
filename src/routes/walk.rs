//! What lists that are walked through by cursor have in common.

use chrono::{DateTime, Utc};
use data_storage_actors::domain::invalid::Invalid;
use data_storage_actors::domain::parameters::Parameters;
use data_storage_actors::domain::walk::WalkCursor;
use serde::Serialize;

/// A page.
#[derive(Serialize)]
pub struct Walked<T> {
    pub data: Vec<T>,
    pub pagination: WalkPagination,
}

/// Where a walk goes on.
#[derive(Serialize)]
pub struct WalkPagination {
    pub limit: i64,
    pub has_more: bool,
    pub next_cursor: Option<String>,
}

impl WalkPagination {
    /// `asked`: the fingerprint of what is walked through.
    pub fn new(limit: i64, next: Option<WalkCursor>, asked: [u8; 8]) -> Self {
        WalkPagination { limit, has_more: next.is_some(), next_cursor: next.map(|next| next.encode(asked)) }
    }
}

/// Time and id of the entry behind which a page begins.
pub fn after(query: &Parameters, asked: [u8; 8]) -> Result<Option<(DateTime<Utc>, String)>, Invalid> {
    let Some(text) = query.get("cursor")? else { return Ok(None) };
    let cursor = WalkCursor::decode(text, asked)?;
    let (time, id) = cursor.time_and_id()?;
    Ok(Some((time, id.to_owned())))
}
