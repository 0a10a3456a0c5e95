//! How alike two texts are, exactly: what part of the query's words a text has, rare words counting more, and whether both are about the
//! same. The vectors find candidates; this puts them in order, and says why.

use crate::embedder::{Features, Meaning, hash_feature, is_concept, rarity};
use serde::Serialize;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// What is asked, ready to be compared: rare words weigh more.
pub struct Query {
    /// By the features' hashes.
    features: HashMap<u64, Weight, BuildHasherDefault<AsIs>>,
    meaning: Option<Meaning>,
}

/// A text as a query is compared with it.
pub struct Profile {
    /// Its features' hashes.
    features: Box<[u64]>,
    weights: Box<[f32]>,
    /// Of the features' weights, each times its rarity, as a vector.
    length: f32,
    meaning: Option<Meaning>,
}

/// Of what is a hash already.
#[derive(Default)]
struct AsIs(u64);

impl Hasher for AsIs {
    fn write(&mut self, bytes: &[u8]) {
        // Not used: the keys are numbers.
        self.0 = bytes.iter().fold(self.0, |hash, byte| hash.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

struct Weight {
    /// Its share of the query; together 1.
    share: f64,
    /// Its part of a vector of length 1, times its rarity: that of the text it is compared with.
    cosine: f64,
}

/// How many patterns there are, and how many of them have a word.
#[derive(Debug, Default)]
pub struct Frequencies {
    pub patterns: i64,
    pub by_term: HashMap<String, i64>,
}

impl Frequencies {
    /// The inverse document frequency of a word, never below a little.
    pub fn idf(&self, term: &str) -> f64 {
        let with = self.by_term.get(term).copied().unwrap_or(0).max(0) as f64; // far below 2^53
        (1.0 + (self.patterns.max(1) as f64) / (1.0 + with)).ln() // as above
    }
}

impl Query {
    /// A feature's share is its weight times its idf among the patterns, a little sharpened, and its rarity when operators talk.
    pub fn new(features: &Features, frequencies: &Frequencies) -> Self {
        let weighted = || {
            features.iter().map(|(term, weight)| {
                let hash = hash_feature(term);
                (term, hash, f64::from(weight) * f64::from(rarity(hash)))
            })
        };
        let share = |term: &str, weight: f64| weight * frequencies.idf(term).powf(IDF_POWER);
        let sum: f64 = weighted().map(|(term, _, weight)| share(term, weight)).sum();
        let length = weighted().map(|(_, _, weight)| weight * weight).sum::<f64>().sqrt();
        let weights = weighted().map(|(term, hash, weight)| {
            let share = share(term, weight) / sum.max(f64::MIN_POSITIVE);
            (hash, Weight { share, cosine: weight * f64::from(rarity(hash)) / length.max(f64::MIN_POSITIVE) })
        });
        Query { features: weights.collect(), meaning: Meaning::of(features.hashed()) }
    }

    /// How alike a text is.
    pub fn compare(&self, text: &Profile) -> Likeness {
        let (mut share, mut product) = (0.0, 0.0);
        for (feature, weight) in text.hashed() {
            if let Some(asked) = self.features.get(&feature) {
                let weight = f64::from(weight);
                share += asked.share * weight;
                product += asked.cosine * weight;
            }
        }
        let meaning = self.meaning.as_ref().zip(text.meaning.as_ref()).map(|(a, b)| a.cosine(b).max(0.0));
        let cosine = product / f64::from(text.length.max(f32::MIN_POSITIVE));
        Likeness { share: f64::min(share, 1.0), cosine: cosine.min(1.0), meaning }
    }

    /// The words that make a text alike, the weightiest first; the concepts where there is none.
    pub fn shared<'f>(&self, features: impl Iterator<Item = (&'f str, f32)>) -> Vec<String> {
        let weigh = |(term, weight)| Some((term, self.features.get(&hash_feature(term))?.share * f64::from(weight)));
        let mut shared: Vec<(&str, f64)> = features.filter_map(weigh).collect();
        shared.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(b.0)));
        let terms = shared.iter().map(|(term, _)| *term);
        let words: Vec<String> =
            terms.clone().filter(|term| !is_concept(term)).take(SHOWN).map(str::to_owned).collect();
        if words.is_empty() { terms.take(SHOWN).map(|concept| concept[1..].to_owned()).collect() } else { words }
    }

    pub fn has(&self, term: &str) -> bool {
        self.features.contains_key(&hash_feature(term))
    }
}

impl Profile {
    /// Of a text's features, by their hashes, and weights.
    pub fn new(features: impl Iterator<Item = (u64, f32)>) -> Self {
        let (features, weights): (Vec<u64>, Vec<f32>) = features.unzip();
        let mut profile = Profile { features: features.into(), weights: weights.into(), length: 0.0, meaning: None };
        profile.length = profile.hashed().map(|(hash, weight)| (weight * rarity(hash)).powi(2)).sum::<f32>().sqrt();
        profile.meaning = Meaning::of(profile.hashed());
        profile
    }

    fn hashed(&self) -> impl Iterator<Item = (u64, f32)> {
        self.features.iter().copied().zip(self.weights.iter().copied())
    }

    /// How much of each feature it has.
    pub fn weights(&self) -> &[f32] {
        &self.weights
    }

    /// Bytes that it takes.
    pub fn size(&self) -> usize {
        size_of::<Self>() + 12 * self.weights.len() + Meaning::SIZE
    }
}

/// The text's part of the score: what it has of the query, and how close the two are. Of vectors that are hashed words the words
/// themselves say it better, as they do not collide, and what they mean: with a model's vectors it is in these.
pub fn score(likeness: &Likeness, similarity: f64, hashed: bool) -> f64 {
    if !hashed {
        return 0.5 * likeness.share + 0.5 * similarity;
    }
    let words = 0.65 * likeness.share + 0.35 * likeness.cosine;
    likeness.meaning.map_or(words, |meaning| 0.85 * words + 0.15 * meaning)
}

const IDF_POWER: f64 = 1.25;
/// Words that a hit shows.
const SHOWN: usize = 6;

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Likeness {
    /// What part of the query the text has.
    pub share: f64,
    /// Of the features' weights times their rarities.
    pub cosine: f64,
    /// Of what both are about, where that is known.
    pub meaning: Option<f64>,
}

/// One reason for a hit.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "signal", rename_all = "snake_case")]
pub enum Why {
    AlertName {
        detail: &'static str,
    },
    /// Stems of the words that both have, the weightiest first.
    Text {
        terms: Vec<String>,
    },
    Place {
        detail: &'static str,
    },
    /// What age leaves of the score.
    Recency {
        factor: f64,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn features(words: &[&str]) -> Features {
        let mut terms: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        terms.sort();
        Features { weights: vec![1.0; terms.len()], terms }
    }

    #[test]
    fn rare_words_weigh_more() {
        let by_term = HashMap::from([("pod".to_owned(), 900), ("oomkill".to_owned(), 3)]);
        let frequencies = Frequencies { patterns: 1000, by_term };
        let query = Query::new(&features(&["pod", "oomkill"]), &frequencies);
        let compare = |words: &[&str]| query.compare(&Profile::new(features(words).hashed()));
        let (rare, common) = (compare(&["oomkill", "x"]), compare(&["pod", "x"]));
        assert!(rare.share > common.share * 1.5, "{rare:?} {common:?}");
        let same = compare(&["pod", "oomkill"]);
        assert!(same.share > 0.999 && same.cosine > 0.999, "{same:?}");
        assert!((score(&same, 0.0, true) - 1.0).abs() < 1e-6, "{same:?}");
        assert_eq!(query.shared(features(&["pod", "oomkill", "x"]).iter()), ["oomkill", "pod"]);
        assert_eq!(compare(&["y"]).share, 0.0);
    }
}
