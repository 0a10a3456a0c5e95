//! Spans of time as clients and operators write them: `500ms`, `5s`, `10m`, `24h`, `400d`.

use std::time::Duration;

/// Reads a whole number and one unit, without a sign or a space. `None` for anything else, and for more milliseconds than fit into
/// 64 bits. A day has 24 hours.
pub fn parse(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let millis: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(millis).map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_and_a_unit() {
        for (text, millis) in [
            ("0s", 0),
            ("500ms", 500),
            ("5s", 5_000),
            ("10m", 600_000),
            ("24h", 86_400_000),
            ("400d", 34_560_000_000),
            ("007s", 7_000),
            ("18446744073709551615ms", u64::MAX),
        ] {
            assert_eq!(parse(text), Some(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn nothing_else() {
        for text in [
            "",
            "5",
            "s",
            "ms",
            "+5s",
            "-5s",
            " 5s",
            "5s ",
            "5 s",
            "1.5h",
            "1h30m",
            "5S",
            "5w",
            "5sec",
            "5µs",
            "٥s",
            "0x5s",
            "18446744073709551616ms",
            "18446744073709552s",
            "213503982335d",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
