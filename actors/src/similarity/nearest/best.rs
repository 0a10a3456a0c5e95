//! The patterns with the highest estimates among many that are taken one after the other.

use super::super::score::Estimate;
use std::cmp::Ordering;
use uuid::Uuid;

/// As many are gathered before those that are too far are dropped.
const FEWEST_TO_CUT: usize = 1_000;

/// The patterns with the highest estimates among those that were taken.
pub(super) struct Best<'a> {
    most: usize,
    estimate: &'a Estimate,
    least: f32,
    least_product: f32,
    found: Vec<Estimated>,
}

#[derive(Clone, Copy)]
pub(super) struct Estimated {
    pub id: Uuid,
    pub similarity: f64,
    pub estimate: f32,
}

impl<'a> Best<'a> {
    /// So many at most.
    pub fn new(most: usize, estimate: &'a Estimate) -> Self {
        Best { most, estimate, least: f32::NEG_INFINITY, least_product: f32::NEG_INFINITY, found: Vec::new() }
    }

    /// The estimate below which no other can be among them any more.
    pub fn least(&self) -> f32 {
        self.least
    }

    /// The same of the vector's part of an estimate.
    pub fn least_product(&self) -> f32 {
        self.least_product
    }

    pub fn take(&mut self, found: Estimated) {
        if found.estimate < self.least {
            return;
        }
        self.found.push(found);
        // Those that are too far are dropped now and then.
        if self.found.len() >= self.most.saturating_mul(2).max(FEWEST_TO_CUT) {
            self.cut();
        }
    }

    fn cut(&mut self) {
        if self.found.len() > self.most {
            self.found.select_nth_unstable_by(self.most, order);
            self.found.truncate(self.most);
            let farthest = self.found.iter().map(|found| found.estimate).min_by(f32::total_cmp);
            self.least = farthest.unwrap_or(self.least);
            self.least_product = self.estimate.least_product(self.least);
        }
    }

    /// Their ids and similarities, the highest estimate first.
    pub fn sorted(mut self) -> Vec<(Uuid, f64)> {
        self.cut();
        self.found.sort_unstable_by(order);
        self.found.iter().map(|found| (found.id, found.similarity)).collect()
    }
}

/// The highest estimate first; of two as high the nearer, and of two as near by their ids.
fn order(a: &Estimated, b: &Estimated) -> Ordering {
    let nearer = b.similarity.total_cmp(&a.similarity);
    b.estimate.total_cmp(&a.estimate).then(nearer).then_with(|| a.id.cmp(&b.id))
}
