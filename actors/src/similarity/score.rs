//! How alike two texts are, exactly: what part of the query's words a text has, rare words counting more, and whether both are about the
//! same. The vectors find candidates; this puts them in order, and says why.

use crate::embedder::{
    ByFeature, Features, Meaning, PackedMeaning, SIGNS, SpreadMeaning, VECTOR_LENGTH, hash_feature, is_concept,
    is_plain, place, rarity,
};
use serde::Serialize;
use std::collections::HashMap;

/// What is asked, ready to be compared: rare words weigh more.
pub struct Query {
    features: ByFeature<Weight>,
    /// Whether it has no more than light words.
    is_light: bool,
    meaning: Option<Meaning>,
    /// How much it counts what texts mean.
    meaning_counts: f64,
}

/// A text as a query is compared with it.
pub struct Profile {
    /// Its features' hashes.
    features: Box<[u64]>,
    weights: Box<[f32]>,
    /// The square of its length, were its words as common among the patterns as they are when operators talk.
    squared: f64,
    /// Whether it has no more than light words: a workload, an attribute.
    is_light: bool,
    meaning: Option<Meaning>,
}

/// The score as far as a text's hashed vector and its packed meaning tell it: it finds those to be compared exactly.
pub struct Estimate {
    /// What a vector of length 1 is multiplied by.
    pub numbers: Vec<f32>,
    meaning: Option<SpreadMeaning>,
    meaning_counts: f32,
    signs: u64,
    /// By the number of signs that differ, the meaning's part of an estimate that is hardly ever exceeded.
    likely: Vec<f32>,
}

/// What one of weight 1 in a text adds.
struct Weight {
    /// To the share of the query that the text has; the query itself has 1.
    share: f64,
    /// To the cosine, but for the text's length.
    cosine: f64,
    /// To the square of the text's length, as the word is more or less common among the patterns.
    squared: f64,
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

    /// Of a word that no pattern has.
    fn most_idf(&self) -> f64 {
        (1.0 + self.patterns.max(1) as f64).ln() // as above
    }
}

impl Query {
    /// A feature counts by its weight, its idf among the patterns, and its rarity when operators talk.
    pub fn new(features: &Features, frequencies: &Frequencies) -> Self {
        let itself = Profile::new(features.hashed());
        let most = frequencies.most_idf();
        let words: Vec<(f64, f64, f64)> = (features.iter().zip(&itself.features))
            .map(|((term, weight), hash)| {
                let (weight, rarity, idf) = (f64::from(weight), f64::from(rarity(*hash)), frequencies.idf(term));
                (weight, weight * rarity * idf, (rarity * (idf / most).powf(IDF)).powi(2))
            })
            .collect();
        let whole: f64 = words.iter().map(|(weight, count, _)| weight * count).sum();
        let counted = words.iter().filter(|(weight, ..)| itself.is_light || *weight >= LIGHT);
        let length = counted.map(|(weight, _, stretch)| weight * weight * stretch).sum::<f64>().sqrt();
        let weights = itself.features.iter().zip(words).map(|(hash, (weight, count, stretch))| {
            let weight = Weight {
                share: count / whole.max(f64::MIN_POSITIVE),
                cosine: weight * stretch / length.max(f64::MIN_POSITIVE),
                squared: stretch - usual_stretch(*hash),
            };
            (*hash, weight)
        });
        // A word that is there once weighs about 1; other forms of words, and parts of names, weigh less.
        let words_asked: f64 =
            features.iter().filter(|(term, _)| is_plain(term)).map(|(_, weight)| f64::from(weight)).sum();
        let meaning_counts = MEANING * HALF / (HALF + words_asked);
        Query { features: weights.collect(), is_light: itself.is_light, meaning: itself.meaning, meaning_counts }
    }

    /// How alike a text is.
    pub fn compare(&self, text: &Profile) -> Likeness {
        let (mut share, mut product, mut squared) = (0.0, 0.0, text.squared);
        for (feature, weight) in text.hashed() {
            if let Some(asked) = self.features.get(&feature) {
                let weight = f64::from(weight);
                share += asked.share * weight;
                product += asked.cosine * weight;
                squared += if weight < LIGHT && !text.is_light { 0.0 } else { asked.squared * weight * weight };
            }
        }
        // A workload alone is hardly a text: beside a query with words it is as long as a whole word.
        if text.is_light && !self.is_light {
            squared = squared.max(1.0);
        }
        let meaning =
            self.meaning.as_ref().map(|asked| text.meaning.as_ref().map_or(0.0, |told| asked.cosine(told).max(0.0)));
        let cosine = product / squared.max(f64::MIN_POSITIVE).sqrt();
        Likeness { share: f64::min(share, 1.0), cosine: cosine.min(1.0), meaning, meaning_counts: self.meaning_counts }
    }

    pub fn estimate(&self) -> Estimate {
        let mut numbers = vec![0.0; VECTOR_LENGTH];
        for (feature, weight) in &self.features {
            let (at, sign) = place(*feature);
            numbers[at] += sign * (weight.cosine * SHORTER) as f32; // to the nearest
        }
        let meaning_counts = self.meaning.as_ref().map_or(0.0, |_| self.meaning_counts as f32); // as above
        let meaning = self.meaning.as_ref().map(Meaning::spread);
        let signs = meaning.as_ref().map_or(0, SpreadMeaning::signs);
        // Two directions part by the angle that so many of the signs tell.
        let cosine = |apart: u32| (f64::from(apart) / f64::from(SIGNS) * std::f64::consts::PI).cos().max(0.0);
        let likely = (0..=SIGNS).map(|apart| meaning_counts * (cosine(apart) + BEYOND).min(1.0) as f32).collect(); // as above
        Estimate { numbers, meaning, meaning_counts, signs, likely }
    }

    /// The terms of the words that make a text alike, the weightiest first; those of concepts where there is none.
    pub fn shared<'f>(&self, features: impl Iterator<Item = (&'f str, f32)>) -> Vec<String> {
        let weigh = |(term, weight)| Some((term, self.features.get(&hash_feature(term))?.share * f64::from(weight)));
        let mut shared: Vec<(&str, f64)> = features.filter_map(weigh).collect();
        shared.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(b.0)));
        let terms = shared.iter().map(|(term, _)| *term);
        let words: Vec<String> =
            terms.clone().filter(|term| !is_concept(term)).take(SHOWN).map(str::to_owned).collect();
        if words.is_empty() { terms.take(SHOWN).map(str::to_owned).collect() } else { words }
    }

    /// Whether there is nothing to compare words with.
    pub fn is_empty(&self) -> bool {
        self.features.is_empty()
    }

    pub fn has(&self, term: &str) -> bool {
        self.features.contains_key(&hash_feature(term))
    }
}

impl Estimate {
    #[cfg(test)]
    pub fn of_numbers(numbers: Vec<f32>) -> Self {
        Estimate { numbers, meaning: None, meaning_counts: 0.0, signs: 0, likely: vec![0.0; SIGNS as usize + 1] }
    }

    /// The estimate of a text whose vector has this product with the numbers; of a text whose meaning is not known, the most it can be.
    #[inline]
    pub fn of(&self, product: f32, meaning: Option<&PackedMeaning>) -> f32 {
        let known = self.meaning.as_ref().zip(meaning).map(|(asked, told)| asked.cosine(told).max(0.0));
        (1.0 - self.meaning_counts) * product + self.meaning_counts * known.unwrap_or(1.0)
    }

    /// As [`Estimate::of`], more than that in nearly all cases, by the signs of the meaning's numbers.
    #[inline]
    pub fn at_most(&self, product: f32, signs: Option<&u64>) -> f32 {
        let apart = signs.map_or(0, |signs| (signs ^ self.signs).count_ones());
        (1.0 - self.meaning_counts) * product + self.likely[apart as usize]
    }

    /// The product that a text must have for this estimate at least, whatever it means; a little less, as both are rounded.
    pub fn least_product(&self, estimate: f32) -> f32 {
        (estimate - self.meaning_counts) / (1.0 - self.meaning_counts) - 1e-5
    }
}

impl Profile {
    /// Of a text's features, by their hashes, and weights.
    pub fn new(features: impl Iterator<Item = (u64, f32)>) -> Self {
        let (features, weights): (Vec<u64>, Vec<f32>) = features.unzip();
        let is_light = weights.iter().all(|weight| f64::from(*weight) < LIGHT);
        let mut profile =
            Profile { features: features.into(), weights: weights.into(), squared: 0.0, is_light, meaning: None };
        let counted = profile.hashed().filter(|(_, weight)| is_light || f64::from(*weight) >= LIGHT);
        profile.squared = counted.map(|(hash, weight)| f64::from(weight).powi(2) * usual_stretch(hash)).sum();
        profile.meaning = Meaning::of(profile.hashed().filter(|(_, weight)| f64::from(*weight) >= LIGHT));
        profile
    }

    fn hashed(&self) -> impl Iterator<Item = (u64, f32)> {
        self.features.iter().copied().zip(self.weights.iter().copied())
    }

    pub fn is_empty(&self) -> bool {
        self.features.is_empty()
    }

    pub fn meaning(&self) -> Option<&Meaning> {
        self.meaning.as_ref()
    }

    /// How much of each feature it has.
    pub fn weights(&self) -> &[f32] {
        &self.weights
    }

    /// Bytes that it takes.
    pub fn size(&self) -> usize {
        size_of::<Self>() + self.features.len() * (size_of::<u64>() + size_of::<f32>())
    }
}

/// By what a word that is not asked for stretches the square of a text's length: the square of its rarity is its idf when operators talk,
/// as a part of the most.
fn usual_stretch(hash: u64) -> f64 {
    f64::from(rarity(hash)).powi(USUAL)
}

/// The text's part of the score: what words say, and what texts mean. A model has the latter in its vectors; vectors that are hashed words
/// know no more than the words, which do not collide.
pub fn score(likeness: &Likeness, similarity: f64, hashed: bool) -> f64 {
    let words = SHARE * likeness.share + (1.0 - SHARE) * likeness.cosine;
    let text = likeness
        .meaning
        .map_or(words, |meaning| (1.0 - likeness.meaning_counts) * words + likeness.meaning_counts * meaning);
    if hashed { text } else { (1.0 - MODEL) * text + MODEL * similarity }
}

/// Six digits behind the point.
pub(super) fn round(share: f64) -> f64 {
    (share * 1e6).round() / 1e6
}

/// The exponent of a word's idf in the cosine, on both sides.
const IDF: f64 = 0.5;
/// The exponent of a word's rarity where that stands for its idf too, a fourth power: 2 + 4 × [`IDF`].
const USUAL: i32 = 4;
/// How much it counts among the words what part of the query a text has; the rest is how close the two are.
const SHARE: f64 = 0.15;
/// A feature of less weight does not lengthen a text: what a workload or an attribute adds may make a text more alike, and never less. So
/// of texts that are the same, those of the same place come first, whatever their workloads are called.
const LIGHT: f64 = 0.2;
/// By what a text is shorter on the average where common words count less, as in the cosine, than in its vector: measured on texts that were
/// drawn from the sentences of `make words`.
const SHORTER: f64 = 1.3;
/// By what the cosine of two meanings exceeds what their signs tell in few cases (docs/recall.md).
const BEYOND: f64 = 0.3;
/// How much the cosine of a model's vectors counts.
const MODEL: f64 = 0.3;
/// How much it counts what texts mean, if the query has hardly a word; and the number of words with which it counts half of that. In a
/// short query few words are the same in a text that tells of it otherwise; a long one has enough of them.
const MEANING: f64 = 0.5;
const HALF: f64 = 5.0;
/// Words that a hit shows.
const SHOWN: usize = 6;

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Likeness {
    /// What part of the query the text has.
    pub share: f64,
    /// Of the features' weights, each stretched as it is rare.
    pub cosine: f64,
    /// Of what both are about; `None` where that is not known of the query.
    pub meaning: Option<f64>,
    /// How much that counts, for the query.
    pub meaning_counts: f64,
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
    /// The same workload.
    Target {
        detail: &'static str,
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
    use crate::domain::audit_text::AuditText;
    use crate::embedder::Builtin;

    fn features(words: &[&str]) -> Features {
        let mut terms: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        terms.sort();
        Features { weights: vec![1.0; terms.len()], terms }
    }

    /// However long it is, and whatever words of it are rare.
    #[test]
    fn nothing_is_more_alike_than_the_text_itself() {
        let embed = |words: &[String]| {
            let text = AuditText { reasoning: Some(words.join(" ")), ..AuditText::default() };
            Some(Builtin::default().embed(&text)?.features)
        };
        let sentences = include_str!("../../../benches/words/sentences.txt");
        let words: Vec<String> = sentences.split_whitespace().map(str::to_owned).collect();
        for length in [5, 60, 300] {
            let text = &words[..length];
            let features = embed(text).expect("features");
            // Words late in the alphabet are rare.
            let by_term = features.terms.iter().filter(|term| term.as_str() < "m").map(|term| (term.clone(), 5_000));
            let frequencies = Frequencies { patterns: 10_000, by_term: by_term.collect() };
            let query = Query::new(&features, &frequencies);
            let score = |features: &Features| score(&query.compare(&Profile::new(features.hashed())), 0.0, true);
            let itself = score(&features);
            assert!((itself - 1.0).abs() < 1e-6, "{length}: {itself}");
            let rare: Vec<String> = text.iter().filter(|word| word.as_str() >= "m").cloned().collect();
            for excerpt in [&text[..length / 2], &text[length / 3..], &rare] {
                let Some(part) = embed(excerpt) else { continue };
                assert!(part == features || score(&part) < itself - 1e-3, "{length}: {excerpt:?}");
            }
        }
    }

    /// The report of an executor names a workload and has no text: it is no answer to what happened there.
    #[test]
    fn a_workload_alone_is_hardly_a_text() {
        let embed = |text: &AuditText| Builtin::default().embed(text).expect("features").features;
        let workload = Some("checkout".to_owned());
        let alone = embed(&AuditText { workload, ..AuditText::default() });
        let text = Some("checkout exits with code 137 after each start".to_owned());
        let told = embed(&AuditText { reasoning: text, ..AuditText::default() });
        let frequencies = Frequencies { patterns: 200, by_term: HashMap::from([("checkout".to_owned(), 9)]) };
        let score_of = |query: &Features, text: &Features| {
            score(&Query::new(query, &frequencies).compare(&Profile::new(text.hashed())), 0.0, true)
        };
        let asked = embed(&AuditText { reasoning: Some("checkout exit code 137".to_owned()), ..AuditText::default() });
        let (part, whole) = (score_of(&asked, &alone), score_of(&asked, &told));
        assert!(part > 0.0 && part < 0.5 * whole, "{part} {whole}");
        // The same workload is the same text, where there is no other.
        assert!((score_of(&alone, &alone) - 1.0).abs() < 1e-6);
    }

    #[test]
    fn rare_words_weigh_more() {
        let by_term = HashMap::from([("gizmo".to_owned(), 900), ("widget".to_owned(), 3)]);
        let frequencies = Frequencies { patterns: 1000, by_term };
        let query = Query::new(&features(&["gizmo", "widget"]), &frequencies);
        let compare = |words: &[&str]| query.compare(&Profile::new(features(words).hashed()));
        let (rare, common) = (compare(&["widget", "x"]), compare(&["gizmo", "x"]));
        assert!(rare.share > common.share * 1.5, "{rare:?} {common:?}");
        assert!(rare.cosine > common.cosine * 1.5, "{rare:?} {common:?}");
        let same = compare(&["gizmo", "widget"]);
        assert!(same.share > 0.999 && same.cosine > 0.999, "{same:?}");
        assert!((score(&same, 0.0, true) - 1.0).abs() < 1e-6, "{same:?}");
        assert_eq!(query.shared(features(&["gizmo", "widget", "x"]).iter()), ["widget", "gizmo"]);
        assert_eq!(compare(&["y"]).share, 0.0);
    }
}
