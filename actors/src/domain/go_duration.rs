//! Go's `time.Duration` as text: `1.5s`, `2h45m`, `300ms`.

/// The nanoseconds of a duration string, as Go's `time.ParseDuration` reads it. `None` for any other text, and for a
/// duration that does not fit into 63 bits. A negative duration gives a negative number.
pub fn parse(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut nanos: i128 = 0;
    while !rest.is_empty() {
        let (value, unit, after) = element(rest)?;
        nanos = nanos.checked_add(scale(value, unit)?)?;
        rest = after;
    }
    let nanos = i64::try_from(nanos).ok()?;
    Some(if negative { -nanos } else { nanos })
}

/// The first number of the text, its unit, and the rest of the text.
fn element(text: &str) -> Option<(&str, &str, &str)> {
    let number = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (value, rest) = text.split_at(number);
    let unit = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
    let (unit, after) = rest.split_at(unit);
    Some((value, unit, after))
}

fn scale(value: &str, unit: &str) -> Option<i128> {
    let unit: i128 = match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    };
    let (whole, fraction) = value.split_once('.').unwrap_or((value, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return None;
    }
    let whole: i128 = if whole.is_empty() { 0 } else { whole.parse::<i64>().ok()?.into() };
    // Digits after the 15th are worth less than a nanosecond, even of the largest unit.
    let digits = &fraction[..fraction.len().min(15)];
    let part: i128 = if digits.is_empty() { 0 } else { digits.parse::<i64>().ok()?.into() };
    let divisor = 10i128.pow(u32::try_from(digits.len()).ok()?);
    whole.checked_mul(unit)?.checked_add(part * unit / divisor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_go_writes() {
        for (text, nanos) in [
            ("0", Some(0)),
            ("0s", Some(0)),
            ("1.5s", Some(1_500_000_000)),
            ("2h45m0.25s", Some(9_900_250_000_000)),
            ("300ms", Some(300_000_000)),
            ("1µs", Some(1_000)),
            (".5m", Some(30_000_000_000)),
            ("-1s", Some(-1_000_000_000)),
            ("2562047h47m16.854775807s", Some(i64::MAX)),
            ("2562047h47m16.854775808s", None),
            ("", None),
            ("1", None),
            ("s", None),
            ("1.2.3s", None),
            ("1d", None),
            ("1 s", None),
            (".s", None),
        ] {
            assert_eq!(parse(text), nanos, "{text}");
        }
    }
}
