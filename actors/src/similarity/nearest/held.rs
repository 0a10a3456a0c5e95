//! The words' vectors of all patterns of one embedder, held in memory and turned over: a query meets only the patterns that have a number
//! where it has one, so that a comparison with all of them takes a tenth of what it takes the vector store.

use super::super::plan::SCANNED_SPARSE;
use crate::domain::facets::Facets;
use crate::embedder::VECTOR_LENGTH;
use bit_vec::BitVec;
use pgvector::SparseVector;
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::time::Instant;
use tokio::sync::Mutex;
use uuid::Uuid;

/// Memory that held patterns may take, in bytes: some 200,000 of sixty words (docs/reliability.md, "Memory").
pub(super) const MOST_BYTES: usize = 160 << 20;

#[derive(Default)]
pub(in crate::similarity) struct HeldPatterns {
    held: RefCell<Option<Held>>,
    /// One search at a time refreshes them.
    pub(super) turn: Mutex<()>,
    /// Start of the last refresh. A caller that arrived before it need not refresh again.
    pub(super) begun: Cell<Option<Instant>>,
    /// Start of the last reading of all patterns.
    pub(super) loaded: Cell<Option<Instant>>,
}

/// The patterns of one embedder.
pub(super) struct Held {
    embedder: String,
    /// How often each bucket had changed when it was read, and their sum.
    revisions: HashMap<i32, i64>,
    revision: i64,
    /// How many patterns the store has.
    expected: i64,
    patterns: Vec<HeldPattern>,
    /// The places of the patterns that are in the store.
    places: HashMap<Uuid, u32>,
    /// For each number of a vector the patterns that have it, by their places.
    by_number: Vec<Vec<(u32, f32)>>,
}

struct HeldPattern {
    id: Uuid,
    bucket: i32,
    length: f64,
    /// `None` when the pattern is not in the store any more.
    facets: Option<Bits>,
}

/// What is asked of them: of the patterns that have all facets, and are among these where that is said, those that are at least as near
/// as `least`, and at most so many.
pub(super) struct Asked<'a> {
    pub words: &'a SparseVector,
    pub facets: &'a Facets,
    pub among: Option<Vec<Uuid>>,
    pub least: f64,
    pub most: usize,
}

/// Facets, packed.
pub(super) type Bits = [u32; 16];

impl HeldPatterns {
    pub fn is_of(&self, embedder: &str) -> bool {
        self.of(embedder, |_| ()).is_some()
    }

    /// Looks at what is held, if it is this embedder's.
    pub(super) fn of<T>(&self, embedder: &str, look: impl FnOnce(&mut Held) -> T) -> Option<T> {
        self.held.borrow_mut().as_mut().filter(|held| held.embedder == embedder).map(look)
    }

    /// The nearest patterns, nearest first; of two as near by their ids. `None` where nothing is held.
    pub(super) fn nearest(&self, embedder: &str, asked: &Asked<'_>) -> Option<Vec<(Uuid, f64)>> {
        self.of(embedder, |held| held.nearest(asked))
    }

    pub(super) fn hold(&self, held: Held) {
        *self.held.borrow_mut() = Some(held);
    }

    pub(super) fn release(&self) {
        self.held.take();
    }

    /// How many patterns are held, and the bytes that they take.
    pub(super) fn size(&self) -> (usize, usize) {
        self.held.borrow().as_ref().map_or((0, 0), |held| (held.places.len(), held.bytes()))
    }
}

impl Held {
    pub fn new(embedder: &str, expected: i64) -> Self {
        Held {
            embedder: embedder.to_owned(),
            revisions: HashMap::new(),
            revision: 0,
            expected,
            patterns: Vec::new(),
            places: HashMap::new(),
            by_number: vec![Vec::new(); VECTOR_LENGTH],
        }
    }

    pub fn revision(&self) -> i64 {
        self.revision
    }

    pub fn revisions(&self) -> &HashMap<i32, i64> {
        &self.revisions
    }

    pub fn set_revisions(&mut self, revisions: HashMap<i32, i64>) {
        self.revision = revisions.values().sum();
        self.revisions = revisions;
    }

    /// How many patterns the store has now.
    pub fn expect(&mut self, expected: i64) {
        self.expected = expected;
    }

    /// Whether all patterns of the store are held.
    pub fn is_whole(&self) -> bool {
        i64::try_from(self.places.len()).is_ok_and(|held| held >= self.expected)
    }

    /// Whether they are few enough, and most of what is held is in the store. Where they take too much memory, what is reserved for more of
    /// them is given back first.
    pub fn is_worth_it(&mut self) -> bool {
        if self.bytes() > MOST_BYTES {
            self.shrink();
        }
        self.expected <= SCANNED_SPARSE && self.places.len() >= self.patterns.len() / 2 && self.bytes() <= MOST_BYTES
    }

    pub fn bytes(&self) -> usize {
        let numbers: usize = self.by_number.iter().map(Vec::capacity).sum();
        // A place of the table of places has a byte of its own beside key and value.
        let place = size_of::<(Uuid, u32)>() + 1;
        numbers * size_of::<(u32, f32)>()
            + self.patterns.capacity() * size_of::<HeldPattern>()
            + self.places.capacity() * place * 8 / 7
    }

    /// Gives back the memory that was reserved while the patterns were read.
    pub fn shrink(&mut self) {
        self.by_number.iter_mut().for_each(Vec::shrink_to_fit);
        self.patterns.shrink_to_fit();
        self.places.shrink_to_fit();
    }

    /// Takes over all that the store has of some buckets, as of these revisions. A pattern's words never change.
    pub fn replace(
        &mut self,
        buckets: &[i32],
        patterns: Vec<(i32, Uuid, SparseVector, Bits)>,
        revisions: &HashMap<i32, i64>,
    ) {
        let buckets: HashSet<i32> = buckets.iter().copied().collect();
        for bucket in &buckets {
            let revision = revisions.get(bucket).copied().unwrap_or(0);
            let before = self.revisions.insert(*bucket, revision).unwrap_or(0);
            self.revision += revision - before;
        }
        for pattern in self.patterns.iter_mut().filter(|pattern| buckets.contains(&pattern.bucket)) {
            pattern.facets = None;
        }
        for (bucket, id, words, facets) in patterns {
            match self.places.get(&id).and_then(|place| self.patterns.get_mut(*place as usize)) {
                Some(known) => known.facets = Some(facets),
                None => self.add(bucket, id, &words, facets),
            }
        }
        let patterns = &self.patterns;
        self.places.retain(|_, place| patterns[*place as usize].facets.is_some());
    }

    pub fn add(&mut self, bucket: i32, id: Uuid, words: &SparseVector, facets: Bits) {
        let place = u32::try_from(self.patterns.len()).expect("no more than SCANNED_SPARSE and those that are gone");
        for (number, weight) in words.indices().iter().zip(words.values()) {
            if let Some(patterns) = usize::try_from(*number).ok().and_then(|number| self.by_number.get_mut(number)) {
                patterns.push((place, *weight));
            }
        }
        self.patterns.push(HeldPattern { id, bucket, length: length(words), facets: Some(facets) });
        self.places.insert(id, place);
    }

    fn nearest(&self, asked: &Asked<'_>) -> Vec<(Uuid, f64)> {
        let mut products = vec![0f64; self.patterns.len()];
        for (number, value) in asked.words.indices().iter().zip(asked.words.values()) {
            let patterns = usize::try_from(*number).ok().and_then(|number| self.by_number.get(number));
            for (place, weight) in patterns.into_iter().flatten() {
                products[*place as usize] += f64::from(*value) * f64::from(*weight);
            }
        }
        let (length, bits) = (length(asked.words), packed(asked.facets.bits()));
        let near = |place: usize| {
            let pattern = &self.patterns[place];
            let fits = pattern.facets.as_ref()?.iter().zip(bits).all(|(has, asked)| asked & !has == 0);
            let similarity = (products[place] / (length * pattern.length)).clamp(0.0, 1.0);
            (fits && similarity >= asked.least).then_some((pattern.id, similarity))
        };
        let mut near: Vec<(Uuid, f64)> = match &asked.among {
            None => (0..self.patterns.len()).filter_map(near).collect(),
            Some(ids) => ids.iter().filter_map(|id| near(*self.places.get(id)? as usize)).collect(),
        };
        let order = |a: &(Uuid, f64), b: &(Uuid, f64)| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0));
        if near.len() > asked.most {
            near.select_nth_unstable_by(asked.most, order);
            near.truncate(asked.most);
        }
        near.sort_unstable_by(order);
        near
    }
}

pub(super) fn packed(facets: &BitVec) -> Bits {
    let mut bits = Bits::default();
    bits.iter_mut().zip(facets.blocks()).for_each(|(bits, block)| *bits = block);
    bits
}

fn length(words: &SparseVector) -> f64 {
    words.values().iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::filter::tests::filter;
    use fastrand::Rng;

    fn words(random: &mut Rng) -> SparseVector {
        let mut vector = vec![0f32; VECTOR_LENGTH];
        for _ in 0..20 {
            vector[random.usize(0..60)] = random.f32() - 0.5;
        }
        SparseVector::from_dense(&vector)
    }

    fn cosine(a: &SparseVector, b: &SparseVector) -> f64 {
        let (a, b) = (a.to_vec(), b.to_vec());
        let product = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
        (product(&a, &b) / (product(&a, &a) * product(&b, &b)).sqrt()).clamp(0.0, 1.0)
    }

    fn ids(near: Vec<(Uuid, f64)>) -> Vec<Uuid> {
        near.into_iter().map(|(id, _)| id).collect()
    }

    #[test]
    fn the_nearest_are_those_that_a_comparison_with_each_finds() {
        let mut random = Rng::with_seed(7);
        let facets: Vec<Facets> = ["a", "b"].map(|name| Facets::of_filter(&filter(&[("namespace", name)]))).to_vec();
        let patterns: Vec<(i32, Uuid, SparseVector, Bits)> = (0..500u128)
            .map(|n| (0, Uuid::from_u128(n), words(&mut random), packed(facets[usize::from(n % 3 == 0)].bits())))
            .collect();
        let mut held = Held::new("x", 500);
        held.replace(&[0], patterns.clone(), &HashMap::from([(0, 1)]));
        assert!(held.is_whole());
        for (n, filter) in [(0, None), (1, None), (2, Some(0)), (3, Some(1))] {
            let query = words(&mut random);
            let wanted = filter.map_or_else(Facets::default, |filter: usize| facets[filter].clone());
            let fits = |n: usize| filter.is_none_or(|filter| filter == usize::from(n.is_multiple_of(3)));
            let mut all: Vec<(Uuid, f64)> = (patterns.iter().enumerate())
                .filter(|(n, _)| fits(*n))
                .map(|(_, (_, id, words, _))| (*id, cosine(&query, words)))
                .collect();
            all.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
            let mut asked = Asked { words: &query, facets: &wanted, among: None, least: 0.1, most: 20 };
            let near = held.nearest(&asked);
            assert_eq!(near.len(), 20, "{n}");
            for (found, there) in near.iter().zip(&all) {
                assert!(found.0 == there.0 && (found.1 - there.1).abs() < 1e-9, "{n}: {found:?} {there:?}");
            }
            asked.most = 1_000;
            assert_eq!(held.nearest(&asked).len(), all.iter().filter(|(_, similarity)| *similarity >= 0.1).count());
            let few: Vec<Uuid> = all.iter().skip(3).step_by(5).take(4).map(|(id, _)| *id).collect();
            asked.among = Some(few.iter().rev().copied().collect());
            assert_eq!(ids(held.nearest(&asked)), few);
        }
    }

    #[test]
    fn what_is_not_in_its_bucket_any_more_is_gone_until_it_comes_back() {
        let mut random = Rng::with_seed(8);
        let (query, none, prod) =
            (words(&mut random), Facets::default(), Facets::of_filter(&filter(&[("namespace", "prod")])));
        let bits = packed(prod.bits());
        let one = (1, Uuid::from_u128(1), query.clone(), Bits::default());
        let two = (1, Uuid::from_u128(2), query.clone(), bits);
        let three = (2, Uuid::from_u128(3), query.clone(), bits);
        let mut held = Held::new("x", 3);
        let found = |held: &Held, facets: &Facets| {
            ids(held.nearest(&Asked { words: &query, facets, among: None, least: 0.5, most: 9 }))
        };
        held.replace(&[1, 2], vec![one.clone(), two.clone(), three.clone()], &HashMap::from([(1, 1), (2, 1)]));
        assert_eq!(found(&held, &none), [one.1, two.1, three.1]);
        assert_eq!(found(&held, &prod), [two.1, three.1]);
        held.replace(&[1], vec![(1, one.1, query.clone(), bits)], &HashMap::from([(1, 2), (2, 1)]));
        assert_eq!(found(&held, &prod), [one.1, three.1], "one has more facts, two is gone");
        assert!(!held.is_whole() && held.revision() == 3);
        held.replace(&[1], vec![one.clone(), two.clone()], &HashMap::from([(1, 3), (2, 1)]));
        assert_eq!(found(&held, &none), [one.1, two.1, three.1]);
        assert_eq!(found(&held, &prod), [two.1, three.1], "nothing of before is left");
        assert!(held.is_whole());
    }
}
