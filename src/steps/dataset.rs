//! `dataset`: rows from files or a grammar, selected and split.

use anyhow::{Context as _, bail};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::data::grammar::Grammar;
use crate::data::read::{Format, Unit};
use crate::data::select::{Dedupe, Fields};
use crate::data::split::Split;
use crate::data::{DataError, Row, WHOLE, expand, rows, select};
use crate::seed::Seed;
use crate::step::{
    ArtifactType, Context, FilePath, Input, Interrupted, Key, KeyError, Kind, Needs, Problem, Step, parse_as, schema_of,
};

/// Reads rows from files, or makes them from a grammar, and selects and splits them.
///
/// In this order: read, `fields`, `dedupe`, `shuffle`, `limit`, `split`. Rows that are not what the
/// format says are errors with file and line; nothing is dropped that is not reported.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Dataset {
    /// A path, a pattern (`data/*.jsonl`, files sorted by name), or a list of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<Files>,
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

/// One path or pattern, or several.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Files {
    /// `data/*.jsonl`
    One(FilePath),
    /// `[a.jsonl, b.jsonl]`
    Many(#[schemars(length(min = 1))] Vec<FilePath>),
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
struct Selected {
    parts: Vec<(&'static str, Vec<Row>)>,
    counts: Map<String, Value>,
}

impl Dataset {
    fn patterns(&self) -> &[FilePath] {
        match &self.files {
            None => &[],
            Some(Files::One(path)) => std::slice::from_ref(path),
            Some(Files::Many(paths)) => paths,
        }
    }

    /// All files with their formats, in order.
    fn sources(&self) -> Result<Vec<(std::path::PathBuf, Format)>, (usize, DataError)> {
        let mut sources = Vec::new();
        for (at, pattern) in self.patterns().iter().enumerate() {
            for file in expand(pattern.as_path()).map_err(|error| (at, error))? {
                let format = match self.format {
                    Some(format) => format,
                    None => Format::of(&file).map_err(|error| (at, error))?,
                };
                sources.push((file, format));
            }
        }
        Ok(sources)
    }

    fn unit(&self) -> Unit {
        self.text.unwrap_or_default()
    }

    fn read(&self, context: &Context) -> anyhow::Result<Vec<Row>> {
        if let Some(Generate { grammar, rows }) = &self.generate {
            return Ok(Grammar::load(grammar.as_path())?.rows(*rows, context.seed())?);
        }
        let sources = self.sources().map_err(|(_, error)| error)?;
        let mut rows = Vec::new();
        for (done, (file, format)) in (1..).zip(&sources) {
            if context.stopping() {
                return Err(Interrupted.into());
            }
            rows.extend(format.read(file, self.unit())?);
            context.progress(done, sources.len() as u64, "files", format!("{} rows", rows.len()));
        }
        Ok(rows)
    }

    /// Whether the rows are one whole text, which is cut by position.
    fn is_one_text(&self, rows: &[Row]) -> bool {
        let sources = self.sources().unwrap_or_default();
        self.unit() == Unit::File && matches!(sources[..], [(_, Format::Text)]) && rows.len() == 1
    }

    fn select(&self, mut rows: Vec<Row>, seed: Option<Seed>) -> anyhow::Result<Selected> {
        let mut counts = Map::new();
        counts.insert("read".into(), json!(rows.len()));
        if let Some(fields) = &self.fields {
            rows = fields.of(rows).context("`fields`")?;
        }
        let before = rows.len();
        rows = self.dedupe.of(rows).context("`dedupe`")?;
        counts.insert("duplicates".into(), json!(before - rows.len()));
        if let (true, Some(seed)) = (self.shuffle, seed) {
            select::shuffle(&mut rows, seed.child("shuffle"));
        }
        let before = rows.len();
        rows.truncate(self.limit.unwrap_or(usize::MAX));
        counts.insert("over_limit".into(), json!(before - rows.len()));
        let before = rows.len();
        let parts = match (&self.split, seed) {
            (None, _) => vec![(WHOLE, rows)],
            (Some(split), _) if self.is_one_text(&rows) => {
                let (field, text) = rows[0].iter().next().context("`fields` leaves nothing of the text")?;
                split.text(field, text.as_str().context("a text file gives text")?)?
            }
            (Some(split), Some(seed)) => split.rows(rows, seed.child("split"))?,
            (Some(_), None) => bail!("a split draws from the seed"),
        };
        let kept: usize = parts.iter().map(|(_, rows)| rows.len()).sum();
        counts.insert("in_no_split".into(), json!(before.saturating_sub(kept)));
        Ok(Selected { parts, counts })
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
        match &self.split {
            Some(split) => split.names().into_iter().map(str::to_owned).collect(),
            None => Vec::new(),
        }
    }

    fn check(&self, _inputs: &[Input]) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.files.is_some() == self.generate.is_some() {
            let problem = Problem::at("", "needs exactly one of `files` and `generate`");
            problems.push(problem.help("write the path of a file: `files: data.jsonl`"));
        }
        if let Some(Err(error)) = self.split.map(|split| split.check()) {
            problems.push(Problem::at("split", error.to_string()));
        }
        if let Some(generate) = &self.generate {
            if let Err(error) = Grammar::load(generate.grammar.as_path()) {
                problems.push(Problem::at("generate.grammar", error.to_string()));
            }
            for (field, given) in [("format", self.format.is_some()), ("text", self.text.is_some())] {
                if given {
                    problems.push(Problem::at(field, "is for `files`: a grammar gives rows as they are"));
                }
            }
        }
        match self.sources() {
            Err((at, error)) => {
                let many = matches!(self.files, Some(Files::Many(_)));
                let place = if many { format!("files.{at}") } else { "files".into() };
                problems.push(Problem::at(&place, error.to_string()));
            }
            Ok(sources) => {
                let text = sources.iter().any(|(_, format)| *format == Format::Text);
                if self.text.is_some() && !sources.is_empty() && !text {
                    problems.push(Problem::at("text", "is for text files, and none of the files is one"));
                }
            }
        }
        problems
    }

    fn key(&self, key: &mut Key) -> Result<(), KeyError> {
        let Self {
            files: _,
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
        let sources = self.sources().map_err(|(at, error)| KeyError {
            path: self.patterns()[at].written().to_owned(),
            source: std::io::Error::new(std::io::ErrorKind::NotFound, error.to_string()),
        })?;
        for (number, (file, format)) in sources.iter().enumerate() {
            key.nest(&format!("files.{number}"), |key| {
                key.set("format", format);
                if *format == Format::Text {
                    key.set("text", &self.unit());
                }
                key.file("content", &file.clone().into())
            })?;
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
        let rows = self.read(context)?;
        if rows.is_empty() {
            bail!("the files hold no rows");
        }
        if context.stopping() {
            return Err(Interrupted.into());
        }
        let seed = self.needs().seed.then(|| context.seed());
        let Selected { parts, counts } = self.select(rows, seed)?;
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
