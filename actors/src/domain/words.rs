//! Words that clients write in many ways.

/// A word as it is compared: without case, `-`, `_` and spaces.
pub fn fold(word: &str) -> String {
    word.chars().filter(|c| !matches!(c, '-' | '_' | ' ')).flat_map(char::to_lowercase).collect()
}
