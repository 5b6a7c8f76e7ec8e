//! The comparison for other tools: `scores.json` for programs, `report.md` for a pull request, a LaTeX
//! table for a paper. They have the rows and columns of the page's tables.

use serde_json::{Map, json};

use super::comparison::{Cell, Row, Table};
use super::summary::Summary;
use super::words::Words;
use super::write::Options;

/// `scores.json`: the headline and each table, with raw values. What was not measured is not there.
pub(super) fn json(options: &Options, summary: &Summary, tables: &[Table]) -> String {
    let system = |table: &Table, row: &Row| {
        let scores = table.columns.iter().zip(&row.cells).filter_map(|(column, cell)| {
            let cell = cell.as_ref()?;
            let score = json!({
                "value": cell.value, "n": cell.n, "low": cell.low, "high": cell.high,
                "text": cell.text, "best": cell.best, "difference": cell.difference, "p": cell.p, "supported": cell.supported,
                "signature": cell.signature,
            });
            Some((column.name.to_owned(), score))
        });
        let axes = table
            .axes
            .iter()
            .cloned()
            .zip(row.axes.iter().map(|value| json!(value)));
        json!({
            "system": row.label,
            "instance": row.instance,
            "axes": axes.collect::<Map<_, _>>(),
            "baseline": row.is_baseline,
            "tied_with_best": row.tied,
            "scores": scores.collect::<Map<_, _>>(),
        })
    };
    let group = |table: &Table| {
        let metric = |column: &super::comparison::Heading| json!({"metric": column.name, "label": column.label, "good": column.good, "leading": column.leading});
        json!({
            "title": table.title,
            "axes": table.axes,
            "metrics": table.columns.iter().map(metric).collect::<Vec<_>>(),
            "systems": table.rows.iter().map(|row| system(table, row)).collect::<Vec<_>>(),
        })
    };
    let value = json!({
        "version": 1,
        "title": options.title,
        "headline": summary.headline(),
        "groups": tables.iter().map(group).collect::<Vec<_>>(),
    });
    format!("{value:#}\n")
}

/// `report.md`: the summary and the tables, short enough to read in a pull request.
pub(super) fn markdown(options: &Options, summary: &Summary, tables: &[Table], words: &Words) -> String {
    let mut text = format!("# {}\n\n", plain(&options.title));
    if !options.about.is_empty() {
        text += &format!("{}\n\n", plain(&options.about));
    }
    if !summary.sentence.is_empty() {
        text += &format!("**{}** {}\n\n", plain(&summary.sentence), plain(&summary.caution));
    }
    for table in tables {
        text += &format!("## {}\n\n{}.\n\n", plain(&table.title), table.n);
        let mut heads: Vec<String> = table.axes.iter().map(|axis| plain(axis)).collect();
        if heads.is_empty() {
            heads.push(words.get("system").to_owned());
        }
        let rule = heads.iter().map(|_| "---").chain(table.columns.iter().map(|_| "---:"));
        let rule: Vec<&str> = rule.collect();
        heads.extend(
            table
                .columns
                .iter()
                .map(|column| format!("{} {}", column.label, arrow(column.good))),
        );
        text += &format!("| {} |\n| {} |\n", heads.join(" | "), rule.join(" | "));
        for row in &table.rows {
            let mut cells: Vec<String> = match row.axes.as_slice() {
                [] => vec![plain(&row.label)],
                axes => axes.iter().map(|value| plain(value)).collect(),
            };
            if row.is_baseline
                && let Some(last) = cells.last_mut()
            {
                *last += &format!(" ({})", words.get("baseline"));
            }
            let cell = |cell: &Option<Cell>| match cell {
                None => "—".to_owned(),
                Some(cell) => {
                    let value = if cell.best {
                        format!("**{}**", cell.text)
                    } else {
                        cell.text.clone()
                    };
                    match cell.difference.as_ref().or(cell.interval.as_ref()) {
                        Some(beside) if cell.supported == Some(true) => format!("{value} ({beside}\\*)"),
                        Some(beside) => format!("{value} ({beside})"),
                        None => value,
                    }
                }
            };
            cells.extend(row.cells.iter().map(cell));
            text += &format!("| {} |\n", cells.join(" | "));
        }
        if let Some(test) = &table.test {
            text += &format!("\n{}\n", plain(test));
        }
        text += "\n";
    }
    text
}

fn arrow(good: &str) -> &'static str {
    match good {
        "higher" => "↑",
        "lower" => "↓",
        _ => "→ 1",
    }
}

/// Text that Markdown takes as text: nothing in it is a link, a heading, HTML or the end of a cell.
fn plain(text: &str) -> String {
    let mut safe = String::new();
    for c in text.chars() {
        match c {
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' | '#' | '!' | '@' => safe.extend(['\\', c]),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '&' => safe.push_str("&amp;"),
            c if c.is_control() => safe.push(' '),
            c => safe.push(c),
        }
    }
    safe
}

/// `scores.tex`: a `tabular` a group, best values in bold. Needs the package `booktabs`.
pub(super) fn latex(tables: &[Table], words: &Words) -> String {
    let mut text = String::from("% \\usepackage{booktabs}\n");
    for table in tables {
        let axes = table.axes.len().max(1);
        let columns = format!("{}{}", "l".repeat(axes), "r".repeat(table.columns.len()));
        text += &format!(
            "\n% {}\n\\begin{{tabular}}{{{columns}}}\n\\toprule\n",
            comment(&table.title)
        );
        let mut heads: Vec<String> = table.axes.iter().map(|axis| tex(axis)).collect();
        if heads.is_empty() {
            heads.push(tex(words.get("system")));
        }
        heads.extend(table.columns.iter().map(|column| {
            let arrow = match column.good {
                "higher" => " $\\uparrow$",
                "lower" => " $\\downarrow$",
                _ => "",
            };
            format!("{}{arrow}", tex(&column.label))
        }));
        text += &format!("{} \\\\\n\\midrule\n", heads.join(" & "));
        for row in &table.rows {
            let mut cells: Vec<String> = match row.axes.as_slice() {
                [] => vec![tex(&row.label)],
                axes => axes.iter().map(|value| tex(value)).collect(),
            };
            cells.extend(row.cells.iter().map(|cell| match cell {
                None => "--".to_owned(),
                Some(cell) if cell.best => format!("\\textbf{{{}}}", tex(&cell.text)),
                Some(cell) => tex(&cell.text),
            }));
            text += &format!("{} \\\\\n", cells.join(" & "));
        }
        text += "\\bottomrule\n\\end{tabular}\n";
    }
    text
}

/// Text that LaTeX sets as it is.
fn tex(text: &str) -> String {
    let mut safe = String::new();
    for c in text.chars() {
        match c {
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => safe.extend(['\\', c]),
            '~' => safe.push_str("\\textasciitilde{}"),
            '^' => safe.push_str("\\textasciicircum{}"),
            '\\' => safe.push_str("\\textbackslash{}"),
            '\u{2212}' => safe.push_str("$-$"),
            '—' => safe.push_str("---"),
            c if c.is_control() => safe.push(' '),
            c => safe.push(c),
        }
    }
    safe
}

/// A comment ends with its line.
fn comment(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_text_in_markdown_and_latex() {
        assert_eq!(plain("a|b <i> [x](y)"), "a\\|b &lt;i&gt; \\[x\\](y)");
        assert_eq!(plain("@everyone"), "\\@everyone");
        assert_eq!(tex("50% of \\x_1\n"), "50\\% of \\textbackslash{}x\\_1 ");
    }
}
