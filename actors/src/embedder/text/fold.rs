//! Letters as they are compared: in lower case, without accents, one form for each.

use unicode_normalization::{UnicodeNormalization, is_nfkc};

/// One form for letters that have several, such as wide and narrow ones (NFKC).
pub(in crate::embedder) fn one_form(text: &str) -> std::borrow::Cow<'_, str> {
    if text.is_ascii() {
        return text.into();
    }
    let is_plain = is_nfkc(text) && !text.contains(|c| is_unseen(c) || digit(c) != c);
    if is_plain { text.into() } else { text.nfkc().filter(|c| !is_unseen(*c)).map(digit).collect::<String>().into() }
}

/// Whether a character has no width and no meaning within a word.
fn is_unseen(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}' | '\u{2060}' | '\u{feff}')
}

/// The digit of ASCII for one of another script.
fn digit(c: char) -> char {
    const ZEROS: [u32; 12] =
        [0x0660, 0x06F0, 0x0966, 0x09E6, 0x0A66, 0x0AE6, 0x0BE6, 0x0C66, 0x0CE6, 0x0E50, 0x0ED0, 0x1040];
    let value = ZEROS.iter().find_map(|zero| u32::from(c).checked_sub(*zero).filter(|value| *value < 10));
    value.and_then(|value| char::from_digit(value, 10)).unwrap_or(c)
}

/// A word in lower case and without accents: `Überlauf` is `uberlauf`, `ёмкость` is `емкость`.
pub(super) fn fold(word: &str) -> String {
    if word.is_ascii() {
        return word.to_ascii_lowercase();
    }
    let mut folded = String::with_capacity(word.len());
    for c in word.nfd().filter(|c| !is_accent(*c)).flat_map(char::to_lowercase) {
        match c {
            'ß' => folded.push_str("ss"),
            'æ' => folded.push_str("ae"),
            'œ' => folded.push_str("oe"),
            'ø' => folded.push('o'),
            'đ' => folded.push('d'),
            'ł' => folded.push('l'),
            'ı' => folded.push('i'),
            'ς' => folded.push('σ'),
            '’' => folded.push('\''),
            // Arabic writes this letter only to stretch a word.
            '\u{640}' => {}
            c => folded.push(c),
        }
    }
    folded.nfc().collect()
}

/// Accents of Latin, Greek and Cyrillic letters, and the vowel marks of Arabic and Hebrew. The marks of other scripts are letters.
fn is_accent(c: char) -> bool {
    matches!(u32::from(c), 0x0300..=0x036F | 0x0591..=0x05C7 | 0x064B..=0x065F | 0x0670)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accents_go_and_letters_stay() {
        for (word, folded) in [
            ("Größe", "grosse"),
            ("RÉSUMÉ", "resume"),
            ("Ёмкость", "емкость"),
            ("ΠΛΉΡΗΣ", "πληρησ"),
            ("が", "が"),
            ("أَمْر", "امر"),
            ("한글", "한글"),
        ] {
            assert_eq!(fold(word), folded);
        }
        assert_eq!(one_form("ＨＴＴＰ ５０２ ﾒﾓﾘ"), "HTTP 502 メモリ");
        assert_eq!(one_form("الخروج ١٣٧ certi\u{200b}ficate"), "الخروج 137 certificate");
    }
}
