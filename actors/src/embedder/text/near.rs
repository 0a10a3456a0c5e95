//! What stands beside a token.

use super::tokens::{TextToken, TokenKind, is_unit};

/// Whether the next word says what is counted or measured.
pub(super) fn counts_something(tokens: &[TextToken<'_>], at: usize) -> bool {
    let next = tokens.get(at + 1).filter(|next| matches!(next.before, " " | ""));
    next.is_some_and(|next| {
        let low = next.low.as_str();
        let is_plural = low.len() > 3
            && low.ends_with('s')
            && !matches!(low, "status" | "errors" | "responses" | "access" | "was" | "has");
        next.kind == TokenKind::Word && (is_unit(low) || is_plural || matches!(low, "of" | "per"))
    })
}

pub(super) fn begins_sentence(token: &TextToken<'_>) -> bool {
    token.before.contains([';', '!', '?', '\n', '。']) || token.before.contains(". ")
}

pub(super) fn next_word<'a>(tokens: &'a [TextToken<'_>], at: usize) -> Option<&'a str> {
    let next = tokens.get(at + 1)?;
    next.before.chars().all(|c| matches!(c, ' ' | '%')).then_some(next.low.as_str())
}

pub(super) fn is_percent(word: &str) -> bool {
    matches!(word, "percent" | "pct" | "prozent")
}
