//! How alike two texts are, exactly: what part of the query's words a text has, rare words counting more. The vectors find
//! candidates; this puts them in order, and says why.

use crate::embedder::{Features, is_concept};
use serde::Serialize;
use std::collections::HashMap;

/// What is asked, ready to be compared: rare words weigh more.
pub struct Query {
    /// Weight by feature; together 1.
    weights: HashMap<String, f64>,
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
    /// Each feature's weight times its idf.
    pub fn new(features: &Features, frequencies: &Frequencies) -> Self {
        let weighted = features.terms.iter().zip(&features.weights);
        let mut weights: HashMap<String, f64> =
            weighted.map(|(term, weight)| (term.clone(), f64::from(*weight) * frequencies.idf(term))).collect();
        let sum = weights.values().sum::<f64>();
        weights.values_mut().for_each(|weight| *weight /= sum.max(f64::MIN_POSITIVE));
        Query { weights }
    }

    /// How much of the query a text of these features and weights has, and the words that make it, the weightiest first.
    pub fn compare<'f>(&self, features: impl Iterator<Item = (&'f str, f32)>) -> Likeness {
        let mut shared: Vec<(&str, f64)> =
            features.filter_map(|(term, weight)| Some((term, self.weights.get(term)? * f64::from(weight)))).collect();
        shared.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(b.0)));
        let share = shared.iter().map(|(_, product)| product).sum::<f64>().min(1.0);
        let words = shared.iter().map(|(term, _)| *term).filter(|term| !is_concept(term));
        let mut terms: Vec<String> = words.take(SHOWN).map(str::to_owned).collect();
        if terms.is_empty() {
            // In other words alone.
            terms = shared.iter().take(SHOWN).map(|(term, _)| term[1..].to_owned()).collect();
        }
        Likeness { share, terms }
    }

    pub fn has(&self, term: &str) -> bool {
        self.weights.contains_key(term)
    }
}

/// The text's part of the score: half the exact likeness of the words, half that of the vectors.
pub fn score(exact: f64, similarity: f64) -> f64 {
    0.5 * exact + 0.5 * similarity
}

/// Words that a hit shows.
const SHOWN: usize = 6;

#[derive(Debug, Clone, PartialEq)]
pub struct Likeness {
    pub share: f64,
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
        assert!(same.share > 0.999 && same.terms == ["oomkill", "pod"], "{same:?}");
        assert_eq!(query.compare(features(&["y"]).iter()).share, 0.0);
    }
}
