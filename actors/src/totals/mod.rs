//! Exact counts of incidents (`domain/totals.rs`), by combination and minute, from which totals, facets and counts over time come. Each
//! transaction that changes incidents notes what it changes; in the background the notes are folded into blocks of an hour; those who ask
//! hold the blocks in memory, and read the notes. A comparison with the incidents shows whether the counts are exact, and a repair mends them.

mod block;
mod changes;
mod combinations;
mod compare;
mod fit;
mod fold;
mod held;
mod hours;
mod keep_up;
mod marks;

pub(crate) use changes::{Change, note_changes, values};
pub(crate) use combinations::{Combinations, Fitting};
pub(crate) use compare::count_all;
pub use compare::{Deviation, compare, repair};
pub(crate) use fit::{Fit, Minutes};
pub use fold::fold_totals;
pub(crate) use keep_up::{Found, HeldTotals, MOST_BYTES, Seen, StateStatements};
pub use marks::Generations;
