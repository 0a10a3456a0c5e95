//! Long texts are cut, not refused: an audit with a long log is worth more than none.

/// The longest text that is kept whole, in bytes, and what is kept of a longer one.
const WHOLE: usize = 64 * 1024;
const HEAD: usize = 48 * 1024;
const TAIL: usize = 16 * 1024;

/// Cuts a long text in its middle, between two characters; says whether it did.
pub fn cut(text: &mut Option<String>) -> bool {
    let Some(whole) = text.as_deref().filter(|text| text.len() > WHOLE) else { return false };
    let head = &whole[..whole.floor_char_boundary(HEAD)];
    let tail = &whole[whole.ceil_char_boundary(whole.len() - TAIL)..];
    let left_out = whole.len() - head.len() - tail.len();
    *text = Some(format!("{head}\n[{left_out} bytes left out]\n{tail}"));
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_and_the_last_of_it_are_kept() {
        let mut short = Some("x".repeat(WHOLE));
        assert!(!cut(&mut short) && short == Some("x".repeat(WHOLE)));
        let mut long = Some(format!("{}{}{}", "a".repeat(HEAD), "b".repeat(1000), "c".repeat(TAIL)));
        assert!(cut(&mut long));
        assert_eq!(long, Some(format!("{}\n[1000 bytes left out]\n{}", "a".repeat(HEAD), "c".repeat(TAIL))));
        let mut wide = Some(format!("x{}", "€".repeat(30_000)));
        assert!(cut(&mut wide));
        let kept = wide.expect("text");
        assert!(kept.starts_with("x€") && kept.ends_with('€') && kept.contains("bytes left out]\n€"), "{}", kept.len());
        assert!(!cut(&mut None));
    }
}
