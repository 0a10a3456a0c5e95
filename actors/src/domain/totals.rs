//! Which totals of incidents are kept, and under which key.

use super::bucket::Bucket;
use super::content::ContentHasher;
use super::facts::{COUNTED, counted};
use super::filter::IncidentFilter;
use std::collections::BTreeMap;

/// A value for each counted fact; `None` where it is not known, or not of the set.
pub type Values<T> = [Option<T>; COUNTED];

/// A set of counted facts, one bit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DimensionSet(u8);

impl DimensionSet {
    /// Every combination, from which any total can be summed up.
    pub const ALL: Self = DimensionSet((1 << COUNTED) - 1);

    /// The sets whose totals are kept ready beside it: none, each alone, and the first two (alert and severity).
    pub fn ready() -> impl Iterator<Item = Self> {
        [0, 0b11].into_iter().chain((0..COUNTED).map(|fact| 1 << fact)).map(DimensionSet)
    }

    pub fn bits(self) -> i32 {
        self.0.into()
    }

    fn has(self, dimension: usize) -> bool {
        self.0 >> dimension & 1 == 1
    }

    pub fn is_ready(self) -> bool {
        Self::ready().any(|set| set == self)
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
        for (fact, value) in counted().zip(values) {
            hasher.text(fact.column, *value);
        }
        let digest = hasher.finish();
        let mut key = [0; 16];
        key.copy_from_slice(&digest[..16]);
        (Bucket::of_digest(&digest), key)
    }
}

/// What a filter asks of the counted facts, where it asks for nothing else.
#[derive(Debug, Clone, Copy)]
pub struct CountedFilter<'a> {
    /// The values that each of them may have; none where any will do.
    values: [&'a [String]; COUNTED],
}

impl<'a> CountedFilter<'a> {
    /// `None` where it asks for anything else.
    pub fn of(filter: &'a IncidentFilter) -> Option<Self> {
        let mut values: [&[String]; COUNTED] = [&[]; COUNTED];
        for (held, fact) in values.iter_mut().zip(counted()) {
            *held = filter.values_of(fact);
        }
        let asked = values.iter().filter(|values| !values.is_empty()).count();
        let is_counted = filter.without_facts() == IncidentFilter::default() && filter.facts().count() == asked;
        is_counted.then_some(CountedFilter { values })
    }

    /// The facts that it asks for.
    pub fn set(&self) -> DimensionSet {
        DimensionSet::of(&self.values.map(|values| values.first()))
    }

    /// How many facts it asks for.
    pub fn facts(&self) -> usize {
        self.values.iter().filter(|values| !values.is_empty()).count()
    }

    /// The keys of the totals that add up to what fits: one for each combination of values.
    pub fn keys(&self) -> Vec<(Bucket, [u8; 16])> {
        let mut combinations: Vec<Values<&str>> = vec![Values::default()];
        for (at, values) in self.values.iter().enumerate().filter(|(_, values)| !values.is_empty()) {
            let with = |combination: &Values<&'a str>, value: &'a String| {
                let mut combination = *combination;
                combination[at] = Some(value.as_str());
                combination
            };
            combinations =
                combinations.iter().flat_map(|held| values.iter().map(move |value| with(held, value))).collect();
        }
        let set = self.set();
        combinations.iter().map(|values| set.key(values)).collect()
    }
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
        for set in DimensionSet::ready().chain(all) {
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
    fn a_filter_of_several_values_has_a_key_for_each_combination() {
        use crate::domain::filter::tests::filter;
        let asked = filter(&[("severity", "high"), ("severity", "low"), ("alert_name", "A"), ("alert_name", "B")]);
        let counted = CountedFilter::of(&asked).expect("counted facts alone");
        let mut keys = counted.keys();
        assert!(counted.set().is_ready() && counted.facts() == 2 && keys.len() == 4);
        let one = filter(&[("severity", "low"), ("alert_name", "B")]);
        keys.retain(|key| CountedFilter::of(&one).expect("as above").keys().contains(key));
        assert_eq!(keys.len(), 1);
        assert!(CountedFilter::of(&filter(&[("severity", "low"), ("since", "1h")])).is_none());
        assert!(CountedFilter::of(&filter(&[("status", "failed")])).is_none());
    }

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
