//! Adds to a query what a person who typed it may have meant, as far as the store knows it.

use super::score::Frequencies;
use super::spelling::StoreTerms;
use crate::embedder::{AddedTerm, Embedding, QueryWords, hash_feature, is_known, is_plain, turned};

/// What a word that was meant weighs, where the word itself weighs 1: it never counts as much as the right spelling.
const MEANT: f32 = 0.6;

/// Words that may be wrong, at most: each is compared with all terms of the store.
const MOST_UNKNOWN: usize = 16;

/// The terms that a query gets beside its own: numbers that are codes in the store, forms of words in other languages, and what is meant by
/// words that no pattern has. `frequencies` has the patterns of all terms of the query, the loose ones too.
pub fn added_terms(written: &QueryWords, frequencies: &Frequencies, store: Option<&StoreTerms>) -> Vec<AddedTerm> {
    let is_there = |term: &str| frequencies.by_term.get(term).is_some_and(|patterns| *patterns > 0);
    // A word that operators use in English needs no other form.
    let is_needed = |loose: &AddedTerm| loose.form_of.as_ref().is_none_or(|usual| !is_known(hash_feature(usual)));
    let mut added: Vec<AddedTerm> =
        written.loose.iter().filter(|loose| is_there(&loose.term) && is_needed(loose)).cloned().collect();
    let Some(store) = store else { return added };
    for term in unknown(written, frequencies).into_iter().take(MOST_UNKNOWN) {
        let Some(word) = written.words.get(term) else { continue };
        let meant = match store.parts(word) {
            parts if !parts.is_empty() => parts,
            _ => store.meant(word, term),
        };
        let weight = MEANT / if meant.len() > 1 { 1.5 } else { 1.0 };
        let is_turned = written.words.contains_key(&turned(term));
        for meant in meant {
            let terms = is_turned.then(|| turned(&meant)).into_iter().chain([meant]);
            added.extend(terms.map(|term| AddedTerm { term, weight, written: word.clone(), form_of: None }));
        }
    }
    added
}

/// The words that no pattern has, and that operators do not use either: these may be wrong.
pub fn unknown<'w>(written: &'w QueryWords, frequencies: &Frequencies) -> Vec<&'w str> {
    let is_there = |term: &str| frequencies.by_term.get(term).is_some_and(|patterns| *patterns > 0);
    let of_word = |term: &&'w String| {
        is_plain(term) && !is_there(term) && !is_known(hash_feature(term)) && term.chars().all(char::is_alphabetic)
    };
    written.terms.iter().filter(of_word).map(String::as_str).collect()
}

/// The embedding of a query with these terms; `None` if the query says nothing.
pub fn expanded(embedding: Option<&Embedding>, added: &[AddedTerm], is_hashed: bool) -> Option<Embedding> {
    match (embedding, added) {
        (None, []) => None,
        (None, added) if is_hashed => Some(Embedding::empty().with_terms(added, is_hashed)),
        (embedding, added) => embedding.map(|embedding| embedding.with_terms(added, is_hashed)),
    }
}
