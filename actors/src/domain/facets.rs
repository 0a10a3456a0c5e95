//! Which facts a group of incidents has, in few bits: whether none of them fits a filter can be told without looking at them.

use super::facts::Fact;
use super::filter::IncidentFilter;
use bit_vec::BitVec;
use sha2::{Digest, Sha256};

/// Two bits for each fact; some may be there without it, never the other way round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facets(BitVec);

const BITS: usize = 512;

impl Default for Facets {
    fn default() -> Self {
        Facets(BitVec::from_elem(BITS, false))
    }
}

impl Facets {
    /// Of facts and their values; those that facets do not tell of are left out.
    pub fn of<'a>(facts: impl IntoIterator<Item = (&'static Fact, &'a str)>) -> Self {
        let mut facets = Facets::default();
        for (fact, value) in facts.into_iter().filter(|(fact, _)| fact.faceted) {
            let digest = Sha256::new().chain_update(fact.column).chain_update([0]).chain_update(value).finalize();
            for pair in digest[..4].chunks_exact(2) {
                facets.0.set(usize::from(u16::from_be_bytes([pair[0], pair[1]])) % BITS, true);
            }
        }
        facets
    }

    /// Those that every incident has which fits the filter: of a fact with several values nothing can be said.
    pub fn of_filter(filter: &IncidentFilter) -> Self {
        Self::of(filter.facts().filter_map(|(fact, values)| match values {
            [value] => Some((fact, value.as_str())),
            _ => None,
        }))
    }

    pub fn add(&mut self, other: &Facets) {
        self.0.or(&other.0);
    }

    pub fn is_empty(&self) -> bool {
        self.0.none()
    }

    /// 512 bits, as the column has them.
    pub fn bits(&self) -> &BitVec {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::filter::tests::filter;

    #[test]
    fn a_group_has_the_facets_of_its_members() {
        let of = |values: &[(&'static str, &str)]| Facets::of_filter(&filter(values));
        let a = of(&[("namespace", "prod"), ("alert_name", "A")]);
        let mut both = a.clone();
        both.add(&of(&[("namespace", "test")]));
        let asked = filter(&[("namespace", "prod")]);
        let mut added = both.clone();
        added.add(&Facets::of_filter(&asked));
        assert_eq!(added, both);
        let other = filter(&[("cluster", "prod")]);
        added.add(&Facets::of_filter(&other));
        assert_ne!(added, both, "a value counts in its column only");
        assert!(Facets::of_filter(&IncidentFilter::default()).is_empty() && !a.is_empty());
        assert!(of(&[("namespace", "prod"), ("namespace", "test")]).is_empty(), "either will do");
        assert!(of(&[("environment", "prod")]).is_empty(), "older facets say nothing of it");
    }
}
