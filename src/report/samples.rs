//! The samples of a group for the page: a first part inside it, all of them in files beside it that the
//! page loads when they are looked at. Pages opened from disk may not fetch data, but they may run
//! scripts: each file is a call with JSON in it.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::{Value, json};

use super::comparison::Spread;
use super::material::{Group, ReportError};
use super::ranking;
use super::rows::{Row, Rows};
use super::words::Words;
use crate::metrics::Range;

/// Bytes of a file of samples: read in a few milliseconds.
const CHUNK: usize = 256 << 10;

/// Bytes of samples inside the page, of all groups together. What fits wholly needs no files.
const INSIDE: usize = 480 << 10;

/// Bytes and rows inside the page of a group that does not fit: the first screens.
const FIRST: (usize, usize) = (120 << 10, 12);

/// The samples of one group, as the template needs them.
#[derive(Serialize)]
pub(super) struct Samples {
    number: usize,
    title: String,
    rows: u64,
    /// What the page's script reads, safe inside a script element.
    json: String,
    /// Whether there are files beside the page.
    files: bool,
    /// How the scores of each system's samples by the leading metric are spread.
    #[serde(skip)]
    pub(super) spreads: Vec<Option<Spread>>,
}

/// Writes the samples of all groups below a report's folder; `None` for a group without any.
///
/// # Errors
/// Files that cannot be read or written.
pub(super) fn write(
    groups: &[Group],
    colours: impl Fn(&Group) -> Vec<String>,
    words: &Words,
    out: &Path,
) -> Result<Vec<Option<Samples>>, ReportError> {
    let has_samples = |group: &&Group| group.systems.iter().any(|system| system.samples > 0);
    let share = INSIDE / groups.iter().filter(has_samples).count().max(1);
    let group = |(index, group): (usize, &Group)| {
        let samples = || write_group(group, index + 1, share, &colours(group), words, out);
        has_samples(&group).then(samples).transpose()
    };
    groups.iter().enumerate().map(group).collect()
}

fn write_group(
    group: &Group,
    number: usize,
    inside: usize,
    colours: &[String],
    words: &Words,
    out: &Path,
) -> Result<Samples, ReportError> {
    let metrics: Vec<_> = ranking::metrics(group)
        .into_iter()
        .filter(|metric| !matches!(metric.range, Range::Perplexity | Range::Bits))
        .collect();
    let names: Vec<&str> = metrics.iter().map(|metric| metric.name).collect();
    let folder = out.join("samples").join(number.to_string());
    let mut files = Chunks::new(folder.clone(), number, inside);
    // [metric][system][row]; half a megabyte for a hundred thousand
    let mut values: Vec<Vec<Vec<f32>>> = vec![vec![Vec::new(); group.systems.len()]; names.len()];
    for row in Rows::of(group)? {
        let row = row?;
        for (name, values) in names.iter().zip(&mut values) {
            for (sample, values) in row.iter().zip(values) {
                let value = sample.as_ref().and_then(|sample| sample.scores.get(*name)?.as_f64());
                values.push(value.map_or(f32::NAN, |value| value as f32));
            }
        }
        files.push(&row_json(&row, &names))?;
    }
    let (first, chunks) = files.finish()?;
    let rows = group.systems.iter().map(|system| system.samples).max().unwrap_or(0);
    let beside = !chunks.is_empty();
    if beside {
        for (index, (name, values)) in names.iter().zip(&values).enumerate() {
            write_values(&folder.join(format!("metric-{index}.js")), number, name, values)?;
        }
    }
    let system =
        |(system, colour): (&super::System, &String)| json!({"label": ranking::label(system), "colour": colour});
    let metric = |metric: &crate::metrics::Facts| {
        let decimals = if matches!(metric.range, Range::Percent | Range::ErrorRate) {
            1
        } else {
            3
        };
        json!({"name": metric.name, "label": words.label(*metric), "decimals": decimals, "good": ranking::good_end(metric.range)})
    };
    let leading = ranking::leading(&metrics);
    let spreads =
        match leading.and_then(|leading| Some((leading, names.iter().position(|name| *name == leading.name)?))) {
            Some((leading, at)) => values[at].iter().map(|values| spread(values, leading.range)).collect(),
            None => Vec::new(),
        };
    let head = json!({
        "group": number,
        "rows": rows,
        "chunks": chunks,
        "systems": group.systems.iter().zip(colours).map(system).collect::<Vec<_>>(),
        "metrics": metrics.iter().map(metric).collect::<Vec<_>>(),
        "shown": chosen(group, leading),
        "leading": leading.map(|metric| metric.name),
    });
    let head = head.to_string();
    let open = head.strip_suffix('}').unwrap_or(&head);
    Ok(Samples {
        number,
        title: group.title.clone(),
        rows,
        json: inert(&format!("{open},\"first\":[{}]}}", first.join(","))),
        files: beside,
        spreads,
    })
}

/// The systems that are shown at first: all of a few, else the best, the first and some more.
fn chosen(group: &Group, leading: Option<crate::metrics::Facts>) -> Vec<usize> {
    const ALL: usize = 9;
    const SOME: usize = 6;
    let count = group.systems.len();
    if count <= ALL {
        return (0..count).collect();
    }
    let mut chosen = leading.map(|metric| ranking::best(group, metric)).unwrap_or_default();
    chosen.truncate(SOME / 2);
    let rest = (0..count)
        .filter(|index| !chosen.contains(index))
        .take(SOME - chosen.len());
    let rest: Vec<usize> = rest.collect();
    chosen.extend(rest);
    chosen.sort_unstable();
    chosen
}

/// How many values lie in each sixteenth of a range; `None` without any.
fn spread(values: &[f32], range: Range) -> Option<Spread> {
    const PARTS: usize = 16;
    let most = if matches!(range, Range::Percent | Range::ErrorRate) {
        100.0
    } else {
        1.0
    };
    let mut parts = vec![0; PARTS];
    for value in values.iter().filter(|value| value.is_finite()) {
        let part = (f64::from(*value) / most * PARTS as f64)
            .floor()
            .clamp(0.0, PARTS as f64 - 1.0);
        parts[part as usize] += 1;
    }
    parts.iter().any(|count| *count > 0).then_some(parts)
}

/// A row as the page reads it: `i` the sample, `r` its references, `p` the prompts (each once), `o` an
/// output a system: text, prompt, how it ended, tokens read, tokens written, its score by each metric.
fn row_json(row: &Row, metrics: &[&str]) -> String {
    let mut prompts: Vec<&str> = Vec::new();
    let mut references: &[String] = &[];
    let mut id = "";
    let outputs: Vec<Value> = row
        .iter()
        .map(|sample| {
            let Some(scored) = sample else {
                return Value::Null;
            };
            let sample = &scored.sample;
            id = &sample.id;
            references = &sample.references;
            let prompt = prompts.iter().position(|known| *known == sample.prompt);
            let prompt = prompt.unwrap_or_else(|| {
                prompts.push(&sample.prompt);
                prompts.len() - 1
            });
            let rounded = |value: f64| (value * 1e4).round() / 1e4;
            let score = |name: &&str| scored.scores.get(*name).and_then(Value::as_f64).map(rounded);
            let scores: Vec<Option<f64>> = metrics.iter().map(score).collect();
            json!([
                sample.output,
                prompt,
                sample.finish,
                sample.prompt_tokens,
                sample.output_tokens,
                scores
            ])
        })
        .collect();
    json!({"i": id, "r": references, "p": prompts, "o": outputs}).to_string()
}

/// JSON that neither ends a script element nor opens a comment in one, in any parser.
pub(super) fn inert(json: &str) -> String {
    json.replace('<', "\\u003c")
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029")
}

/// Rows on their way into the page and into files.
struct Chunks {
    folder: PathBuf,
    number: usize,
    inside: usize,
    /// Rows for the page while all of them may fit; then only the first.
    first: Vec<String>,
    first_bytes: usize,
    fits: bool,
    /// Whether the next row in a file may be one of the first in the page as well.
    first_open: bool,
    open: Vec<String>,
    open_bytes: usize,
    /// The first row of each file.
    starts: Vec<usize>,
    /// Rows in files so far.
    written: usize,
}

impl Chunks {
    fn new(folder: PathBuf, number: usize, inside: usize) -> Self {
        Self {
            folder,
            number,
            inside,
            first: Vec::new(),
            first_bytes: 0,
            fits: true,
            first_open: true,
            open: Vec::new(),
            open_bytes: 0,
            starts: Vec::new(),
            written: 0,
        }
    }

    fn push(&mut self, row: &str) -> Result<(), ReportError> {
        if self.fits {
            self.first.push(row.to_owned());
            self.first_bytes += row.len();
            if self.first_bytes <= self.inside {
                return Ok(());
            }
            // too many for the page: all go into files, and the first stay
            self.fits = false;
            for row in std::mem::take(&mut self.first) {
                self.add(row)?;
            }
            return Ok(());
        }
        self.add(row.to_owned())
    }

    fn add(&mut self, row: String) -> Result<(), ReportError> {
        if self.first_open {
            let bytes: usize = self.first.iter().map(String::len).sum();
            self.first_open = self.first.len() < FIRST.1 && bytes + row.len() <= FIRST.0;
        }
        if self.first_open {
            self.first.push(row.clone());
        }
        self.open_bytes += row.len();
        self.open.push(row);
        if self.open_bytes >= CHUNK {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), ReportError> {
        if self.open.is_empty() {
            return Ok(());
        }
        let rows = std::mem::take(&mut self.open);
        self.open_bytes = 0;
        let (number, index) = (self.number, self.starts.len());
        let name = self.folder.join(format!("{index}.js"));
        self.starts.push(self.written);
        self.written += rows.len();
        to_file(&name, |file| {
            write!(file, "fragua.chunk({number},{index},[")?;
            for (at, row) in rows.iter().enumerate() {
                let comma = if at > 0 { ",\n" } else { "" };
                write!(file, "{comma}{}", inert(row))?;
            }
            file.write_all(b"]);\n")
        })
    }

    fn finish(mut self) -> Result<(Vec<String>, Vec<usize>), ReportError> {
        self.flush()?;
        Ok((self.first, self.starts))
    }
}

fn write_values(path: &Path, number: usize, metric: &str, values: &[Vec<f32>]) -> Result<(), ReportError> {
    to_file(path, |file| {
        write!(file, "fragua.values({number},{},[", inert(&json!(metric).to_string()))?;
        for (at, system) in values.iter().enumerate() {
            file.write_all(if at > 0 { b",\n[" } else { b"[" })?;
            for (at, value) in system.iter().enumerate() {
                if at > 0 {
                    file.write_all(b",")?;
                }
                if value.is_finite() {
                    write!(file, "{}", (f64::from(*value) * 1e4).round() / 1e4)?;
                } else {
                    file.write_all(b"null")?;
                }
            }
            file.write_all(b"]")?;
        }
        file.write_all(b"]);\n")
    })
}

/// Writes a file below the report, its folder made when it is not there.
pub(super) fn to_file(
    path: &Path,
    content: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> Result<(), ReportError> {
    let write = || {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut file = BufWriter::new(File::create(path)?);
        content(&mut file)?;
        file.flush()
    };
    write().map_err(|source| ReportError::Write {
        path: path.to_owned(),
        source,
    })
}
