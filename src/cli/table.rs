//! Tables of text: columns as wide as what is in them, and no line longer than a page.

use super::print::{Paint, colour};

/// The longest line of a table.
pub const PAGE: usize = 100;

/// Where a column's text stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Align {
    Left,
    Right,
}

/// One cell.
pub struct Cell {
    text: String,
    paint: Paint,
}

impl Cell {
    /// In a colour.
    pub fn painted(text: impl Into<String>, paint: Paint) -> Self {
        let text = text.into();
        Self { text, paint }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::painted(text, Paint::Plain)
    }
}

/// The lines of a table, two spaces between columns. The column `shrinks` is cut where a line would
/// be longer than the page.
pub fn lines(aligns: &[Align], shrinks: usize, rows: Vec<Vec<Cell>>) -> Vec<String> {
    let length = |text: &str| text.chars().count();
    let widest = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| length(&cell.text)).max().unwrap_or(0)
    };
    let mut widths: Vec<usize> = (0..aligns.len()).map(widest).collect();
    let all = widths.iter().sum::<usize>() + 2 * widths.len().saturating_sub(1);
    if let Some(width) = widths.get_mut(shrinks) {
        *width = width.saturating_sub(all.saturating_sub(PAGE)).max(12.min(*width));
    }
    let line = |row: Vec<Cell>| {
        let cells = row.into_iter().zip(aligns).zip(&widths).map(|((cell, align), width)| {
            let text = cut(&cell.text, *width);
            let space = " ".repeat(width - length(&text));
            let text = cell.paint.on(&text, colour());
            match align {
                Align::Left => format!("{text}{space}"),
                Align::Right => format!("{space}{text}"),
            }
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.into_iter().map(line).collect()
}

/// A text of at most so many characters; where it is cut, its middle is left out, since names differ
/// at their ends.
pub fn cut(text: &str, width: usize) -> String {
    let count = text.chars().count();
    if count <= width {
        return text.to_owned();
    }
    let keep = width.saturating_sub(2);
    let start: String = text.chars().take(keep / 2).collect();
    let end: String = text.chars().skip(count - (keep - keep / 2)).collect();
    format!("{start}..{end}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_no_line_is_longer_than_a_page() {
        let rows = vec![
            vec!["a".into(), "1".into(), "x".into()],
            vec!["b".repeat(200).into(), "12".into(), "y".into()],
        ];
        let lines = lines(&[Align::Left, Align::Right, Align::Left], 0, rows);
        assert_eq!(lines[0].chars().count(), PAGE);
        assert!(
            lines[0].ends_with("   1  x") && lines[1].ends_with("  12  y"),
            "{lines:?}"
        );
        assert_eq!(cut("answers[model=tuned,shots=1]", 12), "answe..ts=1]");
        assert_eq!(cut("short", 12), "short");
    }
}
