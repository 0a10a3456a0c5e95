//! The features of `builtin-1`, the built-in embedder before this one: words in ASCII, without digits. A store whose vectors it made is
//! searched by it until `reindex` has made the vectors anew.

use super::concepts::{Concepts, FIRST};
use super::text::{Kind, is_stop_word};
use rust_stemmers::{Algorithm, Stemmer};

pub const ID: &str = "builtin-1";

pub(super) struct FirstReader {
    stemmer: Stemmer,
    concepts: Concepts,
}

impl Default for FirstReader {
    fn default() -> Self {
        let stemmer = Stemmer::create(Algorithm::English);
        FirstReader { concepts: Concepts::new(FIRST, |word| stemmer.stem(word).into_owned()), stemmer }
    }
}

impl FirstReader {
    /// The features of a text; a word that is there twice comes twice.
    pub fn read(&self, text: &str) -> Vec<(String, Kind)> {
        let mut features = Vec::new();
        for token in tokens(text) {
            let parts = split_camel_case(token);
            if parts.len() > 1 {
                features.push((token.to_ascii_lowercase(), Kind::Compound));
            }
            for stem in parts.into_iter().filter_map(|word| stem(&self.stemmer, word)) {
                features.extend(self.concepts.of(&stem).iter().map(|concept| ((*concept).to_owned(), Kind::Concept)));
                features.push((stem, Kind::Word));
            }
        }
        features
    }
}

/// A run of letters and digits that is longer than this is not a word.
const LONGEST_WORD: usize = 64;

/// The stem of a word; `None` for a stop word or a single letter.
fn stem(stemmer: &Stemmer, word: &str) -> Option<String> {
    let word = word.to_ascii_lowercase();
    let says = word.len() > 1 && !is_stop_word(&word, None) && !matches!(word.as_str(), "no" | "nor" | "not");
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
fn split_camel_case(token: &str) -> Vec<&str> {
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
