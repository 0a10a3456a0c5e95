//! Letters as they are compared: in lower case, without accents, one form for each.

use unicode_normalization::{UnicodeNormalization, is_nfkc};

/// One form for letters that have several, such as wide and narrow ones (NFKC).
pub(in crate::embedder) fn one_form(text: &str) -> std::borrow::Cow<'_, str> {
    if text.is_ascii() || is_nfkc(text) { text.into() } else { text.nfkc().collect::<String>().into() }
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
    }
}
