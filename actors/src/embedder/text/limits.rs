//! Percentages and amounts beside a word of limit: `CPU above 80 %`, `a limit of 512Mi`.

use super::list;
use super::near::{begins_sentence, next_word};
use super::telling::{HTTP_CODES, Number, Sort, code, detail};
use super::tokens::{TextToken, is_unit};

/// A percentage beside a word of limit. What is measured is seldom a multiple of five, or so near to all.
pub(super) fn share(tokens: &[TextToken<'_>], at: usize) -> Option<Number> {
    let text = tokens[at].text.replace(',', ".");
    let is_round = text.parse::<f64>().is_ok_and(|share| share % 5.0 == 0.0 || (95.0..100.0).contains(&share));
    (is_round && is_limit(tokens, at)).then(|| detail(format!("{text}%")))
}

/// `512Mi`, beside a word of limit.
pub(super) fn amount(tokens: &[TextToken<'_>], at: usize) -> Option<Number> {
    let low = tokens[at].low.as_str();
    let digits = low.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = &low[digits.len()..];
    if unit == "s" && list::has(HTTP_CODES, digits) {
        return Some(code(digits, Sort::Http));
    }
    if unit == "percent" || unit == "pct" {
        return None;
    }
    (is_round(digits) && is_limit(tokens, at)).then(|| detail(low))
}

/// A number whose unit is the next word, or is not said.
pub(super) fn bare_amount(tokens: &[TextToken<'_>], at: usize) -> Option<Number> {
    let digits = tokens[at].text;
    let unit =
        next_word(tokens, at).filter(|word| is_unit(word) && *word != "times" && *word != "x").unwrap_or_default();
    (is_round(digits) && is_limit(tokens, at)).then(|| detail(format!("{digits}{unit}")))
}

/// Whether people choose such a number: it has at most two digits that are not zeros behind, or is a power of two.
fn is_round(digits: &str) -> bool {
    let is_nearly_all = digits.parse::<f64>().is_ok_and(|number| (95.0..100.0).contains(&number));
    let is_power = digits.parse::<u64>().is_ok_and(|number| number.is_power_of_two() && number >= 128);
    is_power || is_nearly_all || digits.trim_matches(['0', '.']).len() <= 2 && digits.len() <= 7
}

/// Whether a word of limit stands beside the number.
fn is_limit(tokens: &[TextToken<'_>], at: usize) -> bool {
    const EITHER: &[&str] =
        &["threshold", "thresholds", "limit", "limits", "quota", "quotas", "objective", "objectives"];
    const BEFORE: &[&str] = &["above", "below", "over", "under", "exceed", "exceeds", "than"];
    let mut is_limit = false;
    for back in 1..=3 {
        if begins_sentence(&tokens[at + 1 - back]) || tokens[at + 1 - back].before.contains(',') {
            break;
        }
        let Some(word) = at.checked_sub(back).map(|place| tokens[place].low.as_str()) else { break };
        // "over 33s" says how long something took.
        is_limit |=
            EITHER.contains(&word) || back <= 2 && BEFORE.contains(&word) && !(word == "over" && is_time(tokens, at));
    }
    let behind =
        tokens[at + 1..].iter().take(3).take_while(|token| !begins_sentence(token) && !token.before.contains(','));
    is_limit || behind.map(|token| token.low.as_str()).any(|word| EITHER.contains(&word))
}

/// Whether the number has a unit of time.
fn is_time(tokens: &[TextToken<'_>], at: usize) -> bool {
    let own = tokens[at].low.trim_start_matches(|c: char| !c.is_alphabetic());
    let unit = if own.is_empty() { next_word(tokens, at).unwrap_or_default() } else { own };
    is_unit(unit)
        && (unit.starts_with(['s', 'm', 'h', 'd', 'w', 'y']) || matches!(unit, "ns" | "us" | "µs"))
        && !unit.starts_with("mb")
        && !matches!(unit, "mi" | "mib")
}
