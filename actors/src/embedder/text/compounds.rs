//! Names that people type in lower case: `imagepullbackoff` is image, pull and back-off.

use super::language::{Languages, is_stop_word};
use super::negation::TURNED;
use crate::embedder::feature::hash_feature;
use crate::embedder::vocabulary::is_known;

/// A name of fewer or more letters is not split, and no part of one has fewer.
const SHORTEST: usize = 8;
const SHORTEST_PART: usize = 3;
const LONGEST: usize = 40;
/// A name of as many letters means what its words mean; a shorter one may be a word of its own: a hyperdrive is no disk.
pub(super) const SURE: usize = 11;

/// The stems of the known words that a word is made of; none if the word itself is known.
pub(super) fn parts_of(languages: &Languages, word: &str, stem: &str) -> Vec<String> {
    if is_known(hash_feature(stem)) {
        return Vec::new();
    }
    split(languages, word, |stem| is_known(hash_feature(stem)))
}

/// The fewest words whose stems are known and that make up the whole word, at least two that say something; none if letters would be left.
/// Words that `not` turns are marked: `nodenotready`.
pub(super) fn split(languages: &Languages, word: &str, is_known: impl Fn(&str) -> bool) -> Vec<String> {
    if !word.bytes().all(|byte| byte.is_ascii_lowercase()) || !(SHORTEST..=LONGEST).contains(&word.len()) {
        return Vec::new();
    }
    // The stem of a part; an empty one for a word that says nothing.
    let say = |part: &str| {
        if part == "not" || is_stop_word(part, None) {
            return Some(None);
        }
        let stem = languages.stem(part);
        is_known(&stem).then_some(Some(stem))
    };
    // For each end the fewest parts up to there, and where the last of them begins.
    let mut best: Vec<Option<(usize, usize)>> = vec![None; word.len() + 1];
    best[0] = Some((0, 0));
    for end in SHORTEST_PART..=word.len() {
        for begin in 0..=end - SHORTEST_PART {
            let Some((parts, _)) = best[begin] else { continue };
            if end - begin < word.len()
                && best[end].is_none_or(|(fewest, _)| parts + 1 < fewest)
                && say(&word[begin..end]).is_some()
            {
                best[end] = Some((parts + 1, begin));
            }
        }
    }
    let mut parts = Vec::new();
    let mut end = word.len();
    while let (1.., Some((_, begin))) = (end, best[end]) {
        parts.push(&word[begin..end]);
        end = begin;
    }
    let mut terms = Vec::new();
    let mut is_turned = false;
    for part in parts.into_iter().rev() {
        match say(part).flatten() {
            Some(term) if is_turned => terms.push(format!("{TURNED}{term}")),
            Some(term) => terms.push(term),
            None => {}
        }
        is_turned = part == "not";
    }
    if end == 0 && terms.len() > 1 { terms } else { Vec::new() }
}
