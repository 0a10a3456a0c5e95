//! Words that clients write in many ways.

/// A word as it is compared: without case, `-`, `_` and spaces.
pub fn fold(word: &str) -> String {
    word.chars().filter(|c| !matches!(c, '-' | '_' | ' ')).map(|c| c.to_ascii_lowercase()).collect()
}
