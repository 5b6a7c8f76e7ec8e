//! `dataset`: rows from files or a grammar, selected and split.

use anyhow::{Context as _, bail};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

mod sources;

use self::sources::{Files, Misread, Parallel, Part, Source};
use crate::data::grammar::Grammar;
use crate::data::read::{Aligned, Format, Unit};
use crate::data::select::{Dedupe, Fields};
use crate::data::split::Split;
use crate::data::{Row, WHOLE, rows, select};
use crate::seed::Seed;
use crate::step::{
    ArtifactType, Context, FilePath, Input, Interrupted, Key, KeyError, Kind, Needs, Problem, Step, parse_as, schema_of,
};

/// Reads rows from files, or makes them from a grammar, and selects and splits them.
///
/// In this order: read, `fields`, `dedupe`, `shuffle`, `limit`, `split`. Rows that are not what the
/// format says are errors with file and line; nothing is dropped that is not reported. Files whose names
/// end in `.gz` are read as what they hold. Of files that are given by split, each split is selected
/// by itself.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Dataset {
    /// A path, a pattern (`data/*.jsonl`, files sorted by name), or a list of them; or where the data
    /// are divided already, one of these for each split: `{train: a.jsonl, test: b.jsonl}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<Files>,
    /// Texts that are aligned by line, one row a line, instead: `{en: train.en.gz, de: train.de.gz}` makes
    /// rows of the fields `en` and `de`. Each is what `files` may be. Lines that are blank in one of
    /// the texts are counted and left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parallel: Option<Parallel>,
    /// Make rows from a grammar instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generate: Option<Generate>,
    /// The format of all files (without this, by each file's extension).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,
    /// What of a text file becomes a row, in the field `text`: the whole file, each line, or each
    /// paragraph (blank lines hold no row).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<Unit>,
    /// The fields to keep: a list, or a map of new names to old ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fields: Option<Fields>,
    /// Remove exact duplicates: `true` compares whole rows, a list of fields only those. The first of
    /// equal rows stays.
    #[serde(default)]
    pub dedupe: Dedupe,
    /// Put the rows in an order drawn from the seed.
    #[serde(default)]
    pub shuffle: bool,
    /// Keep the first so many rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub limit: Option<usize>,
    /// Divide the rows: fractions that sum to 1, or numbers of rows. Which row goes where is drawn
    /// from the seed. A single text file (`text: file`) is cut by position instead, its beginning into
    /// `train`. Without this there is one split, `all`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<Split>,
}

/// Rows from a grammar.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Generate {
    /// A minijinja template that prints one JSON object each time. Besides minijinja's own functions
    /// it has `pick(list)`, `sample(list, n)`, `shuffle(list)`, `number(low, high)` and `chance(p)`.
    pub grammar: FilePath,
    /// How many rows to make.
    #[schemars(range(min = 1, max = 10_000_000))]
    pub rows: usize,
}

/// The kind `dataset`.
pub const KIND: Kind = Kind {
    name: "dataset",
    about: "Reads rows from files or makes them from a grammar, selects and splits them.",
    version: 1,
    output: ArtifactType::Dataset,
    example: "uses: dataset\nwith: {files: dialogues.jsonl, split: {train: 0.8, validation: 0.1, test: 0.1}}",
    schema: schema_of::<Dataset>,
    parse: parse_as::<Dataset>,
};

/// The parts of a dataset and what became of the rows on the way.
#[derive(Default)]
struct Selected {
    parts: Vec<(&'static str, Vec<Row>)>,
    counts: Map<String, Value>,
}

impl Selected {
    fn count(&mut self, name: &str, rows: usize) {
        let before = self.counts.get(name).and_then(Value::as_u64).unwrap_or(0);
        self.counts.insert(name.into(), json!(before + rows as u64));
    }
}

impl Dataset {
    /// What each part is read from; nothing when a grammar makes the rows.
    fn sources(&self) -> Result<Vec<(Part, Source)>, Misread> {
        match (&self.files, &self.parallel) {
            (Some(files), _) => Source::of_files(files, self.format),
            (None, Some(texts)) => Source::of_texts(texts),
            (None, None) => Ok(Vec::new()),
        }
    }

    /// The parts in which the files come.
    fn given(&self) -> Vec<&'static str> {
        match (&self.files, &self.parallel) {
            (Some(files), _) => files.names(),
            (None, Some(texts)) => texts.parts(),
            (None, None) => Vec::new(),
        }
    }

    fn unit(&self) -> Unit {
        self.text.unwrap_or_default()
    }

    /// The rows of each part.
    fn read(&self, context: &Context) -> anyhow::Result<Vec<(Part, Aligned)>> {
        if let Some(Generate { grammar, rows }) = &self.generate {
            let rows = Grammar::load(grammar.as_path())?.rows(*rows, context.seed())?;
            return Ok(vec![(None, Aligned { rows, blank: 0 })]);
        }
        let mut parts = Vec::new();
        for (part, source) in self.sources().map_err(|misread| misread.error)? {
            let read = source.read(self.unit(), &mut |done, files, rows| {
                context.progress(done as u64, files as u64, "files", format!("{rows} rows"));
                if context.stopping() {
                    return Err(Interrupted.into());
                }
                Ok(())
            })?;
            if read.rows.is_empty() {
                match part {
                    Some(part) => bail!("the files of the part `{part}` hold no rows"),
                    None => bail!("the files hold no rows"),
                }
            }
            parts.push((part, read));
        }
        Ok(parts)
    }

    /// Whether the rows are one whole text, which is cut by position.
    fn is_one_text(&self, rows: &[Row]) -> bool {
        let sources = self.sources().unwrap_or_default();
        let [(_, Source::Files(files))] = sources.as_slice() else {
            return false;
        };
        self.unit() == Unit::File && matches!(files[..], [(_, Format::Text)]) && rows.len() == 1
    }

    fn select(&self, parts: Vec<(Part, Aligned)>, seed: Option<Seed>) -> anyhow::Result<Selected> {
        let mut selected = Selected::default();
        for (part, Aligned { mut rows, blank }) in parts {
            selected.count("read", rows.len());
            if self.parallel.is_some() {
                selected.count("blank", blank);
            }
            if let Some(fields) = &self.fields {
                rows = fields.of(rows).context("`fields`")?;
            }
            let before = rows.len();
            rows = self.dedupe.of(rows).context("`dedupe`")?;
            selected.count("duplicates", before - rows.len());
            if let (true, Some(seed)) = (self.shuffle, seed) {
                let seed = seed.child("shuffle");
                select::shuffle(&mut rows, part.map_or(seed, |part| seed.child(part)));
            }
            let before = rows.len();
            rows.truncate(self.limit.unwrap_or(usize::MAX));
            selected.count("over_limit", before - rows.len());
            let before = rows.len();
            let divided = match (part, &self.split, seed) {
                (Some(part), ..) => vec![(part, rows)],
                (None, None, _) => vec![(WHOLE, rows)],
                (None, Some(split), _) if self.is_one_text(&rows) => {
                    let (field, text) = rows[0].iter().next().context("`fields` leaves nothing of the text")?;
                    split.text(field, text.as_str().context("a text file gives text")?)?
                }
                (None, Some(split), Some(seed)) => split.rows(rows, seed.child("split"))?,
                (None, Some(_), None) => bail!("a split draws from the seed"),
            };
            let kept: usize = divided.iter().map(|(_, rows)| rows.len()).sum();
            selected.count("in_no_split", before.saturating_sub(kept));
            selected.parts.extend(divided);
        }
        Ok(selected)
    }

    /// Settings that are for other rows than these.
    fn misplaced(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.files.is_none() {
            let reason = match self.parallel {
                Some(_) => "is for `files`: of texts that are aligned, each line is a row",
                None => "is for `files`: a grammar gives rows as they are",
            };
            for (field, given) in [("format", self.format.is_some()), ("text", self.text.is_some())] {
                if given {
                    problems.push(Problem::at(field, reason));
                }
            }
        }
        let given = self.given();
        if self.split.is_some() && !given.is_empty() {
            let fact = format!("the files come in parts already: {}", given.join(", "));
            problems.push(Problem::at("split", fact).help("leave `split` out, or give the files in one list"));
        }
        if let Some(fact) = self.parallel.as_ref().and_then(Parallel::unlike) {
            problems.push(Problem::at("parallel", fact).help("give every text the same parts"));
        }
        problems
    }
}

impl Step for Dataset {
    fn needs(&self) -> Needs {
        Needs {
            seed: self.generate.is_some() || self.shuffle || self.split.is_some(),
            ..Needs::default()
        }
    }

    fn parts(&self) -> Vec<String> {
        let names = match (self.given(), &self.split) {
            (names, _) if !names.is_empty() => names,
            (_, Some(split)) => split.names(),
            (_, None) => Vec::new(),
        };
        names.into_iter().map(str::to_owned).collect()
    }

    fn check(&self, _inputs: &[Input]) -> Vec<Problem> {
        let mut problems = Vec::new();
        let from = [self.files.is_some(), self.generate.is_some(), self.parallel.is_some()];
        if from.into_iter().filter(|given| *given).count() != 1 {
            let problem = Problem::at("", "needs exactly one of `files`, `parallel` and `generate`");
            problems.push(problem.help("write the path of a file: `files: data.jsonl`"));
            return problems;
        }
        if let Some(Err(error)) = self.split.map(|split| split.check()) {
            problems.push(Problem::at("split", error.to_string()));
        }
        if let Some(generate) = &self.generate
            && let Err(error) = Grammar::load(generate.grammar.as_path())
        {
            problems.push(Problem::at("generate.grammar", error.to_string()));
        }
        problems.extend(self.misplaced());
        match self.sources() {
            Err(misread) => problems.push(Problem::at(&misread.place, misread.error.to_string())),
            Ok(sources) => {
                let is_text = |(_, source): &(Part, Source)| match source {
                    Source::Files(files) => files.iter().any(|(_, format)| *format == Format::Text),
                    Source::Aligned(_) => false,
                };
                if self.text.is_some() && self.files.is_some() && !sources.iter().any(is_text) {
                    problems.push(Problem::at("text", "is for text files, and none of the files is one"));
                }
            }
        }
        problems
    }

    fn key(&self, key: &mut Key) -> Result<(), KeyError> {
        let Self {
            files: _,
            parallel,
            generate,
            format: _,
            text: _,
            fields,
            dedupe,
            shuffle,
            limit,
            split,
        } = self;
        // files by content and by how they are read; names and patterns do not change rows
        let sources = self.sources().map_err(|misread| KeyError {
            path: misread.written,
            source: std::io::Error::new(std::io::ErrorKind::NotFound, misread.error.to_string()),
        })?;
        if let Some(texts) = parallel {
            key.set("parallel.fields", &texts.names());
        }
        for (part, source) in &sources {
            let part = part.map_or_else(String::new, |part| format!(".{part}"));
            match source {
                Source::Files(files) => {
                    for (number, (file, format)) in files.iter().enumerate() {
                        key.nest(&format!("files{part}.{number}"), |key| {
                            key.set("format", format);
                            if *format == Format::Text {
                                key.set("text", &self.unit());
                            }
                            key.file("content", &file.clone().into())
                        })?;
                    }
                }
                Source::Aligned(texts) => {
                    for (field, files) in texts {
                        for (number, file) in files.iter().enumerate() {
                            let place = format!("parallel.{field}{part}.{number}");
                            key.nest(&place, |key| key.file("content", &file.clone().into()))?;
                        }
                    }
                }
            }
        }
        if let Some(Generate { grammar, rows }) = generate {
            key.nest("generate", |key| {
                key.set("rows", rows);
                key.file("grammar", grammar)
            })?;
        }
        key.set("fields", fields);
        key.set("dedupe", dedupe);
        key.set("shuffle", shuffle);
        key.set("limit", limit);
        key.set("split", split);
        Ok(())
    }

    fn run(&self, context: &Context) -> anyhow::Result<()> {
        let read = self.read(context)?;
        if context.stopping() {
            return Err(Interrupted.into());
        }
        let seed = self.needs().seed.then(|| context.seed());
        let Selected { parts, counts } = self.select(read, seed)?;
        let mut sizes = Vec::new();
        for (name, rows) in &parts {
            rows::write(&context.out.join(name), rows, &Map::new())?;
            sizes.push(format!("{name} {}", rows.len()));
        }
        let count = |name: &str| counts.get(name).and_then(Value::as_u64).unwrap_or(0);
        context.info(format!(
            "{} rows read, {} duplicates removed, {} over the limit: {}",
            count("read"),
            count("duplicates"),
            count("over_limit"),
            sizes.join(", ")
        ));
        if count("blank") > 0 {
            context.warn(format!(
                "{} lines are blank in one of the texts, and no rows",
                count("blank")
            ));
        }
        if count("in_no_split") > 0 {
            context.warn(format!("{} rows are in no part of the split", count("in_no_split")));
        }
        let mut about = json!({"version": 1, "splits": {}});
        about.as_object_mut().context("made as an object")?.extend(counts);
        for (name, rows) in &parts {
            about["splits"][*name] = json!(rows.len());
        }
        let text = serde_json::to_string_pretty(&about)? + "\n";
        std::fs::write(context.out.join("info.json"), text).context("cannot write info.json")
    }
}
