//! The built-in embedder: it hashes words. It is deterministic, keeps no state, and needs no model file.
//!
//! Alert name, reasoning and error text each become a vector of length 1; these are weighted and summed. So a long
//! error text does not drown a short alert name. The volatile parts of a text (digits, pod suffixes, ids) leave no
//! feature. Words that mean the same to operators share a feature, beside the feature that each word has of its own.

use super::concepts::Concepts;
use super::feature::hash_feature;
use super::{Embedding, Features, VECTOR_LENGTH};
use crate::domain::audit_text::AuditText;
use rust_stemmers::{Algorithm, Stemmer};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use uuid::Uuid;

/// The id of this embedder's space. It must change whenever a text would get another vector.
pub const ID: &str = "builtin-1";

/// The fields: alert name, reasoning, error text. Each has its weight in the vector, its weight in the exact
/// comparison, and its usual length in words.
const FIELDS: [Field; 3] = [
    Field { in_vector: 0.5, in_comparison: 1.0, usual: 3.0 },
    Field { in_vector: 1.0, in_comparison: 1.0, usual: 25.0 },
    Field { in_vector: 0.3, in_comparison: 0.3, usual: 20.0 },
];
/// Constants of BM25: how soon a repeated word stops counting more (`K1`), and how much less a word counts in a long
/// text (`B`).
const K1: f32 = 1.2;
const B: f32 = 0.4;
/// Most features of a text. If a text has more, the weightiest are kept.
const MOST_FEATURES: usize = 400;
/// A run of letters and digits that is longer than this is not a word.
const LONGEST_WORD: usize = 64;

struct Field {
    in_vector: f32,
    in_comparison: f32,
    usual: f32,
}

/// The kind of a feature. If a feature has two kinds, the one that is later in this list counts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// A meaning that several words share.
    Concept,
    /// A compound name as a whole.
    Compound,
    Word,
}

impl Kind {
    fn in_vector(self) -> f32 {
        match self {
            Kind::Concept => 0.5,
            Kind::Compound | Kind::Word => 1.0,
        }
    }

    /// Concepts and compounds count less here than in a vector. A vector only has to find candidates; the comparison
    /// looks at all words of a text.
    fn in_comparison(self) -> f32 {
        match self {
            Kind::Concept => 0.4,
            Kind::Compound => 0.7,
            Kind::Word => 1.0,
        }
    }
}

/// The weight of each feature. The map is sorted, so that equal features always give equal sums.
type Weights = BTreeMap<String, f32>;

/// Embeds a text by its words.
pub struct Builtin {
    stemmer: Stemmer,
    concepts: Concepts,
}

impl Default for Builtin {
    fn default() -> Self {
        let stemmer = Stemmer::create(Algorithm::English);
        Builtin { concepts: Concepts::new(&stemmer), stemmer }
    }
}

/// How often a field has each feature, and how many words the field has.
struct Counts {
    features: BTreeMap<String, (u32, Kind)>,
    words: u32,
}

impl Builtin {
    /// The embedding of a text; `None` if the text has no feature.
    pub fn embed(&self, text: &AuditText) -> Option<Embedding> {
        let (mut for_vector, mut compared) = (Weights::new(), Weights::new());
        for (part, field) in [&text.alert_name, &text.reasoning, &text.error_message].into_iter().zip(&FIELDS) {
            let counts = self.count(part.as_deref().unwrap_or_default());
            for (feature, weight) in counts.of_length_one() {
                *for_vector.entry(feature).or_default() += field.in_vector * weight;
            }
            for (feature, weight) in counts.saturated(field.usual) {
                *compared.entry(feature).or_default() += field.in_comparison * weight;
            }
        }
        let for_vector = weightiest(for_vector);
        let mut vector = vec![0f32; VECTOR_LENGTH];
        for (feature, value) in &for_vector {
            let hash = hash_feature(feature);
            let sign = if hash >> 63 == 0 { 1.0 } else { -1.0 };
            vector[(hash % VECTOR_LENGTH as u64) as usize] += sign * value; // below VECTOR_LENGTH
        }
        let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
        // The features may cancel each other out. Then the sum has no direction.
        if length < 1e-6 {
            return None;
        }
        vector.iter_mut().for_each(|x| *x /= length);
        let pattern = pattern(&for_vector);
        compared.retain(|feature, _| for_vector.contains_key(feature));
        let (terms, weights) = compared.into_iter().unzip();
        Some(Embedding { vector, features: Features { terms, weights }, pattern })
    }

    fn count(&self, text: &str) -> Counts {
        let mut features: BTreeMap<String, (u32, Kind)> = BTreeMap::new();
        let mut words = 0;
        let mut add = |feature: String, kind: Kind| {
            let entry = features.entry(feature).or_insert((0, kind));
            entry.0 += 1;
            entry.1 = entry.1.max(kind);
        };
        for token in tokens(text) {
            let parts = split_camel_case(token);
            if parts.len() > 1 {
                add(token.to_ascii_lowercase(), Kind::Compound);
            }
            for stem in parts.into_iter().filter_map(|word| stem(&self.stemmer, word)) {
                words += 1;
                for concept in self.concepts.of(&stem) {
                    add((*concept).to_owned(), Kind::Concept);
                }
                add(stem, Kind::Word);
            }
        }
        Counts { features, words }
    }
}

impl Counts {
    /// The weight of each feature times 1 + ln(count), scaled so that all of them together have length 1.
    fn of_length_one(&self) -> Weights {
        let weighted = self.features.iter().map(|(feature, (count, kind))| {
            (feature.clone(), kind.in_vector() * (1.0 + (*count as f32).ln())) // far below 2^24
        });
        let mut weights: Weights = weighted.collect();
        let length = weights.values().map(|x| x * x).sum::<f32>().sqrt();
        weights.values_mut().for_each(|x| *x /= length);
        weights
    }

    /// The weight of each feature, as BM25 weighs a term in a document. A word that appears once in a field of the
    /// usual length weighs 1.
    fn saturated(&self, usual: f32) -> Weights {
        let long = K1 * (1.0 - B + B * self.words as f32 / usual); // far below 2^24
        let weigh = |count: u32| count as f32 * (K1 + 1.0) / (count as f32 + long); // as above
        let weighted = self
            .features
            .iter()
            .map(|(feature, (count, kind))| (feature.clone(), kind.in_comparison() * weigh(*count)));
        weighted.collect()
    }
}

fn weightiest(features: Weights) -> Weights {
    if features.len() <= MOST_FEATURES {
        return features;
    }
    let mut ranked: Vec<(String, f32)> = features.into_iter().collect();
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    ranked.truncate(MOST_FEATURES);
    ranked.into_iter().collect()
}

/// The words of a text as the comparison uses them: names are split, the words are in lower case and stemmed, and stop
/// words are left out.
pub fn split_words(text: &str) -> impl Iterator<Item = String> {
    let stemmer = Stemmer::create(Algorithm::English);
    tokens(text).flat_map(split_camel_case).filter_map(move |word| stem(&stemmer, word))
}

/// The stem of a word; `None` for a stop word or a single letter.
fn stem(stemmer: &Stemmer, word: &str) -> Option<String> {
    let word = word.to_ascii_lowercase();
    let says = word.len() > 1 && STOP_WORDS.binary_search(&word.as_str()).is_err();
    says.then(|| stemmer.stem(&word).into_owned())
}

/// The runs of letters and digits in a text, without the digits at their end. Volatile runs, such as ids, are left
/// out.
fn tokens(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|run| run.len() <= LONGEST_WORD && !is_volatile(run))
        .map(|run| run.trim_end_matches(|c: char| c.is_ascii_digit()))
}

/// Whether a machine seems to have made up a run: a run of digits only, with a digit before a letter, with more than
/// four digits at its end, of six or more hexadecimal letters only, or of five or more letters without a vowel, like
/// the suffixes that Kubernetes gives to pods.
fn is_volatile(run: &str) -> bool {
    let letters = run.trim_end_matches(|c: char| c.is_ascii_digit());
    let vowel = |c: char| matches!(c.to_ascii_lowercase(), 'a' | 'e' | 'i' | 'o' | 'u' | 'y');
    let hexadecimal = letters.len() >= 6 && letters.bytes().all(|b| b.is_ascii_hexdigit());
    letters.is_empty()
        || letters.contains(|c: char| c.is_ascii_digit())
        || run.len() - letters.len() > 4
        || hexadecimal
        || (letters.len() >= 5 && !letters.contains(vowel))
}

/// `KubePodOOMKilled` → `Kube`, `Pod`, `OOM`, `Killed`.
pub(super) fn split_camel_case(token: &str) -> Vec<&str> {
    let bytes = token.as_bytes();
    let mut words = Vec::new();
    let mut start = 0;
    for at in 1..bytes.len() {
        let after_lower = bytes[at - 1].is_ascii_lowercase() && bytes[at].is_ascii_uppercase();
        let last_of_capitals = bytes[at - 1].is_ascii_uppercase()
            && bytes[at].is_ascii_uppercase()
            && bytes.get(at + 1).is_some_and(u8::is_ascii_lowercase);
        if after_lower || last_of_capitals {
            words.push(&token[start..at]);
            start = at;
        }
    }
    words.push(&token[start..]);
    words
}

/// The id of a pattern. Texts with equal features have equal patterns.
fn pattern(features: &Weights) -> Uuid {
    let mut hash = Sha256::new();
    for (word, value) in features {
        hash.update(word);
        hash.update([0]);
        hash.update(value.to_bits().to_be_bytes());
    }
    let digest = hash.finalize();
    let mut head = [0; 16];
    head.copy_from_slice(&digest[..16]);
    Uuid::from_bytes(head)
}

/// Must be sorted, for the binary search.
const STOP_WORDS: &[&str] = &[
    "about", "above", "after", "again", "all", "also", "am", "an", "and", "any", "are", "as", "at", "be", "because",
    "been", "before", "being", "below", "between", "both", "but", "by", "can", "could", "did", "do", "does", "doing",
    "during", "each", "few", "for", "from", "further", "had", "has", "have", "having", "he", "her", "here", "hers",
    "him", "his", "how", "if", "in", "into", "is", "it", "its", "just", "me", "more", "most", "my", "no", "nor", "not",
    "now", "of", "off", "on", "once", "only", "or", "other", "our", "out", "over", "own", "same", "she", "should",
    "so", "some", "such", "than", "that", "the", "their", "them", "then", "there", "these", "they", "this", "those",
    "through", "to", "too", "under", "until", "up", "very", "was", "we", "were", "what", "when", "where", "which",
    "while", "who", "why", "will", "with", "would", "you", "your",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn text(alert: &str, reasoning: &str) -> AuditText {
        AuditText { alert_name: Some(alert.into()), reasoning: Some(reasoning.into()), error_message: None }
    }

    fn cosine(a: &AuditText, b: &AuditText) -> f32 {
        let embedder = Builtin::default();
        let (a, b) = (embedder.embed(a).expect("features"), embedder.embed(b).expect("features"));
        a.vector.iter().zip(&b.vector).map(|(a, b)| a * b).sum()
    }

    /// Vectors with the same id are compared with each other for ever. So a change of the vectors needs a new [`ID`],
    /// and a new digest here. The digest covers all concepts and all fields.
    #[test]
    fn the_id_changes_with_the_vectors() {
        let embedder = Builtin::default();
        let mut hash = Sha256::new();
        for line in super::super::concepts::LINES {
            let error_message = Some("exit code, OOMKilled twice twice".into());
            let made = embedder.embed(&AuditText { error_message, ..text("KubePodOOM", line) }).expect("features");
            for number in made.vector.iter().chain(&made.features.weights) {
                hash.update(((number * 1e3).round() as i32).to_be_bytes()); // far below 2^31
            }
            hash.update(made.features.terms.join(" "));
        }
        assert_eq!(
            (ID, format!("{:x}", hash.finalize()).as_str()),
            ("builtin-1", "52e93dcfcce11397623084676c080d4cd13a6f58cfd6fe26c368f8cdbe5c0e9e")
        );
    }

    #[test]
    fn stop_words_are_sorted() {
        assert!(STOP_WORDS.is_sorted());
    }

    #[test]
    fn what_is_volatile_makes_no_pattern() {
        let embedder = Builtin::default();
        let of = |pod: &str, n: u32| {
            embedder.embed(&text("KubePodOOMKilled", &format!("pod {pod} restarted {n} times"))).expect("features")
        };
        assert_eq!(of("web-7d9f8b6c5-xk2lp", 3), of("web-5c4b7d9f88-zzqvw", 17));
        assert_ne!(of("web-7d9f8b6c5-xk2lp", 3).pattern, of("db-7d9f8b6c5-xk2lp", 3).pattern);
    }

    #[test]
    fn likeness_follows_the_words() {
        let asked = text("HighMemoryUsage", "memory of the web pods is high, scale up");
        let near = text("KubePodMemoryHigh", "pods used too much memory; scaled");
        let far = text("CertificateExpiry", "renewed the certificate of the ingress");
        assert!((cosine(&asked, &asked) - 1.0).abs() < 1e-5);
        assert!(cosine(&asked, &near) > cosine(&asked, &far) + 0.2);
    }

    #[test]
    fn a_text_without_features_has_no_vector() {
        for empty in ["", "12345 67", "…", "the a of", "日本語"] {
            assert_eq!(Builtin::default().embed(&text(empty, empty)), None, "{empty}");
        }
    }
}
