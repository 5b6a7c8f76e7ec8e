//! Kinds for tests of the pipeline room: the settings of the real ones in small, and no work.
//! Used by the room's own tests too, so the contract is found through the parent module.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::contract::{
    ArtifactType, Context, Dataset, Derived, FilePath, Generations, Input, Key, KeyError, Kind, Model, Needs, Problem,
    Ref, Refs, Scores, Secret, Step, Tokenizer, TokenizerOrModel, parse_as, schema_of,
};

macro_rules! kinds {
    ($($name:literal: $settings:ident -> $output:ident),+ $(,)?) => {
        /// All of them.
        pub static KINDS: &[Kind] = &[$(Kind {
            name: $name,
            about: concat!("A ", $name, " in small."),
            version: 1,
            output: ArtifactType::$output,
            example: "",
            schema: schema_of::<$settings>,
            parse: parse_as::<$settings>,
        }),+];
    };
}

kinds! {
    "dataset": DatasetSettings -> Dataset,
    "tokenize": TokenizeSettings -> Tokenizer,
    "encode": EncodeSettings -> Tokens,
    "pretrain": PretrainSettings -> Model,
    "finetune": FinetuneSettings -> Model,
    "quantize": QuantizeSettings -> Model,
    "generate": GenerateSettings -> Generations,
    "evaluate": EvaluateSettings -> Scores,
    "report": ReportSettings -> Report,
    "publish": PublishSettings -> Report,
}

/// Sends a model away: it needs a secret.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PublishSettings {
    pub model: Ref<Model>,
    pub token: Secret,
    pub folder: Option<FilePath>,
    pub other: Option<FilePath>,
    pub name: Option<String>,
    #[serde(default)]
    pub private: bool,
    /// Whether the folder must be there.
    #[serde(default)]
    pub strict: bool,
}

macro_rules! no_work {
    () => {
        fn key(&self, _: &mut Key) -> Result<(), KeyError> {
            Ok(())
        }

        fn run(&self, _: &Context) -> anyhow::Result<()> {
            Ok(())
        }
    };
}

impl Step for PublishSettings {
    fn check(&self, inputs: &[Input]) -> Vec<Problem> {
        let Some(folder) = &self.folder else { return Vec::new() };
        let token = self.token.reveal().unwrap();
        let message = format!("no folder {} for {token}", folder.as_path().display());
        // a test asks without inputs
        let wrong = self.strict || inputs.is_empty();
        wrong.then(|| Problem::at("folder", message)).into_iter().collect()
    }

    no_work!();
}

/// Where rows come from.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Files {
    /// One path.
    One(FilePath),
    /// Several.
    Many(Vec<FilePath>),
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DatasetSettings {
    /// The files.
    pub files: Files,
    /// How they are written.
    pub format: Option<Format>,
    /// The fraction of each part.
    #[serde(default)]
    pub split: BTreeMap<String, f64>,
    /// Rows to keep.
    #[schemars(range(min = 1))]
    pub limit: Option<u32>,
    #[serde(default)]
    pub shuffle: bool,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// A JSON object a line.
    Jsonl,
    /// Comma-separated values.
    Csv,
    Text,
}

impl Step for DatasetSettings {
    fn parts(&self) -> Vec<String> {
        self.split.keys().cloned().collect()
    }

    fn check(&self, _: &[Input]) -> Vec<Problem> {
        let sum: f64 = self.split.values().sum();
        let mut problems = Vec::new();
        if !self.split.is_empty() && (sum - 1.0).abs() > 1e-9 {
            problems.push(Problem::at("split", format!("the parts add up to {sum}, not to 1")));
        }
        for (part, fraction) in &self.split {
            if *fraction <= 0.0 {
                problems.push(Problem::at(&format!("split.{part}"), "a part cannot be empty").help("leave it out"));
            }
        }
        problems
    }

    no_work!();
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenizeSettings {
    pub data: Ref<Dataset>,
    pub algorithm: Algorithm,
    #[schemars(range(min = 1, max = 1_000_000))]
    pub vocab_size: Option<u32>,
    /// Special tokens by role.
    #[serde(default)]
    pub special_tokens: BTreeMap<String, String>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Algorithm {
    Bpe,
    Char,
    Byte,
}

impl Step for TokenizeSettings {
    fn check(&self, _: &[Input]) -> Vec<Problem> {
        match (self.algorithm, self.vocab_size) {
            (Algorithm::Bpe, _) | (_, None) => Vec::new(),
            (_, Some(_)) => {
                let problem = Problem::at("vocab_size", "is only for `algorithm: bpe`");
                vec![problem.also("algorithm", "the algorithm").help("leave it out")]
            }
        }
    }

    no_work!();
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EncodeSettings {
    pub data: Ref<Dataset>,
    pub tokenizer: Ref<TokenizerOrModel>,
    pub template: Option<FilePath>,
}

impl Step for EncodeSettings {
    no_work!();
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PretrainSettings {
    pub data: Ref<Dataset>,
    pub tokenizer: Ref<Tokenizer>,
    pub model: ModelSettings,
    pub train: TrainSettings,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(tag = "architecture", rename_all = "lowercase", deny_unknown_fields)]
pub enum ModelSettings {
    Gpt2 {
        #[schemars(range(min = 1))]
        layers: u32,
        #[schemars(range(min = 1, max = 4096))]
        width: u32,
    },
    Llama {
        #[schemars(range(min = 1))]
        layers: u32,
        #[schemars(range(min = 1, max = 4096))]
        width: u32,
        kv_heads: Option<u32>,
    },
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrainSettings {
    #[schemars(range(min = 1))]
    pub updates: u32,
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub learning_rate: f64,
    pub schedule: Option<Schedule>,
    #[schemars(range(min = 0.0, max = 1.0))]
    #[serde(default)]
    pub dropout: f64,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Schedule {
    /// Falls along a cosine.
    Cosine,
    /// Stays.
    Constant,
}

fn encoded(data: &Ref<Dataset>, tokenizer: &str, template: Option<&FilePath>) -> Vec<Derived> {
    vec![Derived {
        field: "tokens",
        kind: "encode",
        label: format!("encode({}, {tokenizer})", data.text()),
        with: json!({ "data": data, "tokenizer": tokenizer, "template": template }),
    }]
}

impl Step for PretrainSettings {
    fn needs(&self) -> Needs {
        Needs {
            seed: true,
            device: true,
            lineage: false,
        }
    }

    fn derived(&self) -> Vec<Derived> {
        encoded(&self.data, self.tokenizer.text(), None)
    }

    no_work!();
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FinetuneSettings {
    pub model: Ref<Model>,
    pub data: Ref<Dataset>,
    pub template: FilePath,
    pub train: TrainSettings,
}

impl Step for FinetuneSettings {
    fn derived(&self) -> Vec<Derived> {
        encoded(
            &self.data,
            &format!("{}.tokenizer", self.model.text()),
            Some(&self.template),
        )
    }

    no_work!();
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QuantizeSettings {
    pub model: Ref<Model>,
    pub format: QuantizeFormat,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum QuantizeFormat {
    Fp16,
    Bf16,
    Int8,
}

impl Step for QuantizeSettings {
    no_work!();
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GenerateSettings {
    pub model: Ref<Model>,
    pub data: Ref<Dataset>,
    pub prompt: PromptSettings,
    #[serde(default)]
    pub sampling: SamplingSettings,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PromptSettings {
    pub template: FilePath,
    #[serde(default)]
    pub shots: u32,
    pub examples: Option<Ref<Dataset>>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SamplingSettings {
    #[schemars(range(min = 1))]
    pub max_new_tokens: Option<u32>,
    #[schemars(range(min = 0.0))]
    pub temperature: f64,
    #[schemars(length(min = 1))]
    pub stop: Option<Vec<String>>,
}

impl Step for GenerateSettings {
    fn check(&self, _: &[Input]) -> Vec<Problem> {
        if self.prompt.shots > 0 && self.prompt.examples.is_none() {
            let problem = Problem::at("prompt.shots", "shots need a pool of examples");
            return vec![problem.help("add `prompt.examples`: a part of a dataset")];
        }
        Vec::new()
    }

    no_work!();
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EvaluateSettings {
    pub generations: Ref<Generations>,
    #[schemars(length(min = 1))]
    pub metrics: Vec<Metric>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    Rouge,
    Bleu,
    ExactMatch,
}

impl Step for EvaluateSettings {
    no_work!();
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReportSettings {
    pub scores: Refs<Scores>,
    /// The axis values of the instance that others are compared with.
    #[serde(default)]
    pub baseline: BTreeMap<String, serde_json::Value>,
}

impl Step for ReportSettings {
    fn check(&self, inputs: &[Input]) -> Vec<Problem> {
        let axes: Vec<&str> = inputs
            .iter()
            .flat_map(|input| &input.axes)
            .map(|(axis, _)| axis.as_str())
            .collect();
        let unknown = self.baseline.keys().filter(|axis| !axes.contains(&axis.as_str()));
        unknown
            .map(|axis| Problem::at(&format!("baseline.{axis}"), format!("no scores have an axis `{axis}`")))
            .collect()
    }

    no_work!();
}
