//! Texts that differ in one thing: the right one must stand alone on top.

use super::corpus::{Corpus, Ranker};
use std::collections::BTreeMap;

/// One question, and the texts that answer it: the right one first, then those that are wrong.
pub struct Pair {
    pub kind: String,
    pub query: String,
    pub texts: Vec<String>,
}

/// From lines of kind, query, the right text and one or more wrong ones.
pub fn parse(text: &str) -> Vec<Pair> {
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines
        .map(|line| {
            let mut fields = line.split('\t').map(str::to_owned);
            let mut next = || fields.next().expect("kind, query and texts");
            let (kind, query) = (next(), next());
            Pair { kind, query, texts: fields.collect() }
        })
        .collect()
}

/// All texts of all pairs, in one store.
pub fn store(pairs: &[Pair]) -> Corpus {
    let mut corpus = Corpus::default();
    pairs.iter().flat_map(|pair| &pair.texts).for_each(|text| corpus.add_text(text));
    corpus
}

/// How many pairs of each kind are right, and how many there are; and the questions that are not.
pub fn measure<'p>(pairs: &'p [Pair], ranker: &dyn Ranker) -> (BTreeMap<&'p str, (usize, usize)>, Vec<&'p Pair>) {
    let (mut by_kind, mut wrong): (BTreeMap<&str, (usize, usize)>, _) = (BTreeMap::new(), Vec::new());
    let mut begin = 0;
    for pair in pairs {
        let scores = ranker.scores(&pair.query);
        let own = &scores[begin..begin + pair.texts.len()];
        begin += pair.texts.len();
        let is_right = own[0] > 0.0 && own[1..].iter().all(|other| own[0] > *other + 1e-9);
        let counts = by_kind.entry(&pair.kind).or_default();
        counts.0 += usize::from(is_right);
        counts.1 += 1;
        if !is_right {
            wrong.push(pair);
        }
    }
    (by_kind, wrong)
}
