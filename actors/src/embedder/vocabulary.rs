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

    /// The same in half of the bytes, coarser.
    pub fn packed(&self) -> PackedMeaning {
        // The numbers are spread as in a normal distribution: few are more than twice their root mean square.
        let unit = self.length / (DIRECTIONS as f32).sqrt() / COARSE; // a small number
        let coarse = self.numbers.map(|x| (f32::from(x) / unit).round().clamp(-MOST_COARSE, MOST_COARSE));
        let (pairs, _) = coarse.as_chunks::<2>();
        let mut packed = PackedMeaning::default();
        for (packed, [low, high]) in packed.numbers.iter_mut().zip(pairs) {
            *packed = half(*low) | half(*high) << 4;
        }
        packed.length = coarse.iter().map(|x| x * x).sum::<f32>().sqrt();
        packed
    }

    /// The same, to be compared with many that are packed.
    pub fn spread(&self) -> SpreadMeaning {
        let (pairs, _) = self.numbers.as_chunks::<2>();
        let (mut low, mut high) = ([0; DIRECTIONS / 2], [0; DIRECTIONS / 2]);
        for (at, pair) in pairs.iter().enumerate() {
            [low[at], high[at]] = pair.map(i16::from);
        }
        let sum: i32 = self.numbers.iter().map(|x| i32::from(*x)).sum();
        SpreadMeaning { low, high, zeros: sum * i32::from(ZERO), length: self.length }
    }

    /// The cosine of the two directions, from -1 to 1.
    pub fn cosine(&self, other: &Meaning) -> f64 {
        let product: i32 = self.numbers.iter().zip(other.numbers).map(|(a, b)| i32::from(*a) * i32::from(b)).sum();
        (f64::from(product) / (f64::from(self.length) * f64::from(other.length))).clamp(-1.0, 1.0)
    }
}

/// A [`Meaning`] with four bits a number, in twos. The default is that of a text without a known word.
#[derive(Debug, Clone, Copy)]
pub struct PackedMeaning {
    numbers: [u8; DIRECTIONS / 2],
    /// 0: there is no direction.
    length: f32,
}

/// A [`Meaning`] as many that are packed are compared with it, some in a processor's instruction.
#[derive(Debug, Clone)]
pub struct SpreadMeaning {
    /// The numbers that stand in the lower and in the higher halves of bytes.
    low: [i16; DIRECTIONS / 2],
    high: [i16; DIRECTIONS / 2],
    /// Its product with numbers that are all [`ZERO`].
    zeros: i32,
    length: f32,
}

impl PackedMeaning {
    /// Which of the first numbers are above 0, as bits.
    pub fn signs(&self) -> u64 {
        let halves = self.numbers.iter().flat_map(|packed| [packed & 15, packed >> 4]);
        signs(halves.map(|half| i16::from(half) - ZERO))
    }
}

/// Of how many numbers the signs are told.
pub const SIGNS: u32 = u64::BITS;

fn signs(numbers: impl Iterator<Item = i16>) -> u64 {
    numbers.zip(0..SIGNS).fold(0, |signs, (number, at)| signs | u64::from(number > 0) << at)
}

impl SpreadMeaning {
    /// As [`PackedMeaning::signs`].
    pub fn signs(&self) -> u64 {
        signs(self.low.iter().zip(&self.high).flat_map(|(low, high)| [*low, *high]))
    }

    /// The cosine of the two directions, from -1 to 1: within less than a tenth of [`Meaning::cosine`].
    #[inline]
    pub fn cosine(&self, other: &PackedMeaning) -> f32 {
        if other.length == 0.0 {
            return 0.0;
        }
        // Eight sums side by side: none gets beyond 16 bits, as a number is at most 127, a packed one at most 15, and each has twelve products.
        let mut sums = [0i16; LANES];
        let (packed, _) = other.numbers.as_chunks::<LANES>();
        for ((packed, low), high) in
            packed.iter().zip(self.low.as_chunks::<LANES>().0).zip(self.high.as_chunks::<LANES>().0)
        {
            for lane in 0..LANES {
                sums[lane] += i16::from(packed[lane] & 15) * low[lane] + i16::from(packed[lane] >> 4) * high[lane];
            }
        }
        let product: i32 = sums.into_iter().map(i32::from).sum();
        ((product - self.zeros) as f32 / (self.length * other.length)).clamp(-1.0, 1.0) // below 2^24
    }
}

const LANES: usize = 8;
/// What the root mean square of the numbers becomes, and the largest.
const COARSE: f32 = 3.0;
const MOST_COARSE: f32 = 7.0;
/// Added to a number of four bits, so that none is negative.
const ZERO: i16 = 8;

fn half(coarse: f32) -> u8 {
    (coarse as i16 + ZERO) as u8 // from 1 to 15
}

impl Default for PackedMeaning {
    fn default() -> Self {
        PackedMeaning { numbers: [0; DIRECTIONS / 2], length: 0.0 }
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
    fn a_packed_meaning_is_nearly_the_same() {
        let texts = [
            "the certificate lapsed",
            "TLS cert expired",
            "the disk filled up",
            "pods are evicted as the node has no memory left",
        ];
        let meanings: Vec<Meaning> = texts.iter().filter_map(|text| meaning(text)).collect();
        for (a, b) in meanings.iter().flat_map(|a| meanings.iter().map(move |b| (a, b))) {
            let (exact, coarse) = (a.cosine(b), f64::from(a.spread().cosine(&b.packed())));
            assert!((exact - coarse).abs() < 0.06, "{exact} {coarse}");
        }
        assert_eq!(meanings[0].spread().cosine(&PackedMeaning::default()), 0.0);
    }

    #[test]
    fn common_words_are_less_rare() {
        let of = |word: &str| rarity(hash_feature(word));
        assert!(of("pod") < of("inod") && of("specif") < of("inod") && of("inod") < 1.0);
        assert_eq!([of("xqzzt"), of("=memory")], [1.0, 1.0]);
    }
}
