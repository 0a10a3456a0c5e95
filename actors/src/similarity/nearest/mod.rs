//! The patterns nearest to a vector: compared in memory where all patterns are held there, else by the vector store, by one of three plans.

mod best;
mod block;
mod held;
mod in_store;
mod keep_up;
mod learn;

pub(super) use held::HeldPatterns;
pub(super) use in_store::{nearest_in_store, with_rare_words};
pub(super) use keep_up::hold_patterns;

use super::plan::{Plan, QueryVector, Reach, SCANNED_SPARSE, Scope};
use super::score::Query;
use crate::db::connection::Connection;
use crate::db::sqlstate::DatabaseError;
use held::Asked;
use uuid::Uuid;

/// Patterns and their similarities, 0…1.
pub(super) type Near = Vec<(Uuid, f64)>;

/// What was found, and how.
pub(super) struct Nearest {
    pub near: Near,
    /// Whether no other pattern is near enough, among those that were compared.
    pub is_all: bool,
    pub plan: Plan,
    /// Whether the patterns were compared in memory.
    pub in_memory: bool,
}

/// The patterns nearest to the vector, of so many that the store has. In memory those with the highest estimates come first: they are nearer to
/// the best ones than those with the nearest vectors.
pub(super) async fn nearest(
    connection: &mut Connection,
    held: &HeldPatterns,
    (vector, query): (&QueryVector<'_>, &Query),
    scope: &Scope,
    plan: Plan,
    (reach, patterns): (Reach, i64),
) -> Result<Nearest, DatabaseError> {
    if let Some(near) = nearest_held(connection, held, (vector, query), scope, plan, reach).await? {
        return Ok(Nearest { is_all: near.len() < reach.estimated, near, plan, in_memory: true });
    }
    let is_too_slow = plan == Plan::Scan && patterns > SCANNED_SPARSE;
    let plan = if is_too_slow { Plan::Index } else { plan };
    let near = nearest_in_store(connection, vector, scope, plan, reach.patterns).await?;
    let is_all = plan.is_exhaustive() && i64::try_from(near.len()).is_ok_and(|found| found < reach.patterns);
    Ok(Nearest { near, is_all, plan, in_memory: false })
}

/// As [`nearest`], in memory; `None` where the patterns are not held.
async fn nearest_held(
    connection: &mut Connection,
    held: &HeldPatterns,
    (vector, query): (&QueryVector<'_>, &Query),
    scope: &Scope,
    plan: Plan,
    reach: Reach,
) -> Result<Option<Near>, DatabaseError> {
    let Some(words) = vector.sparse.as_ref().filter(|_| plan != Plan::Index && held.is_of(vector.embedder)) else {
        return Ok(None);
    };
    let among = match plan {
        Plan::OfMatching => Some(in_store::list_matching(connection, vector, scope).await?),
        Plan::Scan | Plan::Index => None,
    };
    if !keep_up::catch_up(connection, held, vector.embedder, keep_up::OF_A_SEARCH).await? {
        return Ok(None);
    }
    let (estimate, least, most) = (&query.estimate(), scope.min_similarity, reach.estimated);
    let asked = Asked { words, estimate, facets: &scope.facets, among, least, most };
    Ok(held.nearest(vector.embedder, &asked))
}
