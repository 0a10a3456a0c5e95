//! The features of a text: its words in every script, the codes and names that tell failures apart, and the concepts that words share.
//! What a machine made up (ids, hashes, addresses, times, counts, sizes) is no feature (docs/recall.md, "Features").

mod codes;
mod compounds;
mod fold;
mod language;
mod limits;
mod list;
mod names;
mod near;
mod negation;
mod pieces;
mod telling;
mod tokens;
mod versions;

pub(super) use fold::one_form;
pub(super) use language::is_stop_word;
pub(super) use negation::TURNED;
pub(super) use telling::{CODE, DETAIL};
pub(super) use tokens::split_camel_case;

use super::concepts::{Concepts, FIRST, LATER};
use compounds::{SURE, parts_of};
use language::Languages;
use negation::Negation;
use pieces::letter_pairs;
use telling::Sort;
use tokens::{TextToken, TokenKind, tokens};

/// The kind of a feature. If a feature has two kinds, the one that is later in this list counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// A meaning that several words share.
    Concept,
    /// Another form of a word of the text, or a part of it.
    Form,
    /// A compound name as a whole.
    Compound,
    Word,
}

pub(super) struct Feature<'t> {
    pub term: String,
    pub kind: Kind,
    /// The word as the text has it.
    pub written: &'t str,
}

/// Reads the features of texts.
pub(super) struct TextReader {
    languages: Languages,
    concepts: Concepts,
}

impl Default for TextReader {
    fn default() -> Self {
        let languages = Languages::default();
        let lines = [FIRST, LATER].concat();
        TextReader { concepts: Concepts::new(&lines, |word| languages.stem(word)), languages }
    }
}

/// Words and numbers of a query that may mean more than they say, at most.
const MOST_LOOSE: usize = 64;

/// What has been read of a text so far.
struct Reading<'t> {
    features: Vec<Feature<'t>>,
    negation: Negation<'t>,
    /// The numbers that were features, by the places of their tokens.
    told: Vec<(usize, Sort)>,
}

impl TextReader {
    /// The features of a text, in the order of the text; a word that is there twice comes twice.
    pub fn read<'t>(&self, text: &'t str) -> Vec<Feature<'t>> {
        let tokens = tokens(text);
        let language = language::clear(&tokens);
        let mut reading = Reading { features: Vec::new(), negation: Negation::default(), told: Vec::new() };
        for (at, token) in tokens.iter().enumerate() {
            reading.negation.pass(token, &mut reading.features);
            match token.kind {
                TokenKind::Made => {}
                TokenKind::Unspaced => {
                    let pairs = letter_pairs(token.text).into_iter();
                    let pairs = pairs.map(|pair| Feature { term: fold::fold(pair), kind: Kind::Word, written: pair });
                    reading.features.extend(pairs);
                }
                TokenKind::Word if is_month(&tokens, at) => {}
                TokenKind::Word | TokenKind::Name => self.read_word(token, language, &mut reading),
                TokenKind::Number | TokenKind::Amount | TokenKind::Version | TokenKind::Mixed => {
                    read_number(&tokens, at, &mut reading);
                }
            }
            if let Some(compound) = &token.compound {
                let term = self.languages.stem(&compound.low);
                reading.features.push(Feature { term, kind: Kind::Compound, written: compound.text });
            }
        }
        reading.negation.end(&mut reading.features);
        reading.features
    }

    /// The words of a text that count by themselves: no concepts, no compounds, no other forms of words.
    pub fn words(&self, text: &str) -> Vec<String> {
        let features = self.read(text).into_iter().filter(|feature| feature.kind == Kind::Word);
        features.map(|feature| feature.term).collect()
    }

    /// What counts in a query if a store knows it: numbers whose neighbours do not say what they are, and forms of words in every language
    /// if the query does not say which it is in.
    pub fn read_loose<'t>(&self, text: &'t str) -> Vec<Feature<'t>> {
        let tokens = tokens(text);
        let mut features = Vec::new();
        let is_any_language = !language::is_english(&tokens) && language::clear(&tokens).is_none();
        // A long text says which language it is in.
        for token in tokens.iter().take(MOST_LOOSE) {
            match token.kind {
                TokenKind::Word if is_any_language && token.text.chars().count() > 3 => {
                    let forms = self.languages.forms(token.text);
                    features.extend(forms.into_iter().map(|term| Feature {
                        term,
                        kind: Kind::Form,
                        written: token.text,
                    }));
                }
                TokenKind::Number | TokenKind::Amount | TokenKind::Version | TokenKind::Mixed => {
                    let terms = codes::possible_terms(token);
                    features.extend(terms.into_iter().map(|term| Feature {
                        term,
                        kind: Kind::Word,
                        written: token.text,
                    }));
                }
                _ => {}
            }
        }
        features
    }

    /// The stem that a word has in every text.
    pub fn usual_stem(&self, written: &str) -> String {
        self.languages.stem(&fold::fold(written))
    }

    /// The terms of the words that a word is made of, if all of them are known.
    pub fn split(&self, word: &str, is_known: impl Fn(&str) -> bool) -> Vec<String> {
        compounds::split(&self.languages, &fold::fold(word), is_known)
    }

    fn read_word<'t>(&self, token: &TextToken<'t>, language: Option<whatlang::Lang>, reading: &mut Reading<'t>) {
        let word = language::without_possessive(&token.low);
        if reading.negation.take(word) {
            return;
        }
        let Some(stem) = self.stem(token, word, language) else { return };
        let features = &mut reading.features;
        let mut add = |term: String, kind| features.push(Feature { term, kind, written: token.text });
        for concept in self.concepts.of(&stem) {
            add((*concept).to_owned(), Kind::Concept);
        }
        if let Some(form) =
            language.and_then(|language| self.languages.form_in(language, token.text)).filter(|form| *form != stem)
        {
            add(form, Kind::Form);
        }
        for part in parts_of(&self.languages, word, &stem) {
            if word.len() >= SURE {
                for concept in self.concepts.of(part.trim_start_matches(TURNED)) {
                    add((*concept).to_owned(), Kind::Concept);
                }
            }
            add(part, Kind::Form);
        }
        if let Some(turned) = reading.negation.turn(&stem, token.text) {
            add(turned, Kind::Form);
        }
        add(stem, Kind::Word);
    }

    /// The term of a word; `None` if the word says nothing.
    fn stem(&self, token: &TextToken<'_>, word: &str, language: Option<whatlang::Lang>) -> Option<String> {
        if token.kind == TokenKind::Name {
            return Some(word.to_owned());
        }
        // `C`, `R`, `C++`, `C#`: names of languages, and of drives. A single letter in a text is an option, a variable or an article.
        if word.chars().count() == 1 {
            let sign = ["++", "#"].into_iter().find(|sign| token.after.starts_with(sign));
            if let (Some(sign), "c" | "f" | "j") = (sign, word) {
                return Some(format!("{word}{sign}"));
            }
            let stands_alone = !token.before.ends_with(['-', '.', '\'', '/', '_', ':'])
                && !token.after.starts_with(['/', ':', '.', '_']);
            let is_name =
                token.text.chars().all(char::is_uppercase) && !matches!(word, "a" | "i") || matches!(word, "c" | "r");
            return (stands_alone && is_name).then(|| word.to_owned());
        }
        (!language::is_stop_word(word, language)).then(|| self.languages.stem(word))
    }
}

/// Whether it is the month of a date.
fn is_month(tokens: &[TextToken<'_>], at: usize) -> bool {
    const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    let low = tokens[at].low.as_str();
    let is_number = |token: Option<&TextToken<'_>>| {
        token.is_some_and(|token| matches!(token.kind, TokenKind::Number | TokenKind::Amount))
    };
    (low.len() == 3 || low.len() > 4 && low != "march")
        && MONTHS.iter().any(|month| low.starts_with(month))
        && (low.len() == 3 || ["uary", "ch", "il", "e", "y", "ust", "tember", "ober", "ember"].contains(&&low[3..]))
        && (is_number(tokens.get(at + 1)) || at.checked_sub(1).is_some_and(|before| is_number(tokens.get(before))))
}

fn read_number<'t>(tokens: &[TextToken<'t>], at: usize, reading: &mut Reading<'t>) {
    if let Some(number) = codes::number(tokens, at, &reading.told) {
        let written = tokens[at].text;
        let concepts = telling::concepts_of(&number).iter().map(|concept| (*concept).to_owned());
        let concepts = concepts.map(|term| Feature { term, kind: Kind::Concept, written });
        reading.features.extend(concepts);
        reading.told.push((at, number.sort));
        reading.features.push(Feature { term: number.term, kind: Kind::Word, written });
    }
}

#[cfg(test)]
mod tests;
