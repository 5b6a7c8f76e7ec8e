//! Times and sizes as a file writes them: `90s`, `2h 30m`; `512MiB`, `4GB`.

use std::time::Duration;

/// Units of time, in seconds.
const TIMES: &[(&str, f64)] = &[("s", 1.0), ("m", 60.0), ("h", 3600.0), ("d", 86_400.0)];

/// Units of size, in bytes.
const SIZES: &[(&str, f64)] = &[
    ("B", 1.0),
    ("KB", 1e3),
    ("MB", 1e6),
    ("GB", 1e9),
    ("TB", 1e12),
    ("KiB", 1024.0),
    ("MiB", 1_048_576.0),
    ("GiB", 1_073_741_824.0),
    ("TiB", 1_099_511_627_776.0),
];

/// What [`duration`] takes, for schemas.
pub(super) const DURATION: &str = r"^[0-9]+(\.[0-9]+)?[smhd]( ?[0-9]+(\.[0-9]+)?[smhd])*$";

/// What [`bytes`] takes, for schemas.
pub(super) const BYTES: &str = r"^[0-9]+(\.[0-9]+)? ?([KMGT]i?)?B$";

/// A time; `None` when it is not written as one.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let mut seconds = 0.0;
    let mut rest = text;
    while !rest.is_empty() {
        let (number, after) = leading_number(rest)?;
        let unit = after.chars().next()?;
        let (_, size) = TIMES.iter().find(|(name, _)| name.starts_with(unit))?;
        seconds += number * size;
        rest = &after[unit.len_utf8()..];
        rest = rest.strip_prefix(' ').filter(|more| !more.is_empty()).unwrap_or(rest);
    }
    Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|time| !text.is_empty() && !time.is_zero())
}

/// A size in bytes; `None` when it is not written as one.
pub fn bytes(text: &str) -> Option<u64> {
    let (number, unit) = leading_number(text)?;
    let unit = unit.strip_prefix(' ').unwrap_or(unit);
    let (_, size) = SIZES.iter().find(|(name, _)| *name == unit)?;
    let bytes = (number * size).round();
    // beyond 2^53 a size in floating point is not exact, and no machine has it
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "held between 1 and 2^53"
    )]
    (1.0..9_007_199_254_740_992.0).contains(&bytes).then_some(bytes as u64)
}

fn leading_number(text: &str) -> Option<(f64, &str)> {
    let end = text
        .find(|c: char| !(c.is_ascii_digit() || c == '.'))
        .unwrap_or(text.len());
    let (number, rest) = text.split_at(end);
    if !number.starts_with(|c: char| c.is_ascii_digit()) || !number.ends_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    Some((number.parse().ok()?, rest))
}

/// How a time was probably meant: `10 minutes` as `10m`, a bare `90` as `90s`.
pub(super) fn meant_duration(text: &str) -> Option<String> {
    let mut parts = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (number, after) = leading_number(rest)?;
        let after = after.trim_start();
        let end = after.find(|c: char| !c.is_alphabetic()).unwrap_or(after.len());
        let word = after[..end].to_lowercase();
        let unit = match word.as_str() {
            "" | "s" | "sec" | "secs" | "second" | "seconds" => "s",
            "m" | "min" | "mins" | "minute" | "minutes" => "m",
            "h" | "hr" | "hrs" | "hour" | "hours" => "h",
            "d" | "day" | "days" => "d",
            _ => return None,
        };
        parts.push(format!("{number}{unit}"));
        rest = after[end..].trim_start_matches(|c: char| c == ',' || c.is_whitespace());
    }
    let meant = parts.join(" ");
    duration(&meant).map(|_| meant)
}

/// How a size was probably meant: `4G` and `4gib` as `4GiB`, `4 gb` as `4GB`, a bare `4096` as `4096B`.
pub(super) fn meant_bytes(text: &str) -> Option<String> {
    let (number, unit) = leading_number(text.trim())?;
    let unit = unit.trim();
    let plain = |unit: &str| unit.to_lowercase().trim_end_matches('b').to_owned();
    let same = SIZES.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit));
    // `4G` says nothing of 1000 or 1024: memory is counted in powers of two
    let near = SIZES
        .iter()
        .rev()
        .find(|(name, _)| plain(name) == plain(unit) || plain(name) == format!("{}i", plain(unit)));
    let (name, _) = same.or(near)?;
    let meant = format!("{number}{name}");
    bytes(&meant).map(|_| meant)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn times_are_read_and_what_was_meant_is_told() {
        assert_eq!(duration("90s"), Some(Duration::from_secs(90)));
        assert_eq!(duration("2h 30m"), Some(Duration::from_secs(9000)));
        assert_eq!(duration("2h30m"), duration("2h 30m"));
        assert_eq!(duration("1.5m"), Some(Duration::from_secs(90)));
        for wrong in [
            "", "90", "10 min", "5x", "m", "-3s", "0s", "1h ", "1h  2m", ".5h", "1.h",
        ] {
            assert_eq!(duration(wrong), None, "{wrong:?}");
        }
        assert_eq!(meant_duration("10 minutes").as_deref(), Some("10m"));
        assert_eq!(meant_duration("2 hours, 30 min").as_deref(), Some("2h 30m"));
        assert_eq!(meant_duration("90").as_deref(), Some("90s"));
        assert_eq!(meant_duration("soon"), None);
    }

    #[test]
    fn sizes_are_read_and_what_was_meant_is_told() {
        assert_eq!(bytes("4GiB"), Some(4 << 30));
        assert_eq!(bytes("1.5 KB"), Some(1500));
        for wrong in ["", "4", "4G", "4gb", "GiB", "0GB", "-1GB", "4 GiB each", "99999999TB"] {
            assert_eq!(bytes(wrong), None, "{wrong:?}");
        }
        assert_eq!(meant_bytes("4G").as_deref(), Some("4GiB"));
        assert_eq!(meant_bytes("4gb").as_deref(), Some("4GB"));
        assert_eq!(meant_bytes("512 mib").as_deref(), Some("512MiB"));
        assert_eq!(meant_bytes("512Mi").as_deref(), Some("512MiB"));
        assert_eq!(meant_bytes("4096").as_deref(), Some("4096B"));
        assert_eq!(meant_bytes("much"), None);
    }

    proptest! {
        /// The patterns of the schema take what is read here, but for zero.
        #[test]
        fn patterns_and_readers_agree(text in "[0-9.]{0,4} ?[smhdKMGTiB ]{0,4}[0-9]{0,2}[smh]?") {
            let matches = |pattern| regex::Regex::new(pattern).unwrap().is_match(&text);
            let more_than_nothing = text.starts_with(|c| ('1'..='9').contains(&c));
            for (read, fits) in [(duration(&text).is_some(), matches(DURATION)), (bytes(&text).is_some(), matches(BYTES))] {
                prop_assert!(fits || !read, "{text:?} is read");
                prop_assert!(read || !fits || !more_than_nothing, "{text:?} is not read");
            }
        }
    }
}
