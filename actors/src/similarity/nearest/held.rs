//! The words' vectors of all patterns of one embedder, held in memory: a query meets only the patterns that have a number where it has one,
//! so that a comparison with all of them takes a tenth of what it takes the vector store.

use super::block::{BLOCK, Block, of_length_one};
use crate::domain::facets::Facets;
use bit_vec::BitVec;
use hashbrown::HashTable;
use pgvector::SparseVector;
use std::cell::{Cell, RefCell};
use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};
use std::time::Instant;
use tokio::sync::Mutex;
use uuid::Uuid;

/// Memory that held patterns may take, in bytes: some 1,000,000 of sixty words (docs/reliability.md, "Memory").
pub(super) const MOST_BYTES: usize = 416 << 20;
/// What a pattern takes at least.
const LEAST_BYTES: usize = size_of::<HeldPattern>() + 5;

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
    blocks: Vec<Block>,
    /// The places of the patterns that are in the store.
    places: HashTable<u32>,
}

struct HeldPattern {
    facets: Bits,
    id: Uuid,
    bucket: i32,
    /// Whether the pattern is in the store still.
    is_there: bool,
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
        let most = usize::try_from(expected).unwrap_or(0).min(MOST_BYTES / LEAST_BYTES);
        Held {
            embedder: embedder.to_owned(),
            revisions: HashMap::new(),
            revision: 0,
            expected,
            patterns: Vec::with_capacity(most),
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
            + self.places.allocation_size()
    }

    /// Gives back the memory that was reserved while the patterns were read.
    pub fn shrink(&mut self) {
        self.patterns.shrink_to_fit();
        let patterns = &self.patterns;
        self.places.shrink_to_fit(|place| hash(patterns[*place as usize].id));
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
        let gone = self.patterns.iter_mut().filter(|pattern| buckets.contains(&pattern.bucket));
        gone.for_each(|pattern| pattern.is_there = false);
        for (id, facets) in read.facets {
            if let Some(place) = self.place(id) {
                let known = &mut self.patterns[place];
                (known.is_there, known.facets) = (true, facets);
            }
        }
        for (bucket, id, words, facets) in read.new {
            self.add(bucket, id, &words, facets);
        }
        let patterns = &self.patterns;
        self.places.retain(|place| patterns[*place as usize].is_there);
    }

    pub fn add(&mut self, bucket: i32, id: Uuid, words: &SparseVector, facets: Bits) {
        let place = u32::try_from(self.patterns.len()).expect("MOST_BYTES holds fewer");
        if self.blocks.last().is_none_or(Block::is_full) {
            self.blocks.push(Block::default());
        }
        if let Some(block) = self.blocks.last_mut() {
            block.add(words);
        }
        self.patterns.push(HeldPattern { facets, id, bucket, is_there: true });
        let patterns = &self.patterns;
        self.places.insert_unique(hash(id), place, |place| hash(patterns[*place as usize].id));
    }

    fn nearest(&self, asked: &Asked<'_>) -> Vec<(Uuid, f64)> {
        let (words, bits) = (of_length_one(asked.words), packed(asked.facets.bits()));
        let fits = |place: usize| {
            let pattern = &self.patterns[place];
            pattern.is_there && pattern.facets.iter().zip(bits).all(|(has, asked)| asked & !has == 0)
        };
        let mut among: Option<Vec<usize>> =
            asked.among.as_ref().map(|ids| ids.iter().filter_map(|id| self.place(*id)).collect());
        if let Some(places) = &mut among {
            places.sort_unstable();
        }
        let mut among = among.as_deref();
        let mut best = Best { patterns: &self.patterns, most: asked.most, least: asked.least, found: Vec::new() };
        let mut cosines = Vec::new();
        for (at, block) in self.blocks.iter().enumerate() {
            let (begin, end) = (at * BLOCK, at * BLOCK + block.patterns());
            let of_block = among.map(|places| places.split_at(places.partition_point(|place| *place < end)));
            if of_block.is_some_and(|(of_this, _)| of_this.is_empty()) {
                continue;
            }
            block.compare(&words, &mut cosines);
            let mut take = |place: usize| {
                let similarity = f64::from(cosines[place - begin]).clamp(0.0, 1.0);
                if similarity >= best.least && fits(place) {
                    best.take(place, similarity);
                }
            };
            match of_block {
                None => (begin..end).for_each(&mut take),
                Some((of_this, rest)) => {
                    of_this.iter().copied().for_each(&mut take);
                    among = Some(rest);
                }
            }
        }
        best.sorted()
    }
}

/// As many are gathered before those that are too far are dropped.
const FEWEST_TO_CUT: usize = 1_000;

/// The nearest of the patterns that were taken.
struct Best<'a> {
    patterns: &'a [HeldPattern],
    most: usize,
    /// No other can be among them any more.
    least: f64,
    found: Vec<(usize, f64)>,
}

impl Best<'_> {
    fn take(&mut self, place: usize, similarity: f64) {
        self.found.push((place, similarity));
        // Those that are too far are dropped now and then.
        if self.found.len() >= self.most.saturating_mul(2).max(FEWEST_TO_CUT) {
            self.cut();
        }
    }

    fn cut(&mut self) {
        if self.found.len() > self.most {
            let order = order(self.patterns);
            self.found.select_nth_unstable_by(self.most, order);
            self.found.truncate(self.most);
            let farthest = self.found.iter().map(|(_, similarity)| *similarity).min_by(f64::total_cmp);
            self.least = farthest.unwrap_or(self.least).max(self.least);
        }
    }

    fn sorted(mut self) -> Vec<(Uuid, f64)> {
        self.cut();
        self.found.sort_unstable_by(order(self.patterns));
        self.found.iter().map(|(place, similarity)| (self.patterns[*place].id, *similarity)).collect()
    }
}

/// Nearest first; of two as near by their ids.
fn order(patterns: &[HeldPattern]) -> impl Fn(&(usize, f64), &(usize, f64)) -> Ordering {
    |a, b| b.1.total_cmp(&a.1).then_with(|| patterns[a.0].id.cmp(&patterns[b.0].id))
}

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
    use super::*;
    use crate::domain::filter::tests::filter;
    use crate::embedder::VECTOR_LENGTH;
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
            ids(held.nearest(&Asked { words: &query, facets, among: None, least: 0.5, most: 9 }))
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
}
