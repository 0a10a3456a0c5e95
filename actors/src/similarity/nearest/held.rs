//! The words' vectors of all patterns of one embedder, held in memory: a query meets only the patterns that have a number where it has one,
//! so that a comparison with all of them takes a tenth of what it takes the vector store. What the patterns mean is held too, in few bytes:
//! with it the score of all of them is estimated, and few have to be compared exactly.

use super::super::score::Estimate;
use super::best::{Best, Estimated};
use super::block::{AskedNumber, BLOCK, Block, Sums, of_length_one};
use crate::domain::facets::Facets;
use crate::embedder::PackedMeaning;
use bit_vec::BitVec;
use hashbrown::HashTable;
use pgvector::SparseVector;
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::time::Instant;
use tokio::sync::Mutex;
use uuid::Uuid;

/// Memory that held patterns may take, in bytes: some 1,000,000 of sixty words (docs/reliability.md, "Memory").
pub(super) const MOST_BYTES: usize = 416 << 20;
/// What a pattern takes at least.
const LEAST_BYTES: usize = size_of::<HeldPattern>()
    + size_of::<bool>()
    + size_of::<Bits>()
    + size_of::<PackedMeaning>()
    + size_of::<u64>()
    + 5;

#[derive(Default)]
pub(in crate::similarity) struct HeldPatterns {
    held: RefCell<Option<Held>>,
    /// One search at a time refreshes them.
    pub(super) turn: Mutex<()>,
    /// Start of the last refresh. A caller that arrived before it need not refresh again.
    pub(super) begun: Cell<Option<Instant>>,
    /// Start of the last reading of all patterns.
    pub(super) loaded: Cell<Option<Instant>>,
    /// Held while it is read what the patterns mean.
    pub(super) learning: Mutex<()>,
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
    /// Whether each is in the store still, and which facets it has: of most patterns nothing else is looked at.
    is_there: Vec<bool>,
    facets: Vec<Bits>,
    /// What the first patterns mean; of the others that is not read yet.
    meanings: Vec<PackedMeaning>,
    /// The signs of these, to pass over most of them.
    signs: Vec<u64>,
    blocks: Vec<Block>,
    /// The places of the patterns that are in the store.
    places: HashTable<u32>,
}

struct HeldPattern {
    id: Uuid,
    bucket: i32,
}

/// What is asked of them: of the patterns that have all facets, and are among these where that is said, those that are at least as near
/// as `least`, and at most so many, which have the highest estimates.
pub(super) struct Asked<'a> {
    pub words: &'a SparseVector,
    pub estimate: &'a Estimate,
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

    /// The patterns and their similarities, those with the highest estimate first. `None` where nothing is held.
    pub(super) fn nearest(&self, embedder: &str, asked: &Asked<'_>) -> Option<Vec<(Uuid, f64)>> {
        self.of(embedder, |held| held.nearest(asked))
    }

    pub(super) fn hold(&self, held: Held) {
        *self.held.borrow_mut() = Some(held);
    }

    pub(super) fn release(&self) {
        self.held.take();
    }

    /// How many patterns are held with what they mean, and the bytes that all take.
    pub(super) fn size(&self) -> (usize, usize) {
        let size = |held: &Held| (held.places.len().saturating_sub(held.unknown_count()), held.bytes());
        self.held.borrow().as_ref().map_or((0, 0), size)
    }
}

impl Held {
    pub fn new(embedder: &str, expected: i64) -> Self {
        let most = usize::try_from(expected).unwrap_or(0).min(MOST_BYTES / LEAST_BYTES);
        Held {
            embedder: embedder.to_owned(),
            revisions: HashMap::new(),
            revision: 0,
            expected,
            patterns: Vec::with_capacity(most),
            is_there: Vec::with_capacity(most),
            facets: Vec::with_capacity(most),
            meanings: Vec::with_capacity(most),
            signs: Vec::with_capacity(most),
            blocks: Vec::new(),
            places: HashTable::new(),
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

    /// Whether they fit into the memory for them, and most of what is held is in the store. Where they take too much, what is reserved for more
    /// of them is given back first.
    pub fn is_worth_it(&mut self) -> bool {
        if self.bytes() > MOST_BYTES {
            self.shrink();
        }
        let least = usize::try_from(self.expected).unwrap_or(usize::MAX).saturating_mul(LEAST_BYTES);
        least <= MOST_BYTES && self.places.len() >= self.patterns.len() / 2 && self.bytes() <= MOST_BYTES
    }

    pub fn bytes(&self) -> usize {
        self.blocks.iter().map(Block::bytes).sum::<usize>()
            + self.patterns.capacity() * size_of::<HeldPattern>()
            + self.is_there.capacity()
            + self.facets.capacity() * size_of::<Bits>()
            + self.meanings.capacity() * size_of::<PackedMeaning>()
            + self.signs.capacity() * size_of::<u64>()
            + self.places.allocation_size()
    }

    /// Gives back the memory that was reserved while the patterns were read.
    pub fn shrink(&mut self) {
        self.patterns.shrink_to_fit();
        self.is_there.shrink_to_fit();
        self.facets.shrink_to_fit();
        self.meanings.shrink_to(self.patterns.len());
        self.signs.shrink_to(self.patterns.len());
        let patterns = &self.patterns;
        self.places.shrink_to_fit(|place| hash(patterns[*place as usize].id));
    }

    /// The next patterns of which it is not known what they mean, so many at most.
    pub fn unknown(&self, most: usize) -> Vec<Uuid> {
        self.patterns[self.meanings.len()..].iter().take(most).map(|pattern| pattern.id).collect()
    }

    /// Of how many patterns it is not known what they mean.
    fn unknown_count(&self) -> usize {
        self.patterns.len() - self.meanings.len()
    }

    /// Takes over what these patterns mean, the next ones of which that was not known; of others nothing is taken.
    pub fn learn(&mut self, ids: &[Uuid], meanings: Vec<PackedMeaning>) {
        if self.unknown(ids.len()) == ids {
            self.signs.extend(meanings.iter().map(PackedMeaning::signs));
            self.meanings.extend(meanings);
        }
    }

    pub fn has(&self, id: Uuid) -> bool {
        self.place(id).is_some()
    }

    fn place(&self, id: Uuid) -> Option<usize> {
        self.places.find(hash(id), |place| self.patterns[*place as usize].id == id).map(|place| *place as usize)
    }

    /// Takes over all that the store has of some buckets, as of these revisions: the facets of each pattern, and what is said by those that
    /// were not held before. What a pattern says never changes.
    pub fn replace(&mut self, buckets: &[i32], read: BucketsRead, revisions: &HashMap<i32, i64>) {
        let buckets: HashSet<i32> = buckets.iter().copied().collect();
        for bucket in &buckets {
            let revision = revisions.get(bucket).copied().unwrap_or(0);
            let before = self.revisions.insert(*bucket, revision).unwrap_or(0);
            self.revision += revision - before;
        }
        let all = self.patterns.iter().zip(&mut self.is_there);
        all.filter(|(pattern, _)| buckets.contains(&pattern.bucket)).for_each(|(_, is_there)| *is_there = false);
        for (id, facets) in read.facets {
            if let Some(place) = self.place(id) {
                (self.is_there[place], self.facets[place]) = (true, facets);
            }
        }
        for (bucket, id, words, facets) in read.new {
            self.add(bucket, id, &words, facets);
        }
        let is_there = &self.is_there;
        self.places.retain(|place| is_there[*place as usize]);
    }

    pub fn add(&mut self, bucket: i32, id: Uuid, words: &SparseVector, facets: Bits) {
        let place = u32::try_from(self.patterns.len()).expect("MOST_BYTES holds fewer");
        if self.blocks.last().is_none_or(Block::is_full) {
            self.blocks.push(Block::default());
        }
        if let Some(block) = self.blocks.last_mut() {
            block.add(words);
        }
        self.patterns.push(HeldPattern { id, bucket });
        self.is_there.push(true);
        self.facets.push(facets);
        let patterns = &self.patterns;
        self.places.insert_unique(hash(id), place, |place| hash(patterns[*place as usize].id));
    }

    fn nearest(&self, asked: &Asked<'_>) -> Vec<(Uuid, f64)> {
        let numbers = numbers(asked);
        // Of 512 bits a filter asks for a few.
        let bits = packed(asked.facets.bits());
        let bits: Vec<(usize, u32)> = bits.into_iter().enumerate().filter(|(_, bits)| *bits != 0).collect();
        let fits =
            |place: usize| self.is_there[place] && bits.iter().all(|(at, asked)| asked & !self.facets[place][*at] == 0);
        let mut among: Option<Vec<usize>> =
            asked.among.as_ref().map(|ids| ids.iter().filter_map(|id| self.place(*id)).collect());
        if let Some(places) = &mut among {
            places.sort_unstable();
        }
        let mut among = among.as_deref();
        // What is at least 0 when it is told may be below it here.
        let least = if asked.least > 0.0 { asked.least } else { f64::NEG_INFINITY };
        // The estimates of those that are not known are too high, and without meanings all are coarse: more are taken.
        let unknown = self.unknown_count();
        let most = asked.most.saturating_add(unknown.min(MOST_UNKNOWN));
        let known = if unknown > MOST_UNKNOWN { 0 } else { self.meanings.len() };
        let (meanings, signs) = (&self.meanings[..known], &self.signs[..known]);
        let mut best = Best::new(most, asked.estimate);
        let (mut sums, mut candidates) = (Vec::new(), Vec::new());
        for (at, block) in self.blocks.iter().enumerate() {
            let (begin, end) = (at * BLOCK, at * BLOCK + block.patterns());
            let of_block = among.map(|places| places.split_at(places.partition_point(|place| *place < end)));
            if of_block.is_some_and(|(of_this, _)| of_this.is_empty()) {
                continue;
            }
            block.compare(&numbers, &mut sums);
            // Cheap questions first: most patterns cannot be among the best.
            let is_near = |sums: &Sums| (sums.estimate >= best.least_product()) & (f64::from(sums.cosine) >= least);
            match of_block {
                None => {
                    candidates.resize(sums.len(), 0);
                    // Without a branch for each: which are near cannot be foreseen.
                    let mut near = 0;
                    for (at, sums) in sums.iter().enumerate() {
                        candidates[near] = at;
                        near += usize::from(is_near(sums));
                    }
                    candidates.truncate(near);
                }
                Some((of_this, rest)) => {
                    candidates.clear();
                    candidates.extend(of_this.iter().map(|place| place - begin).filter(|at| is_near(&sums[*at])));
                    among = Some(rest);
                }
            }
            let least_estimate = best.least();
            let may_be_best =
                |at: &usize| asked.estimate.at_most(sums[*at].estimate, signs.get(begin + at)) >= least_estimate;
            candidates.retain(may_be_best);
            for at in candidates.iter().copied().filter(|at| fits(begin + at)) {
                let (place, similarity) = (begin + at, f64::from(sums[at].cosine).clamp(0.0, 1.0));
                let estimate = asked.estimate.of(sums[at].estimate, meanings.get(place));
                best.take(Estimated { id: self.patterns[place].id, similarity, estimate });
            }
        }
        best.sorted()
    }
}

/// The numbers of the query's vector and of the estimate.
fn numbers(asked: &Asked<'_>) -> Vec<AskedNumber> {
    let mut of_vector = vec![0.0; asked.estimate.numbers.len()];
    of_length_one(asked.words).into_iter().for_each(|(number, value)| of_vector[number] = value);
    let of_both = of_vector.into_iter().zip(&asked.estimate.numbers).enumerate();
    let numbers =
        of_both.map(|(number, (of_vector, of_estimate))| AskedNumber { number, of_vector, of_estimate: *of_estimate });
    numbers.filter(|asked| asked.of_vector != 0.0 || asked.of_estimate != 0.0).collect()
}

/// While the meanings of more patterns than that are not read, none count: the estimates of those that are not known would be too high beside
/// the others.
const MOST_UNKNOWN: usize = 700;

/// What was read of some buckets.
#[derive(Default)]
pub(super) struct BucketsRead {
    pub facets: Vec<(Uuid, Bits)>,
    /// Of those that are not held: the bucket, the id, what it says, and the facets.
    pub new: Vec<(i32, Uuid, SparseVector, Bits)>,
}

/// An id is a digest.
fn hash(id: Uuid) -> u64 {
    id.as_u64_pair().0 ^ id.as_u64_pair().1.rotate_left(32)
}

pub(super) fn packed(facets: &BitVec) -> Bits {
    let mut bits = Bits::default();
    bits.iter_mut().zip(facets.blocks()).for_each(|(bits, block)| *bits = block);
    bits
}

#[cfg(test)]
mod tests {
    use super::super::super::score::{Frequencies, Profile, Query};
    use super::*;
    use crate::domain::filter::tests::filter;
    use crate::embedder::{Features, Meaning, VECTOR_LENGTH, hash_feature};
    use fastrand::Rng;

    fn hold(
        held: &mut Held,
        buckets: &[i32],
        patterns: Vec<(i32, Uuid, SparseVector, Bits)>,
        revisions: HashMap<i32, i64>,
    ) {
        let facets = patterns.iter().map(|(_, id, _, facets)| (*id, *facets)).collect();
        let new = patterns.into_iter().filter(|(_, id, ..)| !held.has(*id)).collect();
        held.replace(buckets, BucketsRead { facets, new }, &revisions);
    }

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
        hold(&mut held, &[0], patterns.clone(), HashMap::from([(0, 1)]));
        assert!(held.is_whole());
        held.learn(&held.unknown(1_000), vec![PackedMeaning::default(); 500]);
        for (n, filter) in [(0, None), (1, None), (2, Some(0)), (3, Some(1))] {
            let query = words(&mut random);
            let wanted = filter.map_or_else(Facets::default, |filter: usize| facets[filter].clone());
            let fits = |n: usize| filter.is_none_or(|filter| filter == usize::from(n.is_multiple_of(3)));
            let mut all: Vec<(Uuid, f64)> = (patterns.iter().enumerate())
                .filter(|(n, _)| fits(*n))
                .map(|(_, (_, id, words, _))| (*id, cosine(&query, words)))
                .collect();
            all.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
            // Where the estimate is the similarity, the nearest come first.
            let estimate = &Estimate::of_numbers(query.to_vec());
            let mut asked = Asked { words: &query, estimate, facets: &wanted, among: None, least: 0.1, most: 20 };
            let near = held.nearest(&asked);
            assert_eq!(near.len(), 20, "{n}");
            for (found, there) in near.iter().zip(&all) {
                assert!(found.0 == there.0 && (found.1 - there.1).abs() < 1e-6, "{n}: {found:?} {there:?}");
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
            let estimate = &Estimate::of_numbers(query.to_vec());
            ids(held.nearest(&Asked { words: &query, estimate, facets, among: None, least: 0.5, most: 9 }))
        };
        hold(&mut held, &[1, 2], vec![one.clone(), two.clone(), three.clone()], HashMap::from([(1, 1), (2, 1)]));
        assert_eq!(found(&held, &none), [one.1, two.1, three.1]);
        assert_eq!(found(&held, &prod), [two.1, three.1]);
        hold(&mut held, &[1], vec![(1, one.1, query.clone(), bits)], HashMap::from([(1, 2), (2, 1)]));
        assert_eq!(found(&held, &prod), [one.1, three.1], "one has more facts, two is gone");
        assert!(!held.is_whole() && held.revision() == 3);
        hold(&mut held, &[1], vec![one.clone(), two.clone()], HashMap::from([(1, 3), (2, 1)]));
        assert_eq!(found(&held, &none), [one.1, two.1, three.1]);
        assert_eq!(found(&held, &prod), [two.1, three.1], "nothing of before is left");
        assert!(held.is_whole());
    }

    /// Of two as near, the one that means the same; and one of which that is not known yet before any of which it is.
    #[test]
    fn what_means_the_same_comes_first_and_what_is_not_known_may_mean_it() {
        let (same, other) = ([("certif", 1.0f32)], [("disk", 1.0f32)]);
        let meaning = |words: &[(&str, f32)]| {
            let profile = Profile::new(words.iter().map(|(word, weight)| (hash_feature(word), *weight)));
            profile.meaning().map(Meaning::packed).expect("a known word")
        };
        let features = Features { terms: vec!["certif".to_owned()], weights: vec![1.0] };
        let query = Query::new(&features, &Frequencies { patterns: 3, by_term: HashMap::new() });
        let (estimate, mut random) = (query.estimate(), Rng::with_seed(9));
        let (facets, words) = (Facets::default(), words(&mut random));
        let mut held = Held::new("x", 3);
        let patterns: Vec<_> = (1..=3).map(|id| (0, Uuid::from_u128(id), words.clone(), Bits::default())).collect();
        hold(&mut held, &[0], patterns.clone(), HashMap::from([(0, 1)]));
        let all: Vec<Uuid> = patterns.iter().map(|(_, id, ..)| *id).collect();
        let found = |held: &Held, most| {
            ids(held.nearest(&Asked {
                words: &words,
                estimate: &estimate,
                facets: &facets,
                among: None,
                least: 0.5,
                most,
            }))
        };
        held.learn(&all[..2], vec![meaning(&other), meaning(&same)]);
        assert_eq!(held.unknown(9), all[2..]);
        assert_eq!(found(&held, 9), [all[2], all[1], all[0]]);
        assert_eq!(found(&held, 1), [all[2], all[1]], "one more than asked for, as one is not known");
        // Of others than the next ones nothing is taken.
        held.learn(&all[..1], vec![meaning(&same)]);
        held.learn(&all[2..], vec![PackedMeaning::default()]);
        assert!(held.unknown(9).is_empty());
        assert_eq!(found(&held, 1), [all[1]]);
        // While the meanings of many are not known none counts: of two as near the first id comes first.
        let many = (4..4 + MOST_UNKNOWN as u128).map(|id| (1, Uuid::from_u128(id), words.clone(), Bits::default()));
        hold(&mut held, &[1], many.collect(), HashMap::from([(0, 1), (1, 1)]));
        assert!(found(&held, 1).contains(&all[1]) && found(&held, 1)[0] != all[0]);
        hold(
            &mut held,
            &[2],
            vec![(2, Uuid::from_u128(9_999), words.clone(), Bits::default())],
            HashMap::from([(0, 1), (1, 1), (2, 1)]),
        );
        assert_eq!(found(&held, 1)[..3], all);
    }
}
