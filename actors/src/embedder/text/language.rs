//! Stems of words, by their script and, for Latin letters, by the text's language where that is clear.

use super::fold::fold;
use super::tokens::{TextToken, TokenKind};
use rust_stemmers::{Algorithm, Stemmer};
use std::collections::{BTreeSet, HashMap};
use std::sync::LazyLock;
use whatlang::{Detector, Lang};

pub(super) struct Languages {
    english: Stemmer,
    russian: Stemmer,
    greek: Stemmer,
    arabic: Stemmer,
    tamil: Stemmer,
    /// Of the other languages with Latin letters.
    others: HashMap<Lang, Stemmer>,
}

/// The languages with Latin letters whose words are stemmed by their own rules.
const OTHERS: [(Lang, Algorithm); 13] = [
    (Lang::Deu, Algorithm::German),
    (Lang::Fra, Algorithm::French),
    (Lang::Spa, Algorithm::Spanish),
    (Lang::Por, Algorithm::Portuguese),
    (Lang::Ita, Algorithm::Italian),
    (Lang::Nld, Algorithm::Dutch),
    (Lang::Swe, Algorithm::Swedish),
    (Lang::Dan, Algorithm::Danish),
    (Lang::Nob, Algorithm::Norwegian),
    (Lang::Fin, Algorithm::Finnish),
    (Lang::Hun, Algorithm::Hungarian),
    (Lang::Ron, Algorithm::Romanian),
    (Lang::Tur, Algorithm::Turkish),
];

impl Default for Languages {
    fn default() -> Self {
        Languages {
            english: Stemmer::create(Algorithm::English),
            russian: Stemmer::create(Algorithm::Russian),
            greek: Stemmer::create(Algorithm::Greek),
            arabic: Stemmer::create(Algorithm::Arabic),
            tamil: Stemmer::create(Algorithm::Tamil),
            others: OTHERS.into_iter().map(|(lang, algorithm)| (lang, Stemmer::create(algorithm))).collect(),
        }
    }
}

impl Languages {
    /// The stem of a folded word. A word of Latin letters is stemmed as an English one, whatever the text's language: a short query seldom
    /// says what its language is.
    pub fn stem(&self, word: &str) -> String {
        if word.is_ascii() {
            // Their stems would be those of other words: "redi", "nat", "ldap".
            return if matches!(word, "redis" | "nats" | "ldaps" | "imaps" | "amqps") {
                word.to_owned()
            } else {
                self.english.stem(word).into_owned()
            };
        }
        let stemmer = match word.chars().next().map_or(0, u32::from) {
            0x0370..=0x03FF => &self.greek,
            0x0400..=0x052F => &self.russian,
            0x0600..=0x06FF => &self.arabic,
            0x0B80..=0x0BFF => &self.tamil,
            _ => return word.to_owned(),
        };
        stemmer.stem(word).into_owned()
    }

    /// The stems of a word by the rules of all languages in its letters, but for the usual one.
    pub fn forms(&self, written: &str) -> Vec<String> {
        let usual = self.stem(&fold(written));
        let forms: BTreeSet<String> =
            OTHERS.iter().filter_map(|(language, _)| self.form_in(*language, written)).collect();
        forms.into_iter().filter(|form| *form != usual && form.chars().count() > 2).collect()
    }

    /// The stem of a word as it is written, by the rules of a language.
    pub fn form_in(&self, language: Lang, written: &str) -> Option<String> {
        let stemmer = self.others.get(&language)?;
        Some(fold(&stemmer.stem(&written.to_lowercase())))
    }
}

/// The language of a text in Latin letters, if it is clear and not English. It is told by the words alone: near-copies of a text, which
/// differ in ids, have the same language.
pub(super) fn clear(tokens: &[TextToken<'_>]) -> Option<Lang> {
    let words: Vec<&str> = tokens
        .iter()
        .filter(|token| token.kind == TokenKind::Word && token.compound.is_none())
        .map(|token| token.text)
        .collect();
    // Short texts say little, and the most frequent words of English are in no other language.
    if words.len() < 5 || is_english(tokens) {
        return None;
    }
    static DETECTOR: LazyLock<Detector> =
        LazyLock::new(|| Detector::with_allowlist(OTHERS.iter().map(|(lang, _)| *lang).chain([Lang::Eng]).collect()));
    let found = DETECTOR.detect(&words.join(" "))?;
    (found.is_reliable() && found.lang() != Lang::Eng).then(|| found.lang())
}

/// Whether one in eight words is a frequent one of English.
pub(super) fn is_english(tokens: &[TextToken<'_>]) -> bool {
    let words = || tokens.iter().filter(|token| token.kind == TokenKind::Word);
    8 * words().filter(|token| ENGLISH.contains(&token.low.as_str())).count() > words().count()
}

/// Frequent words that English alone has.
const ENGLISH: &[&str] = &[
    "the", "of", "and", "is", "was", "with", "for", "after", "because", "by", "from", "which", "not", "has", "are",
    "were", "to",
];

/// `service's` → `service`.
pub(super) fn without_possessive(word: &str) -> &str {
    word.strip_suffix("'s").or_else(|| word.strip_suffix('\'')).unwrap_or(word)
}

/// Whether a folded word says nothing: of every English text, and of a text whose language is clear.
pub(in crate::embedder) fn is_stop_word(word: &str, language: Option<Lang>) -> bool {
    if STOP_WORDS.binary_search(&word).is_ok() {
        return true;
    }
    if !word.is_ascii() {
        return RUSSIAN.contains(&word);
    }
    let words = match language {
        Some(Lang::Deu) => GERMAN,
        Some(Lang::Fra) => FRENCH,
        Some(Lang::Spa) => SPANISH,
        Some(Lang::Por) => PORTUGUESE,
        Some(Lang::Ita) => ITALIAN,
        Some(Lang::Nld) => DUTCH,
        _ => return false,
    };
    words.contains(&word)
}

const GERMAN: &[&str] = &[
    "der", "die", "das", "den", "dem", "des", "ein", "eine", "einen", "einem", "einer", "eines", "und", "oder", "aber",
    "ist", "sind", "war", "waren", "wird", "werden", "wurde", "wurden", "hat", "haben", "im", "in", "am", "an", "auf",
    "aus", "bei", "mit", "nach", "von", "vom", "vor", "zu", "zum", "zur", "fur", "durch", "uber", "um", "weil", "dass",
    "wenn", "als", "auch", "noch", "nur", "sich", "es", "er", "sie", "wir", "mehr", "da", "ab", "bis", "so",
];
const FRENCH: &[&str] = &[
    "le", "la", "les", "un", "une", "des", "du", "de", "et", "ou", "est", "sont", "etait", "a", "ont", "au", "aux",
    "en", "dans", "sur", "par", "pour", "avec", "que", "qui", "ce", "cette", "ces", "son", "sa", "ses", "se", "il",
    "elle", "pas", "plus", "car", "mais", "apres", "avant", "ete", "l", "d", "qu", "s",
];
const SPANISH: &[&str] = &[
    "el", "la", "los", "las", "un", "una", "unos", "de", "del", "y", "o", "es", "son", "fue", "era", "esta", "estan",
    "al", "a", "en", "con", "por", "para", "que", "se", "su", "sus", "lo", "le", "como", "mas", "pero", "porque", "ya",
    "cuando", "desde", "hasta", "tras", "ha", "han",
];
const PORTUGUESE: &[&str] = &[
    "o", "a", "os", "as", "um", "uma", "de", "do", "da", "dos", "das", "e", "ou", "foi", "era", "esta", "em", "no",
    "na", "nos", "nas", "com", "por", "para", "que", "se", "seu", "sua", "ao", "mais", "mas", "porque", "quando",
    "apos", "foram",
];
const ITALIAN: &[&str] = &[
    "il", "lo", "la", "i", "gli", "le", "un", "una", "di", "del", "della", "dei", "e", "o", "sono", "era", "in", "nel",
    "nella", "con", "per", "che", "si", "su", "da", "dal", "al", "alla", "ma", "quando", "dopo",
];
const DUTCH: &[&str] = &[
    "de", "het", "een", "en", "of", "is", "zijn", "was", "werd", "wordt", "in", "op", "aan", "met", "van", "voor",
    "door", "dat", "die", "te", "er", "om", "bij", "naar",
];
const RUSSIAN: &[&str] = &[
    "и",
    "в",
    "во",
    "на",
    "с",
    "со",
    "к",
    "ко",
    "по",
    "за",
    "из",
    "у",
    "о",
    "об",
    "от",
    "до",
    "для",
    "что",
    "как",
    "так",
    "это",
    "был",
    "была",
    "было",
    "были",
    "а",
    "но",
    "же",
    "ли",
    "бы",
    "его",
    "ее",
    "их",
    "он",
    "она",
    "они",
    "мы",
    "при",
    "после",
    "под",
    "над",
    "или",
    "то",
    "все",
    "еще",
    "уже",
    "из-за",
];

/// English words that say nothing. Must be sorted, for the binary search.
const STOP_WORDS: &[&str] = &[
    "about", "above", "after", "again", "all", "also", "am", "an", "and", "any", "are", "as", "at", "be", "because",
    "been", "before", "being", "below", "between", "both", "but", "by", "can", "could", "did", "do", "does", "doing",
    "during", "each", "few", "for", "from", "further", "had", "has", "have", "having", "he", "her", "here", "hers",
    "him", "his", "how", "if", "in", "into", "is", "it", "its", "just", "me", "more", "most", "my", "now", "of", "off",
    "on", "once", "only", "or", "other", "our", "out", "over", "own", "same", "she", "should", "so", "some", "such",
    "than", "that", "the", "their", "them", "then", "there", "these", "they", "this", "those", "through", "to", "too",
    "under", "until", "up", "very", "was", "we", "were", "what", "when", "where", "which", "while", "who", "why",
    "will", "with", "would", "you", "your",
];

#[cfg(test)]
mod tests {
    use super::super::tokens::tokens;
    use super::*;

    #[test]
    fn stop_words_are_sorted() {
        assert!(STOP_WORDS.is_sorted());
    }

    #[test]
    fn a_language_is_clear_or_not() {
        let of = |text| clear(&tokens(text));
        assert_eq!(
            of("Die Festplatte ist voll, deshalb konnte der Dienst keine Daten mehr schreiben"),
            Some(Lang::Deu)
        );
        assert_eq!(
            of("Le disque est plein et le service ne peut plus écrire dans la base de données"),
            Some(Lang::Fra)
        );
        for english in [
            "pod restart",
            "kubelet PLEG unhealthy runtime docker daemon hung",
            "The disk is full because logs were not rotated",
            "",
        ] {
            assert_eq!(of(english), None, "{english}");
        }
    }
}
