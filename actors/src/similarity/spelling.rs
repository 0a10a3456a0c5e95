//! The terms of a store, to find those that are meant by a word that the store does not know: a word with a letter or two wrong, or a
//! name of several words in lower case.

use crate::embedder::{is_plain, split_known};

/// Terms, sorted.
#[derive(Default)]
pub struct StoreTerms {
    text: String,
    terms: Vec<StoreTerm>,
}

struct StoreTerm {
    /// Where it begins and ends in the text.
    begin: u32,
    end: u32,
    /// A bit for each letter that it has.
    letters: u32,
    /// How many patterns have it.
    patterns: i64,
}

/// Terms that are held at most; those that most patterns have.
pub(super) const MOST_TERMS: i64 = 400_000;
/// Terms that are taken for one wrong word.
const MOST_MEANT: usize = 3;

impl StoreTerms {
    /// From the terms of a store, and how many patterns have each.
    pub fn new<'t>(terms: impl Iterator<Item = (&'t str, i64)>) -> Self {
        let mut sorted: Vec<(&str, i64)> = terms.filter(|(term, patterns)| *patterns > 0 && is_word(term)).collect();
        sorted.sort_unstable();
        let mut held = StoreTerms::default();
        for (term, patterns) in sorted {
            let begin = u32::try_from(held.text.len()).unwrap_or(u32::MAX);
            held.text.push_str(term);
            let end = u32::try_from(held.text.len()).unwrap_or(u32::MAX);
            held.terms.push(StoreTerm { begin, end, letters: letters(term), patterns });
        }
        held
    }

    fn term(&self, at: &StoreTerm) -> &str {
        &self.text[at.begin as usize..at.end as usize]
    }

    /// How many patterns have a term.
    pub fn patterns(&self, term: &str) -> i64 {
        let found = self.terms.binary_search_by(|known| self.term(known).cmp(term));
        found.map_or(0, |at| self.terms[at].patterns)
    }

    /// The terms of the words that a name in lower case is made of.
    pub fn parts(&self, word: &str) -> Vec<String> {
        split_known(word, |stem| self.patterns(stem) > 0)
    }

    /// The terms that are nearest to a word, those that most patterns have first; none that differs in more than one letter in four, or in
    /// more than two.
    pub fn meant(&self, word: &str, stem: &str) -> Vec<String> {
        let (word, stem): (Vec<char>, Vec<char>) = (word.to_lowercase().chars().collect(), stem.chars().collect());
        let most = match stem.len() {
            0..=3 => return Vec::new(),
            4..=5 => 1,
            _ => 2,
        };
        let mask = letters_of(&stem) | letters_of(&word);
        let mut nearest: Vec<(usize, i64, &str)> = Vec::new();
        for known in &self.terms {
            // A letter that a term has and the word has not is wrong.
            if (known.letters & !mask).count_ones() as usize > most {
                continue;
            }
            let term = self.term(known);
            let Some(wrong) = wrong_letters(&word, &stem, term, most) else { continue };
            nearest.push((wrong, -known.patterns, term));
        }
        nearest.sort_unstable();
        let least = nearest.first().map_or(0, |(wrong, ..)| *wrong);
        nearest
            .into_iter()
            .take_while(|(wrong, ..)| *wrong == least)
            .take(MOST_MEANT)
            .map(|(.., term)| term.to_owned())
            .collect()
    }
}

/// Whether it is a word in letters, and not a code, a mark or a concept.
fn is_word(term: &str) -> bool {
    is_plain(term) && term.len() > 2 && term.len() <= 40 && term.chars().all(char::is_alphabetic)
}

fn letters(term: &str) -> u32 {
    term.chars().fold(0, |letters, c| letters | 1 << (u32::from(c) % 32))
}

fn letters_of(word: &[char]) -> u32 {
    word.iter().fold(0, |letters, c| letters | 1 << (u32::from(*c) % 32))
}

/// How many letters of a word must change to make it a term: those of its stem, or of the word as it is written. `None` for more than
/// `most`, or if it begins with another letter and that is not all.
fn wrong_letters(word: &[char], stem: &[char], term: &str, most: usize) -> Option<usize> {
    let term: Vec<char> = term.chars().collect();
    // A word that ends as no word does keeps its end when it is stemmed: `postgress`.
    if term.len() > 4 && word.len() - term.len().min(word.len()) <= 3 && word.starts_with(&term) {
        return Some(1);
    }
    let of = |text: &[char]| (text.len().abs_diff(term.len()) <= most).then(|| distance(&with_i(text), &with_i(&term)));
    let wrong = [of(stem), of(word)].into_iter().flatten().min()?;
    // A short term is meant only by a word with one letter more.
    let most = if term.len() < 4 { 1 } else { most };
    let begins_alike = stem.first() == term.first();
    (wrong <= most && (begins_alike || wrong == 1 && stem.len() > 5)).then_some(wrong)
}

/// Stems have `i` for a `y` at the end.
fn with_i(word: &[char]) -> Vec<char> {
    let mut word = word.to_vec();
    if let Some(last @ 'y') = word.last_mut() {
        *last = 'i';
    }
    word
}

/// How many letters must be put in, left out, changed, or swapped with the next one to make one word of another.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut rows: [Vec<usize>; 3] = [Vec::new(), (0..=b.len()).collect(), vec![0; b.len() + 1]];
    for i in 1..=a.len() {
        rows[2] = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let changed = rows[1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = changed.min(rows[1][j] + 1).min(rows[2][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[0][j - 2] + 1);
            }
            rows[2][j] = least;
        }
        rows.rotate_left(1);
    }
    rows[1][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_that_are_meant() {
        let terms = [
            ("certif", 40),
            ("expir", 30),
            ("postgr", 9),
            ("replica", 12),
            ("lag", 8),
            ("kubelet", 20),
            ("readi", 70),
            ("redis", 90),
            ("imagepullbackoff", 3),
            ("imag", 50),
            ("pull", 20),
            ("back", 4),
            ("#137", 9),
            ("=memory", 90),
            ("node", 80),
        ];
        let store = StoreTerms::new(terms.into_iter());
        for (word, stem, meant) in [
            ("certifcate", "certifc", &["certif"][..]),
            ("expird", "expird", &["expir"]),
            ("postgress", "postgress", &["postgr"]),
            ("lagg", "lagg", &["lag"]),
            ("redy", "redi", &["redis", "readi"]),
            ("imagepulbackoff", "imagepulbackoff", &["imagepullbackoff"]),
            ("kublet", "kublet", &["kubelet"]),
            ("memory", "memori", &[]),
            ("nod", "nod", &[]),
        ] {
            assert_eq!(store.meant(word, stem), meant, "{word}");
        }
        assert_eq!((store.patterns("readi"), store.patterns("#137")), (70, 0));
        assert_eq!(store.parts("imagepullbackoff"), ["imag", "pull", "back"]);
    }

    #[test]
    fn letters_that_change() {
        let distance = |a: &str, b: &str| distance(&a.chars().collect::<Vec<_>>(), &b.chars().collect::<Vec<_>>());
        for (a, b, wrong) in
            [("ready", "ready", 0), ("raedy", "ready", 1), ("redy", "ready", 1), ("ca", "abc", 3), ("", "ab", 2)]
        {
            assert_eq!((distance(a, b), distance(b, a)), (wrong, wrong), "{a} {b}");
        }
    }
}
