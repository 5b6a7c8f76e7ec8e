//! `fragua score`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::arguments::Global;
use super::failure::Usage;
use super::print::line;
use super::score_output::{Comparison, Row, print};
use crate::metrics::{
    BleuSettings, ChrfSettings, Evaluated, ExactMatchSettings, Files, FilesError, Layout, MetricName, Mteval,
    Normalization, OwnScores, RougeReferences, RougeSettings, RougeWords, Scored, Settings, Smoothing, Stemmer, Tercom,
    Test, TokenF1Settings, every, holm, paired, score_files,
};
use crate::seed::Seed;

/// Shown after the help.
pub const EXAMPLES: &str = "Examples:
  fragua score --references ref.txt system.txt
  fragua score --metrics rouge --stemmer porter --references targets.txt predictions.txt --json
  fragua score --metrics bleu,chrf,ter --references a.txt --references b.txt base.txt tuned.txt --paired bootstrap
  fragua score --slices topic generations.jsonl
  cat system.txt | fragua score --references ref.txt -

Plain text has a segment a line; .jsonl and .csv files have one a row. A system is called after its
file. With --paired each system is compared with the first.";

/// `score`.
#[derive(Debug, Args)]
pub struct ScoreArguments {
    /// What systems wrote, a file each; `-` is standard input
    #[arg(required = true, value_name = "HYP")]
    pub systems: Vec<PathBuf>,

    /// References, a file each (repeatable); without, those beside the outputs
    #[arg(long, short, value_name = "REF")]
    pub references: Vec<PathBuf>,

    /// What to compute: rouge, rouge1 to rouge9, rougeL, bleu, chrf, chrf++, ter, exact_match, token_f1, ..
    #[arg(long, short, value_name = "NAMES", value_delimiter = ',', default_value = "rouge,bleu,chrf", value_parser = metric)]
    pub metrics: Vec<MetricName>,

    /// ROUGE: leave English endings aside
    #[arg(long, value_name = "none|porter", default_value = "none", value_parser = named::<Stemmer>)]
    pub stemmer: Stemmer,

    /// ROUGE and token F1: what a word is; `unicode` is right for every language but English
    #[arg(long, value_name = "ascii|unicode", default_value = "ascii", value_parser = named::<RougeWords>)]
    pub words: RougeWords,

    /// ROUGE: which of several references counts
    #[arg(long, value_name = "best|average", default_value = "best", value_parser = named::<RougeReferences>)]
    pub rouge_references: RougeReferences,

    /// BLEU: how words are cut
    #[arg(long, value_name = "13a|intl|char|none", default_value = "13a", value_parser = named::<Mteval>)]
    pub tokenize: Mteval,

    /// BLEU: what is done about an order without a match
    #[arg(long, value_name = "none|floor|add-k|exp", default_value = "exp", value_parser = named::<Smoothing>)]
    pub smooth: Smoothing,

    /// BLEU: the value that floor and add-k smooth with
    #[arg(long, value_name = "N")]
    pub smooth_value: Option<f64>,

    /// BLEU: leave orders longer than the output out
    #[arg(long)]
    pub effective_order: bool,

    /// BLEU and chrF: compare without case
    #[arg(long)]
    pub lowercase: bool,

    /// chrF: the longest run of characters
    #[arg(long, value_name = "N", default_value = "6")]
    pub chrf_char_order: usize,

    /// chrF: the longest run of words
    #[arg(long, value_name = "N", default_value = "0")]
    pub chrf_word_order: usize,

    /// chrF: how much more recall counts than precision
    #[arg(long, value_name = "N", default_value = "2")]
    pub chrf_beta: u32,

    /// chrF: count white space as characters
    #[arg(long)]
    pub chrf_whitespace: bool,

    /// chrF: smooth as chrF++.py does
    #[arg(long)]
    pub chrf_eps_smoothing: bool,

    /// TER: separate punctuation from words
    #[arg(long)]
    pub ter_normalized: bool,

    /// TER: remove punctuation
    #[arg(long)]
    pub ter_no_punct: bool,

    /// TER: treat Chinese and Japanese characters as words
    #[arg(long)]
    pub ter_asian_support: bool,

    /// TER: keep capital letters
    #[arg(long)]
    pub ter_case_sensitive: bool,

    /// Exact match: what is left aside
    #[arg(long, value_name = "none|squad", default_value = "none", value_parser = named::<Normalization>)]
    pub normalize: Normalization,

    /// Compare each system with the first by a paired test
    #[arg(long, value_name = "TEST")]
    pub paired: Option<PairedTest>,

    /// Trials of the paired test, or resamples of the intervals [default: 1000; 10000 for randomization]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub trials: Option<u64>,

    /// Show 95% bootstrap intervals
    #[arg(long)]
    pub confidence: bool,

    /// The seed of intervals and tests
    #[arg(long, value_name = "N", default_value = "12345")]
    pub seed: u64,

    /// Score every value of a field apart as well (repeatable, or with commas)
    #[arg(long, value_name = "FIELD", value_delimiter = ',')]
    pub slices: Vec<String>,

    /// The field of JSON lines or CSV that holds the outputs
    #[arg(long, value_name = "FIELD")]
    pub field: Option<String>,

    /// The field that holds the references
    #[arg(long, value_name = "FIELD")]
    pub reference_field: Option<String>,

    /// How all files are written [default: by their names]
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<Format>,

    /// Print each segment's own scores first
    #[arg(long)]
    pub segments: bool,
}

/// A paired test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PairedTest {
    /// Paired bootstrap resampling
    Bootstrap,
    /// Paired approximate randomization
    Randomization,
}

/// How files are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A segment a line
    Text,
    /// A JSON object a line
    Jsonl,
    /// Rows under a header
    Csv,
}

/// A setting by its name, as pipeline files spell it.
fn named<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_value(json!(text)).map_err(|error| error.to_string())
}

fn metric(text: &str) -> Result<MetricName, String> {
    let name = MetricName(text.trim().to_owned());
    let known = every();
    let of_texts = |name: &str| {
        let of_model = ["perplexity", "bits_per_byte"].contains(&name);
        !of_model && known.iter().any(|facts| facts.name == name)
    };
    if name.members().into_iter().all(of_texts) {
        return Ok(name);
    }
    let names: Vec<_> = known
        .iter()
        .map(|facts| facts.name)
        .filter(|name| of_texts(name))
        .collect();
    Err(format!(
        "there is no such metric of texts; there are rouge, classes, {}",
        names.join(", ")
    ))
}

impl ScoreArguments {
    fn settings(&self) -> Settings {
        Settings {
            rouge: RougeSettings {
                words: self.words,
                stemmer: self.stemmer,
                references: self.rouge_references,
            },
            bleu: BleuSettings {
                tokenize: self.tokenize,
                smooth: self.smooth,
                smooth_value: self.smooth_value,
                lowercase: self.lowercase,
                effective_order: self.effective_order,
            },
            chrf: ChrfSettings {
                char_order: self.chrf_char_order,
                word_order: self.chrf_word_order,
                beta: self.chrf_beta,
                lowercase: self.lowercase,
                whitespace: self.chrf_whitespace,
                eps_smoothing: self.chrf_eps_smoothing,
            },
            ter: Tercom {
                normalized: self.ter_normalized,
                no_punct: self.ter_no_punct,
                asian_support: self.ter_asian_support,
                case_sensitive: self.ter_case_sensitive,
            },
            exact_match: ExactMatchSettings {
                normalize: self.normalize,
            },
            token_f1: TokenF1Settings {
                words: match self.words {
                    RougeWords::Ascii => crate::metrics::AnswerWords::Squad,
                    RougeWords::Unicode => crate::metrics::AnswerWords::Unicode,
                },
            },
        }
    }

    fn files(&self) -> Files {
        Files {
            references: self.references.clone(),
            systems: self.systems.clone(),
            layout: self.format.map(|format| match format {
                Format::Text => Layout::Text,
                Format::Jsonl => Layout::Jsonl,
                Format::Csv => Layout::Csv,
            }),
            field: self.field.clone(),
            reference_field: self.reference_field.clone(),
            slices: self.slices.clone(),
        }
    }

    fn test(&self) -> Option<Test> {
        self.paired.map(|test| match test {
            PairedTest::Bootstrap => Test::Bootstrap,
            PairedTest::Randomization => Test::Randomization,
        })
    }
}

/// Scores files and prints a table, or JSON.
pub fn run(global: &Global, arguments: &ScoreArguments) -> anyhow::Result<u8> {
    let settings = arguments.settings();
    if let Some((setting, message)) = settings.problems().into_iter().next() {
        return Err(Usage(format!("{setting}: {message}")).into());
    }
    if arguments.paired.is_some() && arguments.systems.len() < 2 {
        return Err(Usage("a paired test compares systems: give two files or more".to_owned()).into());
    }
    let names: Vec<String> = arguments
        .metrics
        .iter()
        .flat_map(MetricName::members)
        .map(str::to_owned)
        .collect();
    let seed = Seed::root(arguments.seed);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(global.threads()).build()?;
    pool.install(|| {
        let mut each = |place: usize, segment: usize, scores: &[(&'static str, f64)]| {
            line(segment_line(global.json, &arguments.systems[place], segment, scores));
        };
        let each: Option<OwnScores<'_>> = if arguments.segments { Some(&mut each) } else { None };
        // what the slices' intervals are drawn from; those of whole systems may have other trials
        let slice_seed = (arguments.confidence && !arguments.slices.is_empty()).then_some(seed);
        let scored = score_files(&arguments.files(), &names, &settings, slice_seed, each).map_err(asked)?;
        let rows = rows(arguments, &scored, seed)?;
        print(global.json, arguments, &scored, &rows);
        Ok(0)
    })
}

/// What is wrong with the files is the command line's affair, but for files that cannot be read.
fn asked(error: FilesError) -> anyhow::Error {
    match error {
        FilesError::Segments(crate::metrics::SegmentsError::Read { .. }) => error.into(),
        error => Usage(error.to_string()).into(),
    }
}

fn segment_line(as_json: bool, system: &std::path::Path, segment: usize, scores: &[(&'static str, f64)]) -> String {
    let system = system.file_stem().unwrap_or(system.as_os_str()).to_string_lossy();
    if as_json {
        let scores: serde_json::Map<String, Value> = scores
            .iter()
            .map(|(metric, score)| ((*metric).to_owned(), json!(score)))
            .collect();
        return json!({"system": system, "segment": segment, "scores": scores}).to_string();
    }
    let scores: Vec<_> = scores
        .iter()
        .map(|(metric, score)| format!("{metric} {score:.4}"))
        .collect();
    format!("{system}:{segment}  {}", scores.join("  "))
}

/// A row a system and metric: its score, its interval, and how it differs from the first system.
fn rows(arguments: &ScoreArguments, scored: &[Scored], seed: Seed) -> anyhow::Result<Vec<Row>> {
    let test = arguments.test();
    let resamples = match (test, arguments.confidence) {
        (Some(Test::Bootstrap), _) => Some(arguments.trials.unwrap_or(Test::Bootstrap.usual_trials())),
        (Some(Test::Randomization), true) => Some(Test::Bootstrap.usual_trials()),
        (None, true) => Some(arguments.trials.unwrap_or(Test::Bootstrap.usual_trials())),
        (_, false) => None,
    };
    let trials = test.map(|test| (test, arguments.trials.unwrap_or(test.usual_trials())));
    let mut rows = Vec::new();
    for (system, evaluated) in scored {
        let intervals = resamples.map(|resamples| evaluated.resampled(resamples, seed));
        for (index, score) in evaluated.scores.iter().enumerate() {
            let resampled = intervals.as_ref().and_then(|intervals| intervals[index]);
            let mut score = score.clone();
            score.low = resampled.map(|resampled| resampled.low);
            score.high = resampled.map(|resampled| resampled.high);
            score.signature = signed(&score.signature, resamples, trials, arguments.seed);
            rows.push(Row {
                system: system.clone(),
                score,
                resampled,
                comparison: None,
            });
        }
    }
    if let Some((test, trials)) = trials {
        compare(&mut rows, scored, test, trials, seed)?;
    }
    Ok(rows)
}

/// A signature with the trials in sacreBLEU's place and order.
fn signed(signature: &str, resamples: Option<u64>, trials: Option<(Test, u64)>, seed: u64) -> String {
    let Some(at) = signature.find("|nrefs:") else {
        return signature.to_owned();
    };
    let end = signature[at + 1..]
        .find('|')
        .map_or(signature.len(), |length| at + 1 + length);
    let mut with = signature[..end].to_owned();
    if let Some(resamples) = resamples {
        with += &format!("|bs:{resamples}");
    }
    if let Some((test @ Test::Randomization, trials)) = trials {
        with += &format!("|{}:{trials}", test.key());
    }
    if resamples.is_some() || trials.is_some() {
        with += &format!("|seed:{seed}");
    }
    with + &signature[end..]
}

/// Compares each system with the first, by Holm's correction over the systems where they are several.
fn compare(rows: &mut [Row], scored: &[Scored], test: Test, trials: u64, seed: Seed) -> anyhow::Result<()> {
    let Some(((baseline, first), others)) = scored.split_first() else {
        return Ok(());
    };
    let each = |(_, other): &(String, Evaluated)| paired(first, other, test, trials, seed);
    let compared = others.iter().map(each).collect::<Result<Vec<_>, _>>()?;
    for metric in first.scores.iter().map(|score| score.metric.as_str()) {
        let of_metric: Vec<_> = compared
            .iter()
            .map(|all| all.iter().find(|one| one.metric == metric))
            .collect();
        let p_values: Vec<f64> = of_metric.iter().flatten().map(|one| one.p).collect();
        let mut corrected = holm(&p_values).into_iter();
        for ((system, _), one) in others.iter().zip(of_metric) {
            let row = rows
                .iter_mut()
                .find(|row| row.system == *system && row.score.metric == metric);
            if let (Some(row), Some(one), Some(p_holm)) = (row, one, one.and_then(|_| corrected.next())) {
                row.comparison = Some(Comparison {
                    baseline: baseline.clone(),
                    difference: one.difference,
                    p: one.p,
                    p_holm,
                    test,
                    trials,
                });
            }
        }
    }
    Ok(())
}
