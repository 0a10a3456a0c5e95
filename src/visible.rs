//! Texts of others, as they may be shown to people and models.

/// A text without characters that are not seen, or that change how others are seen: control characters but newline and tab, and those for the
/// direction of text, of no width, and tags.
pub fn visible(text: &str) -> String {
    let is_seen = |c: &char| match *c {
        '\n' | '\t' => true,
        c if c.is_control() => false,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' => false,
        '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{2028}' | '\u{2029}' | '\u{2800}' => false,
        '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{ffa0}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0100}'..='\u{e01ef}' => {
            false
        }
        '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}' => false,
        _ => true,
    };
    text.chars().filter(is_seen).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_seen_is_not_there() {
        let text = "a\u{0}b\u{1b}[31m\u{202e}c\u{200b}d\u{e0041}e\u{feff}\n\tf\u{85}";
        assert_eq!(visible(text), "ab[31mcde\n\tf");
    }
}
