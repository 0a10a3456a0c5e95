//! Words that clients write in many ways.

/// The form in which words are compared: lower case, without `-`, `_` and spaces.
pub fn fold(word: &str) -> String {
    word.chars().filter(|c| !matches!(c, '-' | '_' | ' ')).map(|c| c.to_ascii_lowercase()).collect()
}
