//! What is known of words beforehand (`make words`): how common each word is when operators talk, and what it means.
//! The meaning of a word is some numbers. Summed over the words of a text, they say what the text is about.

use super::feature::{ByFeature, hash_feature};
use std::sync::LazyLock;

/// The first line is the digest of [`NUMBERS`]. Each other line is a word, and how many of [`OF_TEXTS`] texts have it.
const WORDS: &str = include_str!("words.txt");
const OF_TEXTS: f32 = 4000.0;
/// The numbers of the words, in the same order. Each number is a signed byte.
const NUMBERS: &[u8] = include_bytes!("words.bin");
/// How many numbers a word has.
const DIRECTIONS: usize = 96;

struct Word {
    rarity: f32,
    numbers: &'static [u8; DIRECTIONS],
}

static VOCABULARY: LazyLock<ByFeature<Word>> = LazyLock::new(|| {
    let (numbers, _) = NUMBERS.as_chunks();
    let known = WORDS.lines().skip(1).zip(numbers).filter_map(|(line, numbers)| {
        let (word, with) = line.split_once(' ')?;
        let with: f32 = with.parse().ok()?;
        // A root of the word's inverse document frequency, which is taken as a part of the largest one: that of a word which no text has.
        let rarity = ((1.0 + OF_TEXTS / (1.0 + with)).ln() / (1.0 + OF_TEXTS).ln()).powf(0.25);
        Some((hash_feature(word), Word { rarity, numbers }))
    });
    known.collect()
});

/// How rare a word is: more than 0, and at most 1. Unknown words and concepts have 1.
pub fn rarity(feature: u64) -> f32 {
    VOCABULARY.get(&feature).map_or(1.0, |word| word.rarity)
}

/// Whether it is a word that operators use.
pub fn is_known(feature: u64) -> bool {
    VOCABULARY.contains_key(&feature)
}

/// What a text is about, as a direction.
#[derive(Debug, Clone, PartialEq)]
pub struct Meaning {
    numbers: [i8; DIRECTIONS],
    length: f32,
}

impl Meaning {
    /// The meaning of a text, from the hashes and weights of its features. `None` if no word of the text is known.
    pub fn of(features: impl Iterator<Item = (u64, f32)>) -> Option<Self> {
        let mut sum = [0f32; DIRECTIONS];
        for (feature, weight) in features {
            let Some(word) = VOCABULARY.get(&feature) else { continue };
            for (sum, number) in sum.iter_mut().zip(word.numbers) {
                *sum += weight * f32::from(number.cast_signed());
            }
        }
        let largest = sum.iter().fold(0f32, |largest, x| largest.max(x.abs()));
        if largest == 0.0 {
            return None;
        }
        let numbers = sum.map(|x| (x / largest * 127.0).round() as i8); // from -127 to 127
        let length = numbers.iter().map(|x| f32::from(*x).powi(2)).sum::<f32>().sqrt();
        Some(Meaning { numbers, length })
    }

    /// The cosine of the two directions, from -1 to 1.
    pub fn cosine(&self, other: &Meaning) -> f64 {
        let product: i32 = self.numbers.iter().zip(other.numbers).map(|(a, b)| i32::from(*a) * i32::from(b)).sum();
        (f64::from(product) / (f64::from(self.length) * f64::from(other.length))).clamp(-1.0, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::builtin::{is_plain, split_words};
    use super::*;
    use sha2::{Digest, Sha256};
    use std::collections::{BTreeMap, BTreeSet};

    /// Letters, and names with digits, have no numbers.
    fn is_learned(word: &str) -> bool {
        is_plain(word) && word.len() > 1 && word.chars().all(char::is_alphabetic)
    }

    fn meaning(text: &str) -> Option<Meaning> {
        Meaning::of(split_words(text).into_iter().map(|word| (hash_feature(&word), 1.0)))
    }

    /// Both files are from one run of `make words`, and every line of the word list can be read.
    #[test]
    fn every_word_has_its_numbers() {
        let (digest, words) = WORDS.split_once('\n').expect("two lines");
        assert_eq!(digest, format!("{:x}", Sha256::digest(NUMBERS)));
        assert_eq!(NUMBERS.len(), words.lines().count() * DIRECTIONS);
        assert_eq!(VOCABULARY.len(), words.lines().count());
        assert!(VOCABULARY.values().all(|word| word.rarity > 0.6 && word.rarity <= 1.0));
    }

    /// A change to how words are cut or stemmed needs `make words`.
    #[test]
    fn words_are_as_they_were_learned() {
        let mut sentences: BTreeMap<String, u32> = BTreeMap::new();
        for sentence in include_str!("../../../benches/words/sentences.txt").lines() {
            let words: BTreeSet<String> = split_words(sentence).into_iter().filter(|word| is_learned(word)).collect();
            words.into_iter().for_each(|word| *sentences.entry(word).or_default() += 1);
        }
        let known: BTreeSet<&str> = WORDS.lines().skip(1).filter_map(|line| Some(line.split_once(' ')?.0)).collect();
        let unknown = sentences.iter().filter(|(word, with)| **with > 1 && !known.contains(word.as_str()));
        let unknown: Vec<&str> = unknown.map(|(word, _)| word.as_str()).collect();
        // These two were cut otherwise when the words were learned.
        assert_eq!(unknown, ["https", "nats"]);
    }

    #[test]
    fn texts_without_a_common_word_may_mean_the_same() {
        let asked = meaning("the certificate lapsed").expect("known words");
        let near = meaning("TLS cert expired").expect("known words");
        let far = meaning("the disk filled up").expect("known words");
        assert!(asked.cosine(&near) > asked.cosine(&far) + 0.2);
        assert!((asked.cosine(&asked) - 1.0).abs() < 1e-5);
        assert_eq!(meaning("xqzzt"), None);
    }

    #[test]
    fn common_words_are_less_rare() {
        let of = |word: &str| rarity(hash_feature(word));
        assert!(of("pod") < of("inod") && of("specif") < of("inod") && of("inod") < 1.0);
        assert_eq!([of("xqzzt"), of("=memory")], [1.0, 1.0]);
    }
}
