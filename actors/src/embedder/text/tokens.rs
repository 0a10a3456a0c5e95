//! What each piece of a text is: words, numbers, amounts, names with digits in them, or something that a machine made up.

use super::list;
use super::names::{is_hex, is_machine_made, is_name, is_word_like};
use super::pieces::{Piece, PieceKind, pieces};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenKind {
    Word,
    /// A name with digits that is known as such: `x509`, `p99`.
    Name,
    Number,
    /// A number and its unit: `512Mi`, `30s`.
    Amount,
    /// `v1.29.3`.
    Version,
    /// Letters and digits that are neither of these.
    Mixed,
    Unspaced,
    /// A machine made it up.
    Made,
}

#[derive(Debug)]
pub(super) struct TextToken<'t> {
    /// As it is written, without what belongs to other tokens of the same piece.
    pub text: &'t str,
    /// In lower case, without accents.
    pub low: String,
    pub kind: TokenKind,
    /// What stands between the token before and this one; empty between two tokens of one piece.
    pub before: &'t str,
    pub after: &'t str,
    /// The piece that it begins, if the piece has more tokens than this one.
    pub compound: Option<Compound<'t>>,
    /// The piece that it ends, in lower case: `postgresql` where it is the `SQL` of `PostgreSQL`.
    pub ends: Option<String>,
}

/// A name that is several words: `ImagePullBackOff`.
#[derive(Debug)]
pub(super) struct Compound<'t> {
    pub text: &'t str,
    pub low: String,
}

pub(super) fn tokens(text: &str) -> Vec<TextToken<'_>> {
    let pieces = pieces(text);
    let mut tokens = Vec::with_capacity(pieces.len());
    for (at, piece) in pieces.iter().enumerate() {
        if piece.text.len() > LONGEST_WORD && piece.kind != PieceKind::Unspaced || is_machine_made(&pieces, at) {
            tokens.push(token(piece, piece.text, TokenKind::Made));
            continue;
        }
        match piece.kind {
            PieceKind::Number => tokens.push(token(piece, piece.text, TokenKind::Number)),
            PieceKind::Unspaced => tokens.push(token(piece, piece.text, TokenKind::Unspaced)),
            PieceKind::Word | PieceKind::Mixed => split(piece, &mut tokens),
        }
    }
    tokens
}

/// A run of letters and digits that is longer than this is no word.
const LONGEST_WORD: usize = 64;

fn token<'t>(piece: &Piece<'t>, text: &'t str, kind: TokenKind) -> TextToken<'t> {
    let low = if text.len() == piece.text.len() { piece.low.clone() } else { super::fold::fold(text) };
    TextToken { text, low, kind, before: piece.before, after: piece.after, compound: None, ends: None }
}

/// Splits a piece at its capitals, and a part of it into the letters and the number behind them.
fn split<'t>(piece: &Piece<'t>, tokens: &mut Vec<TextToken<'t>>) {
    if let Some(kind) = whole(&piece.low) {
        return tokens.push(token(piece, piece.text, kind));
    }
    let parts = split_camel_case(piece.text);
    let letters = piece.text.chars().filter(|c| c.is_alphabetic()).count();
    let begin = tokens.len();
    let is_made = piece.kind == PieceKind::Mixed && parts.len() > 3 && letters < 3 * parts.len();
    if is_made || !parts.iter().all(|part| split_part(piece, part, tokens)) {
        // What mixes letters and digits otherwise is a code where its neighbours say so.
        tokens.truncate(begin);
        return tokens.push(token(piece, piece.text, TokenKind::Mixed));
    }
    let added = tokens.len() - begin;
    for (at, token) in tokens[begin..].iter_mut().enumerate() {
        token.before = if at == 0 { piece.before } else { "" };
        token.after = if at + 1 == added { piece.after } else { "" };
    }
    let words = tokens[begin..].iter().filter(|token| matches!(token.kind, TokenKind::Word | TokenKind::Name)).count();
    if words > 1 {
        let named = tokens[begin..].iter().filter(|token| token.kind != TokenKind::Number);
        let low = named.map(|token| token.low.as_str()).collect();
        if let Some(last) = tokens.last_mut() {
            last.ends = Some(piece.low.clone());
        }
        tokens[begin].compound = Some(Compound { text: piece.text, low });
    }
}

/// What a piece is as a whole.
fn whole(low: &str) -> Option<TokenKind> {
    if is_name(low) {
        return Some(TokenKind::Name);
    }
    let digits = low.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.' || c == ',');
    if digits.len() < low.len() && is_unit(digits) {
        return Some(TokenKind::Amount);
    }
    let version = low.strip_prefix('v')?;
    let is_version = version.contains('.') && version.chars().all(|c| c.is_ascii_digit() || c == '.');
    is_version.then_some(TokenKind::Version)
}

/// Adds the tokens of one part of a name; false if it is nothing that is known.
fn split_part<'t>(piece: &Piece<'t>, part: &'t str, tokens: &mut Vec<TextToken<'t>>) -> bool {
    let Some(digit) = part.find(|c: char| c.is_ascii_digit()) else {
        tokens.push(token(piece, part, TokenKind::Word));
        return true;
    };
    let low = part.to_lowercase();
    if is_name(&low) {
        tokens.push(token(piece, part, TokenKind::Name));
        return true;
    }
    let (head, tail) = part.split_at(digit);
    let is_number = tail.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let tail_kind = match (is_number, head.is_empty()) {
        (true, _) => TokenKind::Number,
        (false, false) if is_name(&tail.to_lowercase()) => TokenKind::Name,
        (false, true) if is_word_like(low.trim_start_matches(|c: char| c.is_ascii_digit())) => TokenKind::Name,
        _ => return false,
    };
    // A long number behind letters is an id, and the letters may belong to it.
    let is_hash = head.len() > 4 && is_hex(&head.to_lowercase());
    if !head.is_empty() && is_number && (is_hash || tail.len() > 4 && !is_word_like(head)) {
        return false;
    }
    if !head.is_empty() {
        tokens.push(token(piece, head, TokenKind::Word));
    }
    tokens.push(token(piece, tail, tail_kind));
    true
}

/// `KubePodOOMKilled` → `Kube`, `Pod`, `OOM`, `Killed`; `HTTP502Errors` → `HTTP502`, `Errors`.
pub(in crate::embedder) fn split_camel_case(name: &str) -> Vec<&str> {
    let chars: Vec<(usize, char)> = name.char_indices().collect();
    let mut words = Vec::new();
    let mut start = 0;
    for at in 1..chars.len() {
        let (before, (place, c)) = (chars[at - 1].1, chars[at]);
        let next_is_lower = chars.get(at + 1).is_some_and(|(_, next)| next.is_lowercase());
        let after_lower = before.is_lowercase() && c.is_uppercase();
        let begins_word = (before.is_uppercase() || before.is_ascii_digit()) && c.is_uppercase() && next_is_lower;
        if after_lower || begins_word {
            words.push(&name[start..place]);
            start = place;
        }
    }
    words.push(&name[start..]);
    words
}

/// Whether a word is a unit, in lower case.
pub(super) fn is_unit(word: &str) -> bool {
    list::has(UNITS, word)
}

const UNITS: &str = "\
    ns us µs ms s sec secs second seconds m min mins minute minutes h hr hrs hour hours d day days w week weeks month \
    months year years b byte bytes k kb mb gb tb pb g t ki mi gi ti pi kib mib gib tib bit bits kbps mbps gbps mbit gbit \
    iops rps qps tps core cores cpu cpus vcpu vcpus millicore millicores percent pct times x";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_pieces_are() {
        use TokenKind::{Amount, Made, Mixed, Name, Number, Version, Word};
        for (text, kinds) in [
            ("KubePodOOMKilled", &[Word, Word, Word, Word][..]),
            ("x509 s3 nvme0n1 v1beta1", &[Name; 4]),
            ("web12", &[Word, Number]),
            ("P99LatencyHigh", &[Name, Word, Word]),
            ("HTTP502Errors Http5xxErrors", &[Word, Number, Word, Word, Name, Word]),
            ("512Mi 30s 100ms", &[Amount; 3]),
            ("v1.29.3 1.29 10.0.0.1", &[Version, Number, Number]),
            ("web-6f7d8c9b5d-x2k4q", &[Word, Made, Made]),
            ("web-bcdfg https tmpfs", &[Word, Made, Word, Word]),
            ("550e8400-e29b-41d4-a716-446655440000", &[Made; 5]),
            ("40P01 E11000 0x80070005", &[Mixed; 3]),
            ("eyJhbGciOiJIUzI1NiJ9 a1b2c3 deadbeef", &[Mixed, Mixed, Made]),
            ("3scale", &[Name]),
        ] {
            let found: Vec<TokenKind> = tokens(text).iter().map(|token| token.kind).collect();
            assert_eq!(found, kinds, "{text}");
        }
    }
}
