//! Cuts a text into pieces: words, numbers, names that mix both, and runs of a script that writes no spaces.

use super::fold::fold;
use unicode_normalization::char::is_combining_mark;
use unicode_segmentation::UnicodeSegmentation;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PieceKind {
    Word,
    /// Digits, also with points between them: `137`, `1.29`, `10.0.0.1`.
    Number,
    /// Letters and digits: `x509`, `v1.2`, `web12`, `6f7d8c9b5d`.
    Mixed,
    /// Letters of a script without spaces between words.
    Unspaced,
}

#[derive(Debug)]
pub(super) struct Piece<'t> {
    /// As it is written.
    pub text: &'t str,
    /// In lower case, without accents.
    pub low: String,
    /// What stands between the piece before this one and this one.
    pub before: &'t str,
    /// What stands behind it, up to the next piece or the end.
    pub after: &'t str,
    pub kind: PieceKind,
}

/// The pieces of a text, in order.
pub(super) fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut spans: Vec<(usize, usize, PieceKind)> = Vec::new();
    // Of ASCII the runs alone are the same, in a fifth of the time.
    let whole = text.is_ascii().then_some((0, text));
    let words = text.unicode_word_indices().take_while(|_| whole.is_none());
    for (at, word) in whole.into_iter().chain(words) {
        for (begin, end) in runs(word) {
            let run = (at + begin, at + end, kind(&word[begin..end]));
            match spans.last_mut() {
                Some(last) if last.1 == run.0 && [last.2, run.2] == [PieceKind::Unspaced; 2] => last.1 = run.1,
                _ => spans.push(run),
            }
        }
    }
    let ends = [0].into_iter().chain(spans.iter().map(|span| span.1));
    let begins = spans.iter().skip(1).map(|span| span.0).chain([text.len()]);
    let around: Vec<(usize, usize)> = ends.zip(begins).collect();
    (spans.iter().zip(around))
        .map(|((begin, end, kind), (before, next))| Piece {
            text: &text[*begin..*end],
            low: fold(&text[*begin..*end]),
            before: &text[before..*begin],
            after: &text[*end..next],
            kind: *kind,
        })
        .collect()
}

/// The runs of letters and digits in a word of Unicode's rules. A point between digits and an apostrophe between letters are part of a run.
fn runs(word: &str) -> Vec<(usize, usize)> {
    let mut runs = Vec::new();
    let mut begin = None;
    let mut before = None;
    let mut chars = word.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let next = chars.peek().map(|(_, next)| *next);
        let digits = |c: Option<char>| c.is_some_and(|c| c.is_ascii_digit());
        let letters = |c: Option<char>| c.is_some_and(char::is_alphabetic);
        let is_inside = match c {
            '.' | ',' => digits(before) && digits(next),
            '\'' | '’' => letters(before) && letters(next),
            c => c.is_alphanumeric() || is_combining_mark(c),
        };
        match (is_inside, begin) {
            (true, None) => begin = Some(at),
            (false, Some(from)) => {
                runs.push((from, at));
                begin = None;
            }
            _ => {}
        }
        before = Some(c);
    }
    if let Some(from) = begin {
        runs.push((from, word.len()));
    }
    runs
}

fn kind(run: &str) -> PieceKind {
    let digits = run.contains(|c: char| c.is_ascii_digit());
    if run.starts_with(is_unspaced) {
        PieceKind::Unspaced
    } else if !digits {
        PieceKind::Word
    } else if run.contains(char::is_alphabetic) {
        PieceKind::Mixed
    } else {
        PieceKind::Number
    }
}

/// Whether a letter is of a script that writes no spaces between words, or ties what belongs to words to them (Korean).
fn is_unspaced(c: char) -> bool {
    matches!(u32::from(c),
        0x0E00..=0x0EFF // Thai, Lao
        | 0x1000..=0x109F // Myanmar
        | 0x1100..=0x11FF | 0xA960..=0xA97F | 0xAC00..=0xD7FF // Hangul
        | 0x1780..=0x17FF // Khmer
        | 0x2E80..=0x2FDF | 0x3005..=0x3007 | 0x3040..=0x31FF | 0x3400..=0x9FFF | 0xF900..=0xFAFF | 0x20000..=0x3FFFF // Han, kana
    )
}

/// Pairs of neighbouring letters, with their marks; the letter itself if there is only one.
pub(super) fn letter_pairs(run: &str) -> Vec<&str> {
    let letters: Vec<(usize, &str)> = run.grapheme_indices(true).collect();
    if letters.len() < 2 {
        return vec![run];
    }
    letters.windows(2).map(|pair| &run[pair[0].0..pair[1].0 + pair[1].1.len()]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ascii_has_the_words_of_unicodes_rules() {
        let texts = [
            include_str!("../../../../benches/words/sentences.txt"),
            include_str!("../../../../tests/data/copies.tsv"),
            include_str!("../../../../tests/data/pairs.tsv"),
        ];
        for line in texts.into_iter().flat_map(str::lines).filter(|line| line.is_ascii()) {
            // One letter more in another script: the same words are found the other way.
            let longer = format!("{line} é");
            let mut found: Vec<String> = pieces(&longer).iter().map(|piece| piece.text.to_owned()).collect();
            assert_eq!(found.pop().as_deref(), Some("é"));
            assert_eq!(pieces(line).iter().map(|piece| piece.text).collect::<Vec<_>>(), found, "{line}");
        }
    }

    #[test]
    fn texts_of_many_kinds() {
        let texts = |text| pieces(text).iter().map(|piece| piece.text.to_owned()).collect::<Vec<_>>();
        assert_eq!(texts("can't pull v1.29.3, took 1,024.5s"), ["can't", "pull", "v1.29.3", "took", "1,024.5s"]);
        assert_eq!(texts("10.0.0.1:5432/kube-system_x"), ["10.0.0.1", "5432", "kube", "system", "x"]);
        assert_eq!(texts("Pod重启,退出码137 メモリ不足"), ["Pod", "重启", "退出码", "137", "メモリ不足"]);
        assert_eq!(letter_pairs("退出码"), ["退出", "出码"]);
        assert_eq!(letter_pairs("あ"), ["あ"]);
        assert_eq!(texts("กำลัง").len(), 1);
    }
}
