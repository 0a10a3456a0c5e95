//! The words' vectors of all patterns, held in memory and turned over: a query meets only the patterns that have a number where it has
//! one, so that a comparison with all of them takes a tenth of what it takes the store. How often each bucket has changed is counted in
//! the transactions that change it: a search sees what was committed before it, whoever wrote it.

use super::candidates::SCANNED_SPARSE;
use crate::db::pool::{Connection, Pool};
use crate::db::timed::timed;
use crate::domain::bucket::{BUCKETS, Bucket};
use crate::domain::facets::Facets;
use crate::embedder::{DIMENSIONS, Spaces};
use crate::metrics::Metrics;
use bit_vec::BitVec;
use futures_util::TryStreamExt;
use pgvector::SparseVector;
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Error, Statement};
use uuid::Uuid;

/// Between two readings of all, where they cannot be held or something is amiss.
const BETWEEN_LOADS: Duration = Duration::from_secs(60);

#[derive(Default)]
pub(super) struct HeldPatterns {
    held: RefCell<Option<Held>>,
    /// One reads at a time.
    turn: Mutex<()>,
    /// When the last reading began: who came before it needs none of its own.
    begun: Cell<Option<Instant>>,
    /// When all were read.
    loaded: Cell<Option<Instant>>,
}

/// The patterns of one embedder.
struct Held {
    embedder: String,
    /// How often each bucket had changed, and their sum.
    revisions: HashMap<i32, i64>,
    revision: i64,
    /// How many the store has.
    expected: i64,
    patterns: Vec<Pattern>,
    /// Those that are not in the store any more are in here no longer.
    places: HashMap<Uuid, u32>,
    /// For each number of a vector the patterns that have it, by their places.
    by_number: Vec<Vec<(u32, f32)>>,
}

struct Pattern {
    id: Uuid,
    bucket: i32,
    length: f64,
    /// `None` when it is not in the store any more.
    facets: Option<Bits>,
}

/// What is asked of them.
pub(super) struct Asked<'a> {
    pub words: &'a SparseVector,
    /// Of those that have all of these,
    pub facets: &'a Facets,
    /// and are among these, where it is said,
    pub among: Option<Vec<Uuid>>,
    /// and are as near as this,
    pub least: f64,
    /// so many at most.
    pub most: usize,
}

/// Facets, packed.
type Bits = [u32; 16];

/// The statements that read what has changed, prepared.
pub(super) struct Reads {
    client: Arc<Client>,
    check: Statement,
    revisions: Statement,
    patterns: Statement,
}

/// What the store has of some buckets.
struct Change {
    revisions: HashMap<i32, i64>,
    buckets: HashSet<i32>,
    patterns: Vec<(i32, Uuid, SparseVector, Bits)>,
}

impl HeldPatterns {
    /// Catches up with what was committed before this was called, and says whether all patterns of the embedder are held.
    pub async fn catch_up(&self, reads: &Reads, embedder: &str) -> Result<bool, Error> {
        if !self.is_of(embedder) {
            return Ok(false);
        }
        let came = Instant::now();
        let _turn = self.turn.lock().await;
        if self.begun.get().is_none_or(|begun| begun < came) {
            let begun = Instant::now();
            let (revision, expected) = reads.check(embedder).await?;
            let known = self.of(embedder, |held| (held.revision != revision).then(|| held.revisions.clone()));
            if let Some(Some(known)) = known {
                let revisions = reads.revisions(embedder).await?;
                let of_either = known.keys().chain(revisions.keys());
                let buckets = of_either.filter(|at| known.get(at) != revisions.get(at)).copied().collect();
                let change = reads.change(embedder, revisions, buckets).await?;
                self.of(embedder, |held| held.apply(change));
            }
            self.of(embedder, |held| held.expected = expected);
            self.begun.set(Some(begun));
        }
        if self.of(embedder, |held| held.is_worth_it()) == Some(false) {
            self.held.take();
        }
        Ok(self.of(embedder, |held| held.is_whole()).unwrap_or(false))
    }

    /// Reads all patterns of an embedder, unless they are too many.
    async fn load(&self, reads: &Reads, embedder: &str) -> Result<(), Error> {
        let Ok(_turn) = self.turn.try_lock() else { return Ok(()) };
        self.held.take();
        self.loaded.set(Some(Instant::now()));
        let (_, expected) = reads.check(embedder).await?;
        if expected > SCANNED_SPARSE {
            return Ok(());
        }
        let revisions = reads.revisions(embedder).await?;
        let buckets = (0..BUCKETS).filter_map(|bucket| i32::try_from(bucket).ok()).collect();
        let mut held = Held::new(embedder, expected);
        held.apply(reads.change(embedder, revisions, buckets).await?);
        *self.held.borrow_mut() = Some(held);
        Ok(())
    }

    pub fn is_of(&self, embedder: &str) -> bool {
        self.of(embedder, |_| ()).is_some()
    }

    /// Looks at what is held, if it is this embedder's.
    fn of<T>(&self, embedder: &str, look: impl FnOnce(&mut Held) -> T) -> Option<T> {
        self.held.borrow_mut().as_mut().filter(|held| held.embedder == embedder).map(look)
    }

    /// The nearest patterns, nearest first; of two as near by their ids. `None` where nothing is held.
    pub fn nearest(&self, embedder: &str, asked: &Asked) -> Option<Vec<(Uuid, f64)>> {
        self.of(embedder, |held| held.nearest(asked))
    }
}

impl Reads {
    pub async fn prepare(connection: &mut Connection) -> Result<Self, Error> {
        let check = connection.prepare(include_str!("check_revision.sql")).await?;
        let revisions = connection.prepare(include_str!("read_revisions.sql")).await?;
        let patterns = connection.prepare(include_str!("read_patterns.sql")).await?;
        Ok(Reads { client: connection.client.clone(), check, revisions, patterns })
    }

    /// The sum of the revisions, and how many patterns there are.
    async fn check(&self, embedder: &str) -> Result<(i64, i64), Error> {
        let row = self.client.query_one(&self.check, &[&embedder, &Bucket::of("").get()]).await?;
        Ok((row.get("revision"), row.get("patterns")))
    }

    async fn revisions(&self, embedder: &str) -> Result<HashMap<i32, i64>, Error> {
        let rows = self.client.query(&self.revisions, &[&embedder]).await?;
        Ok(rows.iter().map(|row| (row.get("bucket"), row.get("revision"))).collect())
    }

    /// The revisions were read before: what comes after them is read once more.
    async fn change(
        &self,
        embedder: &str,
        revisions: HashMap<i32, i64>,
        buckets: HashSet<i32>,
    ) -> Result<Change, Error> {
        let asked: Vec<i32> = buckets.iter().copied().collect();
        let params: [&(dyn ToSql + Sync); 2] = [&embedder, &asked];
        let mut rows = pin!(self.client.query_raw(&self.patterns, params).await?);
        let mut patterns = Vec::new();
        while let Some(row) = rows.try_next().await? {
            let facets: BitVec = row.get("facets");
            patterns.push((row.get("bucket"), row.get("pattern"), row.get("embedding"), packed(&facets)));
        }
        Ok(Change { revisions, buckets, patterns })
    }
}

impl Held {
    fn new(embedder: &str, expected: i64) -> Self {
        Held {
            embedder: embedder.to_owned(),
            revisions: HashMap::new(),
            revision: 0,
            expected,
            patterns: Vec::new(),
            places: HashMap::new(),
            by_number: vec![Vec::new(); DIMENSIONS],
        }
    }

    fn is_whole(&self) -> bool {
        i64::try_from(self.places.len()).is_ok_and(|held| held >= self.expected)
    }

    /// Whether they are few enough, and most of what is held is there.
    fn is_worth_it(&self) -> bool {
        self.expected <= SCANNED_SPARSE && self.places.len() >= self.patterns.len() / 2
    }

    /// A pattern's words never change.
    fn apply(&mut self, change: Change) {
        self.revision = change.revisions.values().sum();
        self.revisions = change.revisions;
        for pattern in self.patterns.iter_mut().filter(|pattern| change.buckets.contains(&pattern.bucket)) {
            pattern.facets = None;
        }
        for (bucket, id, words, facets) in change.patterns {
            match self.places.get(&id).and_then(|place| self.patterns.get_mut(*place as usize)) {
                Some(known) => known.facets = Some(facets),
                None => self.add(bucket, id, &words, facets),
            }
        }
        let patterns = &self.patterns;
        self.places.retain(|_, place| patterns[*place as usize].facets.is_some());
    }

    fn add(&mut self, bucket: i32, id: Uuid, words: &SparseVector, facets: Bits) {
        let place = u32::try_from(self.patterns.len()).expect("no more than SCANNED_SPARSE and those that are gone");
        for (number, weight) in words.indices().iter().zip(words.values()) {
            if let Some(patterns) = usize::try_from(*number).ok().and_then(|number| self.by_number.get_mut(number)) {
                patterns.push((place, *weight));
            }
        }
        self.patterns.push(Pattern { id, bucket, length: length(words), facets: Some(facets) });
        self.places.insert(id, place);
    }

    fn nearest(&self, asked: &Asked) -> Vec<(Uuid, f64)> {
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

fn packed(facets: &BitVec) -> Bits {
    let mut bits = Bits::default();
    bits.iter_mut().zip(facets.blocks()).for_each(|(bits, block)| *bits = block);
    bits
}

fn length(words: &SparseVector) -> f64 {
    words.values().iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt()
}

/// Holds the patterns that are searched, and keeps up with them, whether anybody searches or not.
pub(super) async fn hold_patterns(pool: &Pool, metrics: &Metrics, spaces: &Spaces, held: &HeldPatterns) {
    let Ok(space) = spaces.searched() else { return };
    if !space.sparse {
        held.held.take();
        return;
    }
    let Ok(mut connection) = pool.get().await else { return };
    // Where the store does not answer, others say so.
    _ = timed(metrics, "similarity.hold_patterns", async {
        let reads = Reads::prepare(&mut connection).await?;
        let is_whole = held.catch_up(&reads, &space.id).await?;
        let is_due = held.loaded.get().is_none_or(|loaded| loaded.elapsed() > BETWEEN_LOADS);
        if is_whole || !is_due { Ok(()) } else { held.load(&reads, &space.id).await }
    })
    .await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use fastrand::Rng;

    fn words(random: &mut Rng) -> SparseVector {
        let mut vector = vec![0f32; DIMENSIONS];
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

    fn change(revisions: &[(i32, i64)], buckets: &[i32], patterns: Vec<(i32, Uuid, SparseVector, Bits)>) -> Change {
        let (revisions, buckets) = (revisions.iter().copied().collect(), buckets.iter().copied().collect());
        Change { revisions, buckets, patterns }
    }

    fn ids(near: Vec<(Uuid, f64)>) -> Vec<Uuid> {
        near.into_iter().map(|(id, _)| id).collect()
    }

    #[test]
    fn the_nearest_are_those_that_a_comparison_with_each_finds() {
        let mut random = Rng::with_seed(7);
        let facets: Vec<Facets> = ["a", "b"].map(|name| Facets::of([("namespace", name)])).to_vec();
        let patterns: Vec<(i32, Uuid, SparseVector, Bits)> = (0..500u128)
            .map(|n| (0, Uuid::from_u128(n), words(&mut random), packed(facets[usize::from(n % 3 == 0)].bits())))
            .collect();
        let mut held = Held::new("x", 500);
        held.apply(change(&[(0, 1)], &[0], patterns.clone()));
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
        let (query, none, prod) = (words(&mut random), Facets::default(), Facets::of([("namespace", "prod")]));
        let bits = packed(prod.bits());
        let one = (1, Uuid::from_u128(1), query.clone(), Bits::default());
        let two = (1, Uuid::from_u128(2), query.clone(), bits);
        let three = (2, Uuid::from_u128(3), query.clone(), bits);
        let mut held = Held::new("x", 3);
        let found = |held: &Held, facets: &Facets| {
            ids(held.nearest(&Asked { words: &query, facets, among: None, least: 0.5, most: 9 }))
        };
        held.apply(change(&[(1, 1), (2, 1)], &[1, 2], vec![one.clone(), two.clone(), three.clone()]));
        assert_eq!(found(&held, &none), [one.1, two.1, three.1]);
        assert_eq!(found(&held, &prod), [two.1, three.1]);
        held.apply(change(&[(1, 2), (2, 1)], &[1], vec![(1, one.1, query.clone(), bits)]));
        assert_eq!(found(&held, &prod), [one.1, three.1], "one has more facts, two is gone");
        assert!(!held.is_whole() && held.revision == 3);
        held.apply(change(&[(1, 3), (2, 1)], &[1], vec![one.clone(), two.clone()]));
        assert_eq!(found(&held, &none), [one.1, two.1, three.1]);
        assert_eq!(found(&held, &prod), [two.1, three.1], "nothing of before is left");
        assert!(held.is_whole());
    }
}
