//! Durations as people write them: `250ms`, `5s`, `2m`.

use std::time::Duration;

/// Reads a duration. A bare number is refused: seconds for one reader are milliseconds for the next.
///
/// # Errors
/// A sentence for the user, when the number or its unit is missing or the whole is zero or over a day.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 =
        number.parse().map_err(|_| "write a number and a unit: 250ms, 5s, 2m".to_owned())?;
    let milliseconds = match unit {
        "ms" => Some(number),
        "s" => number.checked_mul(1_000),
        "m" => number.checked_mul(60_000),
        _ => return Err("the unit must be ms, s or m: 250ms, 5s, 2m".to_owned()),
    };
    match milliseconds {
        Some(ms @ 1..=86_400_000) => Ok(Duration::from_millis(ms)),
        _ => Err("it must be from 1ms to a day".to_owned()),
    }
}

/// Reads a long time: `12h`, `30d`.
///
/// # Errors
/// As of [`parse`], from a minute to ten years.
pub(crate) fn parse_long(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 =
        number.parse().map_err(|_| "write a number and a unit: 30m, 12h, 30d".to_owned())?;
    let seconds = match unit {
        "m" => number.checked_mul(60),
        "h" => number.checked_mul(3_600),
        "d" => number.checked_mul(86_400),
        _ => return Err("the unit must be m, h or d: 30m, 12h, 30d".to_owned()),
    };
    match seconds {
        Some(seconds @ 60..=315_360_000) => Ok(Duration::from_secs(seconds)),
        _ => Err("it must be from a minute to 3650 days".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{parse, parse_long};

    #[test]
    fn a_long_time_is_in_minutes_hours_or_days() {
        assert_eq!(parse_long("30d"), Ok(Duration::from_secs(30 * 86_400)));
        assert_eq!(parse_long("12h"), Ok(Duration::from_secs(12 * 3_600)));
        for text in ["", "30", "30s", "0d", "3651d", "18446744073709551615d"] {
            assert!(parse_long(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_duration_needs_a_number_and_a_unit() {
        assert_eq!(parse("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse("5s"), Ok(Duration::from_secs(5)));
        assert_eq!(parse("2m"), Ok(Duration::from_secs(120)));
        for text in [
            "",
            "5",
            "ms",
            "-1s",
            "1h",
            "0s",
            "1.5s",
            "99999999999999999999s",
            "18446744073709551615m",
        ] {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }
}
