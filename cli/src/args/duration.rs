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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::parse;

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
