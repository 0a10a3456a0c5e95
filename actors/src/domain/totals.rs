//! Which totals of incidents are kept, and under which key.

use super::bucket::Bucket;
use super::content::ContentHasher;
use super::filter::IncidentFilter;
use std::collections::BTreeMap;

/// The counted dimensions, in the order of their columns and bits.
pub const DIMENSIONS: [&str; 5] = ["alert_name", "alert_severity", "action_type", "namespace", "cluster_name"];

/// A value for each dimension; `None` where it is not known, or not of the set.
pub type Values<T> = [Option<T>; 5];

/// A set of dimensions, one bit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DimensionSet(u8);

impl DimensionSet {
    /// Every combination, from which any total can be summed up.
    pub const ALL: Self = DimensionSet(0b11111);

    /// The sets whose totals are kept ready beside it: none, each alone, alert and severity.
    const READY: [Self; 7] = [
        DimensionSet(0),
        DimensionSet(0b1),
        DimensionSet(0b10),
        DimensionSet(0b100),
        DimensionSet(0b1000),
        DimensionSet(0b10000),
        DimensionSet(0b11),
    ];

    pub fn bits(self) -> i32 {
        self.0.into()
    }

    fn has(self, dimension: usize) -> bool {
        self.0 >> dimension & 1 == 1
    }

    pub fn is_ready(self) -> bool {
        Self::READY.contains(&self)
    }

    /// The dimensions that have a value.
    pub fn of<T>(values: &Values<T>) -> Self {
        let bits = values.iter().enumerate().filter(|(_, value)| value.is_some());
        DimensionSet(bits.fold(0, |set, (dimension, _)| set | 1 << dimension))
    }

    /// The values of this set alone.
    fn pick<'a>(self, values: &Values<&'a str>) -> Values<&'a str> {
        let mut picked = *values;
        for (dimension, value) in picked.iter_mut().enumerate() {
            if !self.has(dimension) {
                *value = None;
            }
        }
        picked
    }

    /// The key of a total, and the bucket that it lies in.
    pub fn key(self, values: &Values<&str>) -> (Bucket, [u8; 16]) {
        let mut hasher = ContentHasher::new("total");
        hasher.integer("dimensions", Some(self.0.into()));
        for (name, value) in DIMENSIONS.iter().zip(values) {
            hasher.text(name, *value);
        }
        let digest = hasher.finish();
        let mut key = [0; 16];
        key.copy_from_slice(&digest[..16]);
        (Bucket::of_digest(&digest), key)
    }
}

/// The values that a filter asks for.
pub fn values_of(filter: &IncidentFilter) -> Values<&str> {
    [
        filter.alert_name.as_deref(),
        filter.severity.map(|severity| severity.as_str()),
        filter.action_type.as_deref(),
        filter.namespace.as_deref(),
        filter.cluster.as_deref(),
    ]
}

/// Whether a filter asks for counted dimensions only.
pub fn is_counted(filter: &IncidentFilter) -> bool {
    let IncidentFilter { status, remediation_request_id, since, until, .. } = filter;
    status.is_none() && remediation_request_id.is_none() && since.is_none() && until.is_none()
}

/// One row of the totals, or what is to be added to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Total<'a> {
    pub bucket: Bucket,
    pub key: [u8; 16],
    pub set: DimensionSet,
    pub values: Values<&'a str>,
    pub total: i64,
}

/// What changes of incidents add to the kept totals, sorted by key; nothing comes twice. Sets with an unknown value are only
/// kept as part of all dimensions: nobody can ask for them.
pub fn sum_up<'a>(changes: &[(Values<&'a str>, i64)], with_all: bool) -> Vec<Total<'a>> {
    let all = with_all.then_some(DimensionSet::ALL);
    let mut sums: BTreeMap<(DimensionSet, Values<&'a str>), i64> = BTreeMap::new();
    for (values, delta) in changes {
        for set in DimensionSet::READY.into_iter().chain(all) {
            let picked = set.pick(values);
            if set == DimensionSet::ALL || DimensionSet::of(&picked) == set {
                *sums.entry((set, picked)).or_default() += delta;
            }
        }
    }
    let mut totals: Vec<Total<'a>> = sums
        .into_iter()
        .filter(|(_, total)| *total != 0)
        .map(|((set, values), total)| {
            let (bucket, key) = set.key(&values);
            Total { bucket, key, set, values, total }
        })
        .collect();
    totals.sort_by_key(|total| (total.bucket, total.key));
    totals
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_add_to_every_set_that_can_be_asked_for() {
        let known = [Some("A"), Some("high"), None, Some("n"), Some("c")];
        let other = [Some("B"), Some("high"), None, Some("n"), Some("c")];
        let totals = sum_up(&[(known, 2), (other, 1), (known, -1)], true);
        let of = |set: u8, values: Values<&str>| {
            totals.iter().find(|t| t.set == DimensionSet(set) && t.values == values).map(|t| t.total)
        };
        assert_eq!(of(0, [None; 5]), Some(2));
        assert_eq!(of(0b1, [Some("A"), None, None, None, None]), Some(1));
        assert_eq!(of(0b11, [Some("B"), Some("high"), None, None, None]), Some(1));
        assert_eq!(of(0b100, [None; 5]), None, "an unknown action cannot be asked for");
        assert_eq!(of(0b11111, known), Some(1));
        assert!(totals.is_sorted_by_key(|t| (t.bucket, t.key)));
        assert_eq!(sum_up(&[(known, 1), (known, -1)], true), Vec::new());
    }
}
