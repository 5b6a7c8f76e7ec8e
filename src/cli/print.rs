//! Lines out. A reader that went away (`| head`) is no error.

use std::io::{self, IsTerminal, Write};

/// A line of a result.
pub fn line(text: impl AsRef<str>) {
    let mut out = io::stdout().lock();
    out.write_all(text.as_ref().as_bytes())
        .and_then(|()| out.write_all(b"\n"))
        .and_then(|()| out.flush())
        .ok();
}

/// A line of progress or about a problem.
pub fn error_line(text: impl AsRef<str>) {
    let mut out = io::stderr().lock();
    out.write_all(text.as_ref().as_bytes())
        .and_then(|()| out.write_all(b"\n"))
        .ok();
}

/// Whether standard output shows colours.
pub fn colour() -> bool {
    io::stdout().is_terminal() && wanted()
}

/// Whether standard error shows colours.
pub fn error_colour() -> bool {
    io::stderr().is_terminal() && wanted()
}

/// <https://no-color.org>
fn wanted() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// The colours of the program, each with one meaning.
#[derive(Clone, Copy)]
pub enum Paint {
    /// Done.
    Good,
    /// In the store.
    Known,
    /// Look here.
    Warn,
    /// Failed.
    Bad,
    /// Aside.
    Faint,
    /// Not at all.
    Plain,
}

impl Paint {
    /// A text in this colour, when colours are shown.
    pub fn on(self, text: &str, colour: bool) -> String {
        let code = match self {
            Self::Good => "32",
            Self::Known => "36",
            Self::Warn => "33",
            Self::Bad => "31;1",
            Self::Faint => "2",
            Self::Plain => return text.to_owned(),
        };
        if colour {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }
}

/// Seconds for people: `0.24 s`, `12.3 s`, `4 min 05 s`, `2 h 03 min`.
pub fn duration(seconds: f64) -> String {
    if seconds < 1.0 {
        return format!("{seconds:.2} s");
    }
    if seconds < 60.0 {
        return format!("{seconds:.1} s");
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a duration in seconds"
    )]
    let whole = seconds.round() as u64;
    if whole < 3600 {
        format!("{} min {:02} s", whole / 60, whole % 60)
    } else {
        format!("{} h {:02} min", whole / 3600, whole % 3600 / 60)
    }
}

/// Bytes for people: `812 KB`, `1.2 GB` (powers of ten).
pub fn bytes(count: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "shown with two digits")]
    let count = count as f64;
    let units = [(1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "KB")];
    match units.into_iter().find(|(size, _)| count >= *size) {
        Some((size, unit)) if count / size < 10.0 => format!("{:.1} {unit}", count / size),
        Some((size, unit)) => format!("{:.0} {unit}", count / size),
        None => format!("{count} B"),
    }
}

/// `1 step`, `2 steps`.
pub fn counted(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people() {
        assert_eq!([duration(0.24), duration(12.34)], ["0.24 s", "12.3 s"]);
        assert_eq!(duration(245.0), "4 min 05 s");
        assert_eq!(duration(7384.0), "2 h 03 min");
        assert_eq!(
            [bytes(12), bytes(1_234), bytes(812_000), bytes(3_400_000_000)],
            ["12 B", "1.2 KB", "812 KB", "3.4 GB"]
        );
        assert_eq!(counted(1, "step"), "1 step");
    }

    #[test]
    fn colours_only_when_asked() {
        assert_eq!(Paint::Bad.on("x", false), "x");
        assert_eq!(Paint::Good.on("x", true), "\u{1b}[32mx\u{1b}[0m");
    }
}
