//! Negation: `not ready`, `cannot connect`, `no space left` mark the word that they turn. The marked word is a feature of its own.

use super::tokens::TextToken;
use super::{Feature, Kind};

/// Terms of words that are turned begin with this.
pub(in crate::embedder) const TURNED: char = '!';

/// Words of negation, in lower case without accents.
const NEGATIONS: &[&str] = &[
    "no",
    "not",
    "nor",
    "never",
    "cannot",
    "without",
    "unable",
    "none",
    "neither",
    "non", // English
    "nicht",
    "kein",
    "keine",
    "keinen",
    "keinem",
    "keiner",
    "ohne",
    "nie", // German
    "ne",
    "sans",
    "aucun",
    "aucune",
    "jamais", // French
    "sin",
    "ningun",
    "ninguna",
    "nunca", // Spanish
    "nao",
    "sem",
    "nenhum",
    "nenhuma", // Portuguese
    "non",
    "senza",
    "nessun",
    "nessuna", // Italian
    "niet",
    "geen",
    "zonder", // Dutch
    "не",
    "нет",
    "без",
    "ни",
    "нельзя", // Russian
    "δεν",
    "μη",
    "χωρισ",
    "δε", // Greek
    "لا",
    "لم",
    "لن",
    "غير",
    "بدون",
    "ليس", // Arabic
    "לא",
    "אין",
    "ללא",
    "בלי", // Hebrew
    "नहीं",
    "बिना", // Hindi
];
/// Those that may stand behind the word that they turn, at the end of a clause: `startet nicht`.
const BEHIND: &[&str] = &["nicht", "niet", "नहीं"];
/// Words between a negation and the word that it turns.
const BETWEEN: &[&str] =
    &["yet", "longer", "fully", "able", "been", "be", "being", "currently", "mehr", "get", "getting"];
/// How many words without a meaning may stand between.
const REACH: u8 = 4;

#[derive(Default)]
pub(super) struct Negation<'t> {
    /// How many more words may stand between the negation and the word that it turns; 0 if nothing is turned.
    left: u8,
    /// The term of the last word, and the word.
    last: Option<(String, &'t str)>,
    /// The word before a negation that may turn it.
    before: Option<(String, &'t str)>,
}

impl<'t> Negation<'t> {
    /// Goes on to this token: a negation turns nothing beyond its clause.
    pub fn pass(&mut self, token: &TextToken<'t>, features: &mut Vec<Feature<'t>>) {
        if token.before.contains(['.', ',', ';', '!', '?', '\n', '(', ')']) {
            self.end(features);
        }
        self.left = self.left.saturating_sub(1);
    }

    /// Whether the word is a negation, or stands between one and what it turns: then it is no feature.
    pub fn take(&mut self, word: &str) -> bool {
        let is_negation = NEGATIONS.contains(&word) || word.ends_with("n't");
        if is_negation {
            self.left = REACH + 1;
            self.before = self.last.clone().filter(|_| BEHIND.contains(&word));
        }
        is_negation && word != "unable" || self.left > 0 && BETWEEN.contains(&word)
    }

    /// The term of the word if it is turned.
    pub fn turn(&mut self, term: &str, written: &'t str) -> Option<String> {
        self.last = Some((term.to_owned(), written));
        if self.left == 0 || term == "unabl" {
            return None;
        }
        (self.left, self.before) = (0, None);
        Some(format!("{TURNED}{term}"))
    }

    /// The clause ends. A negation that has turned nothing yet turns the word before it, where its language has it so.
    pub fn end(&mut self, features: &mut Vec<Feature<'t>>) {
        if let (1.., Some((term, written))) = (self.left, self.before.take()) {
            features.push(Feature { term: format!("{TURNED}{term}"), kind: Kind::Form, written });
        }
        (self.left, self.last) = (0, None);
    }
}
