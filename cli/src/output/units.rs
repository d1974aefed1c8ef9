//! Numbers for people: thousands separated, bytes with binary units, durations in the unit that fits.

use std::time::{Duration, SystemTime};

use time::OffsetDateTime;

/// `1234567` as `1,234,567`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Bytes with one decimal and a binary unit: `17 B`, `1.5 KiB`, `64.0 MiB`.
pub(crate) fn bytes(number: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if number < 1_024 {
        return format!("{number} B");
    }
    let mut size = number as f64 / 1_024.0;
    let mut unit = 0;
    while size >= 1_023.95 && unit + 1 < UNITS.len() {
        size /= 1_024.0;
        unit += 1;
    }
    format!("{size:.1} {}", UNITS[unit])
}

/// A duration with three digits at most: `950 µs`, `12.3 ms`, `4.2 s`, `3 min 20 s`.
pub(crate) fn duration(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    match seconds {
        s if s < 0.001 => format!("{:.0} µs", s * 1e6),
        s if s < 0.1 => format!("{:.1} ms", s * 1e3),
        s if s < 1.0 => format!("{:.0} ms", s * 1e3),
        s if s < 120.0 => format!("{s:.1} s"),
        s => {
            let seconds = s.round();
            format!("{:.0} min {:.0} s", (seconds / 60.0).floor(), seconds % 60.0)
        }
    }
}

/// Now, in milliseconds since 1970, by this machine's clock.
pub(crate) fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

/// A moment in milliseconds since 1970 as `2026-11-21 12:00`, UTC.
pub(crate) fn date(since_1970_ms: u64) -> String {
    let seconds = i64::try_from(since_1970_ms / 1_000).unwrap_or(i64::MAX);
    let Ok(date) = OffsetDateTime::from_unix_timestamp(seconds) else {
        return "after 9999".to_owned();
    };
    let (year, month, day) = date.to_calendar_date();
    format!("{year:04}-{:02}-{day:02} {:02}:{:02}", u8::from(month), date.hour(), date.minute())
}

/// The time of day of a moment in milliseconds since 1970 as `12:03:10.250`, UTC.
pub(crate) fn time_of_day(since_1970_ms: u64) -> String {
    let ms = since_1970_ms % 86_400_000;
    let (hours, minutes, seconds) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60);
    format!("{hours:02}:{minutes:02}:{seconds:02}.{:03}", ms % 1_000)
}

/// A share of a whole as a percentage with one decimal.
pub(crate) fn percent(part: f64) -> String {
    format!("{:.1} %", part * 100.0)
}

/// A bar of `width` columns that is filled by `part` (0 to 1) of it, in eighths of a column.
pub(crate) fn bar(part: f64, width: usize) -> String {
    const EIGHTHS: [char; 8] = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];
    let filled = (part.clamp(0.0, 1.0) * width as f64 * 8.0).round() as usize;
    let mut text = "█".repeat(filled / 8);
    if !filled.is_multiple_of(8) {
        text.push(EIGHTHS[filled % 8]);
    }
    text
}

/// `1 key`, `2 keys`.
pub(crate) fn plural(number: u64, noun: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{} {noun}{ending}", count(number))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{bar, bytes, count, date, duration, percent, plural, time_of_day};

    #[test]
    fn a_date_is_of_utc() {
        assert_eq!(date(0), "1970-01-01 00:00");
        assert_eq!(date(951_827_696_000), "2000-02-29 12:34");
        assert_eq!(date(u64::MAX), "after 9999");
        assert_eq!(time_of_day(951_827_696_025), "12:34:56.025");
    }

    #[test]
    fn counts_and_bytes_are_readable() {
        assert_eq!(
            [count(0), count(999), count(1_000), count(1_234_567)],
            ["0", "999", "1,000", "1,234,567"]
        );
        assert_eq!(bytes(1_023), "1023 B");
        assert_eq!(bytes(1_536), "1.5 KiB");
        assert_eq!(bytes(64 << 20), "64.0 MiB");
        assert_eq!(bytes((1 << 20) - 1), "1.0 MiB");
        assert_eq!(bytes(u64::MAX), "16.0 EiB");
    }

    #[test]
    fn durations_take_the_unit_that_fits() {
        assert_eq!(duration(Duration::from_micros(950)), "950 µs");
        assert_eq!(duration(Duration::from_micros(12_340)), "12.3 ms");
        assert_eq!(duration(Duration::from_millis(420)), "420 ms");
        assert_eq!(duration(Duration::from_millis(4_200)), "4.2 s");
        assert_eq!(duration(Duration::from_secs(200)), "3 min 20 s");
        assert_eq!(duration(Duration::from_millis(179_600)), "3 min 0 s");
    }

    #[test]
    fn a_bar_is_as_long_as_its_part() {
        assert_eq!(bar(0.0, 10), "");
        assert_eq!(bar(0.5, 10), "█████");
        assert_eq!(bar(0.55, 10), "█████▌");
        assert_eq!(bar(7.0, 4), "████");
    }

    #[test]
    fn one_is_singular() {
        assert_eq!(plural(1, "key"), "1 key");
        assert_eq!(plural(2_000, "key"), "2,000 keys");
        assert_eq!(percent(0.9876), "98.8 %");
    }
}
