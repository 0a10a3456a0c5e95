//! How alike two texts are, exactly: what part of the query's words a text has, rare words counting more. The vectors find
//! candidates; this puts them in order, and says why.

use crate::embedder::{Features, is_concept};
use serde::Serialize;
use std::collections::HashMap;

/// What is asked, ready to be compared: rare words weigh more.
pub struct Query {
    features: HashMap<String, Weight>,
}

struct Weight {
    /// Its share of the query; together 1.
    share: f64,
    /// Its part of a vector of length 1.
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
    /// A feature's share is its weight times its idf.
    pub fn new(features: &Features, frequencies: &Frequencies) -> Self {
        let weighted = || features.iter().map(|(term, weight)| (term, f64::from(weight)));
        let sum: f64 = weighted().map(|(term, weight)| weight * frequencies.idf(term)).sum();
        let length = weighted().map(|(_, weight)| weight * weight).sum::<f64>().sqrt();
        let weights = weighted().map(|(term, weight)| {
            let share = weight * frequencies.idf(term) / sum.max(f64::MIN_POSITIVE);
            (term.to_owned(), Weight { share, cosine: weight / length.max(f64::MIN_POSITIVE) })
        });
        Query { features: weights.collect() }
    }

    /// How alike a text of these features and weights is, and the words that make it, the weightiest first.
    pub fn compare<'f>(&self, features: impl Iterator<Item = (&'f str, f32)>) -> Likeness {
        let (mut shared, mut product, mut squares) = (Vec::<(&str, f64)>::new(), 0.0, 0.0);
        for (term, weight) in features {
            let weight = f64::from(weight);
            squares += weight * weight;
            if let Some(asked) = self.features.get(term) {
                shared.push((term, asked.share * weight));
                product += asked.cosine * weight;
            }
        }
        shared.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(b.0)));
        let share = shared.iter().map(|(_, product)| product).sum::<f64>().min(1.0);
        let cosine = (product / squares.sqrt().max(f64::MIN_POSITIVE)).min(1.0);
        let words = shared.iter().map(|(term, _)| *term).filter(|term| !is_concept(term));
        let mut terms: Vec<String> = words.take(SHOWN).map(str::to_owned).collect();
        if terms.is_empty() {
            // In other words alone.
            terms = shared.iter().take(SHOWN).map(|(term, _)| term[1..].to_owned()).collect();
        }
        Likeness { share, cosine, terms }
    }

    pub fn has(&self, term: &str) -> bool {
        self.features.contains_key(term)
    }
}

/// The text's part of the score: half what the text has of the query, half how close it is. Of vectors that are hashed words the words
/// themselves say it better: they do not collide.
pub fn score(likeness: &Likeness, similarity: f64, hashed: bool) -> f64 {
    0.5 * likeness.share + 0.5 * if hashed { likeness.cosine } else { similarity }
}

/// Words that a hit shows.
const SHOWN: usize = 6;

#[derive(Debug, Clone, PartialEq)]
pub struct Likeness {
    /// What part of the query the text has.
    pub share: f64,
    /// Of the weights of the features.
    pub cosine: f64,
    pub terms: Vec<String>,
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
        let (rare, common) =
            (query.compare(features(&["oomkill", "x"]).iter()), query.compare(features(&["pod", "x"]).iter()));
        assert!(rare.share > common.share * 1.5, "{rare:?} {common:?}");
        let same = query.compare(features(&["pod", "oomkill"]).iter());
        assert!(same.share > 0.999 && same.cosine > 0.999 && same.terms == ["oomkill", "pod"], "{same:?}");
        assert_eq!(query.compare(features(&["y"]).iter()).share, 0.0);
    }
}
