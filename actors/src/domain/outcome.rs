//! The outcome of a remediation, and what many outcomes together say.

use super::status::Status;
use serde::Serialize;

/// The outcome of one incident. A completed remediation whose alert came back is `Recurred`: it counts neither as
/// completed nor as failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Pending,
    InProgress,
    Completed,
    Failed,
    Cancelled,
    RolledBack,
    Recurred,
}

impl Outcome {
    pub fn of(status: &str, recurred: bool) -> Self {
        match Status::parse(status) {
            _ if recurred => Outcome::Recurred,
            Some(Status::Completed) => Outcome::Completed,
            Some(Status::Failed) => Outcome::Failed,
            Some(Status::RolledBack) => Outcome::RolledBack,
            Some(Status::Cancelled) => Outcome::Cancelled,
            Some(Status::InProgress) => Outcome::InProgress,
            Some(Status::Pending) | None => Outcome::Pending,
        }
    }
}

/// How often something worked. A remediation that was rolled back counts as failed. A remediation that is not over, or
/// was cancelled, does not count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    pub completed: u64,
    pub failed: u64,
    pub recurred: u64,
}

/// Fewer remediations than this say nothing about the success rate.
pub const ENOUGH: u64 = 5;

impl Tally {
    pub fn count(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Completed => self.completed += 1,
            Outcome::Failed | Outcome::RolledBack => self.failed += 1,
            Outcome::Recurred => self.recurred += 1,
            Outcome::Pending | Outcome::InProgress | Outcome::Cancelled => {}
        }
    }

    pub fn n(&self) -> u64 {
        self.completed + self.failed + self.recurred
    }

    /// The share that worked; `None` if nothing was counted.
    pub fn success_rate(&self) -> Option<f64> {
        (self.n() > 0).then(|| round(self.completed as f64 / self.n() as f64)) // counts below 2^53
    }

    /// Wilson's interval of the success rate at 95 %: it says where the true rate lies, even if few remediations were
    /// seen. `None` if nothing was counted.
    pub fn interval(&self) -> Option<[f64; 2]> {
        const Z: f64 = 1.959_963_984_540_054;
        if self.n() == 0 {
            return None;
        }
        let (n, p) = (self.n() as f64, self.completed as f64 / self.n() as f64); // counts below 2^53
        let middle = p + Z * Z / (2.0 * n);
        let half = Z * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
        let scale = 1.0 + Z * Z / n;
        Some([round(((middle - half) / scale).max(0.0)), round(((middle + half) / scale).min(1.0))])
    }
}

/// Rounds to four digits after the decimal point.
fn round(share: f64) -> f64 {
    (share * 1e4).round() / 1e4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wilsons_interval() {
        // Figures from the literature: 7 of 8, 0 of 4, 10 of 10.
        for (completed, failed, low, high) in [(7, 1, 0.5291, 0.9776), (0, 4, 0.0, 0.4899), (10, 0, 0.7225, 1.0)] {
            let tally = Tally { completed, failed, recurred: 0 };
            assert_eq!(tally.interval(), Some([low, high]));
        }
        assert_eq!(Tally::default().interval(), None);
    }

    #[test]
    fn what_came_back_is_in_n_alone() {
        let mut tally = Tally::default();
        for outcome in [
            Outcome::of("completed", true),
            Outcome::of("completed", false),
            Outcome::of("rolled_back", false),
            Outcome::of("pending", false),
        ] {
            tally.count(outcome);
        }
        assert_eq!(tally, Tally { completed: 1, failed: 1, recurred: 1 });
        assert_eq!(tally.success_rate(), Some(0.3333));
    }
}
