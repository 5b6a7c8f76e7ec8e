//! Low-rank adaptation (LoRA: Hu et al. 2021): which matrices get a pair that is learned in their place,
//! and the pairs alone in the format of Hugging Face's peft.

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use self::matrices::{sides, times};
use super::files::write_tensors;
use super::model::write_json;
use super::{Architecture, Model, ModelConfig, ModelError, Role};
use crate::seed::Seed;
use crate::step::Key;

mod matrices;

pub(super) use self::matrices::matrices;

/// How pairs of small matrices are learned in the place of weights.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Lora {
    /// The rank of what is added to a weight: the number of rows of the pair's first matrix, and of columns
    /// of its second. peft's `r`.
    #[schemars(range(min = 1, max = 4096))]
    pub rank: usize,
    /// What is added is multiplied by `alpha / rank`. peft's `lora_alpha`.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub alpha: f64,
    /// The matrices that get a pair: `attention`, `mlp`, `all` of both, or names as the weights have them,
    /// whole or from a dot on (`q_proj`, `mlp.c_proj`). peft's `target_modules`.
    #[schemars(length(min = 1))]
    pub targets: Vec<String>,
}

impl Default for Lora {
    fn default() -> Self {
        Self {
            rank: 8,
            alpha: 16.0,
            targets: vec!["all".into()],
        }
    }
}

/// The folder of a model with its pairs alone.
const FOLDER: &str = "adapter";

/// Whether a name ends in another, whole or from a dot on.
pub(super) fn ends(name: &str, end: &str) -> bool {
    name.strip_suffix(end)
        .is_some_and(|before| before.is_empty() || before.ends_with('.'))
}

/// Whether a target means a matrix of an architecture.
fn means(target: &str, architecture: Architecture, matrix: &str) -> bool {
    let [attention, mlp] = matrices(architecture);
    match target {
        "all" => true,
        "attention" => attention.contains(&matrix),
        "mlp" => mlp.contains(&matrix),
        name => ends(matrix, name),
    }
}

/// All that can be a target of an architecture.
fn choices(architecture: Architecture) -> String {
    let names = matrices(architecture).concat();
    let names = names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>();
    format!("`attention`, `mlp`, `all`, {}", names.join(", "))
}

impl Lora {
    /// What is wrong with the targets for a model of an architecture, or of any while it is not known: the
    /// fact and the next move, with the index of the target if one is.
    pub fn problem(&self, architecture: Option<Architecture>) -> Option<(Option<usize>, String, String)> {
        let all = match &architecture {
            Some(architecture) => std::slice::from_ref(architecture),
            None => Architecture::ALL.as_slice(),
        };
        if let [only] = all
            && matrices(*only).concat().is_empty()
        {
            let fact = format!("`{}` has no matrices that low-rank pairs can stand beside", only.name());
            return Some((None, fact, "train all of it: `method: full`".into()));
        }
        let known = |target: &&String| {
            let means = |architecture: &Architecture| {
                let [attention, mlp] = matrices(*architecture);
                let mut matrices = attention.iter().chain(mlp);
                matrices.any(|matrix| means(target, *architecture, matrix))
            };
            all.iter().any(means)
        };
        let (index, target) = self.targets.iter().enumerate().find(|(_, target)| !known(target))?;
        let (of, help) = match architecture {
            Some(architecture) => (
                format!("`{}` has", architecture.name()),
                format!("it has {}", choices(architecture)),
            ),
            None => {
                let lists = all
                    .iter()
                    .filter(|one| !matrices(**one).concat().is_empty())
                    .map(|one| format!("{}: {}", one.name(), matrices(*one).concat().join(", ")));
                let lists = lists.collect::<Vec<_>>().join("; ");
                (
                    "an architecture has".into(),
                    format!("there are `attention`, `mlp`, `all`; {lists}"),
                )
            }
        };
        Some((Some(index), format!("no matrix that {of} is called `{target}`"), help))
    }

    /// What the result depends on, under `lora.`.
    pub fn key(&self, key: &mut Key<'_>) {
        let Self { rank, alpha, targets } = self;
        key.nest("lora", |key| {
            key.set("rank", rank);
            key.set("alpha", alpha);
            key.set("targets", targets);
        });
    }

    /// The numbers of all pairs of a model: what is learned of it.
    pub fn parameters(&self, config: &ModelConfig) -> u64 {
        let architecture = config.architecture();
        let names = matrices(architecture).concat().into_iter();
        let adapted = names.filter(|matrix| self.targets.iter().any(|target| means(target, architecture, matrix)));
        let numbers = adapted.map(|matrix| {
            let [inputs, outputs] = sides(config, matrix);
            let each = (self.rank as u64).saturating_mul((inputs + outputs) as u64);
            each.saturating_mul(times(config, matrix) as u64)
        });
        numbers.fold(0, u64::saturating_add)
    }

    fn scale(&self) -> f32 {
        (self.alpha / self.rank as f64) as f32
    }
}

impl Model {
    /// Holds all weights fast and puts a pair beside those that `lora` names: its first matrix drawn from
    /// `seed` as peft draws it (Kaiming uniform), its second zero, so that the model computes what it did.
    ///
    /// # Errors
    /// When a target is of no weight; what there is is listed.
    pub fn adapt(&mut self, lora: &Lora, seed: Seed) -> Result<(), ModelError> {
        let architecture = self.config().architecture();
        let [attention, mlp] = matrices(architecture);
        let unfit = |(_, fact, help)| ModelError::Adaptation(format!("{fact}; {help}"));
        lora.problem(Some(architecture)).map(unfit).map_or(Ok(()), Err)?;
        let mut used = vec![false; lora.targets.len()];
        let mut found = Vec::new(); // the matrices that this model has
        for weight in self.weights_mut() {
            weight.hold_fast();
            let name = module(weight.name());
            let matrix = attention.iter().chain(mlp).find(|matrix| ends(name, matrix));
            let (Some(matrix), Role::Matrix(_)) = (matrix, weight.role()) else {
                continue;
            };
            if !found.contains(matrix) {
                found.push(*matrix);
            }
            let mut wanted = false;
            for (target, used) in lora.targets.iter().zip(&mut used) {
                let means = means(target, architecture, matrix);
                *used |= means;
                wanted |= means;
            }
            if wanted {
                weight.adapt(lora.rank, lora.scale(), &seed);
            }
        }
        if let Some(unused) = used.iter().position(|used| !used) {
            return Err(ModelError::Adaptation(format!(
                "no matrix of this model is called `{}`; it has `attention`, `mlp`, `all`, {}",
                lora.targets[unused],
                found
                    .iter()
                    .map(|name| format!("`{name}`"))
                    .collect::<Vec<_>>()
                    .join(", ")
            )));
        }
        self.set_adaptation(lora.clone());
        Ok(())
    }

    /// Writes the pairs alone, in a folder as peft writes it.
    pub(super) fn save_adapter(&self, lora: &Lora, dir: &Path) -> Result<(), ModelError> {
        let folder = dir.join(FOLDER);
        std::fs::create_dir_all(&folder).map_err(ModelError::file(&folder))?;
        let pairs = self.learned().into_iter();
        let pairs: Vec<_> = pairs
            .map(|weight| (format!("base_model.model.{}", weight.name()), weight))
            .collect();
        write_tensors(&folder.join("adapter_model.safetensors"), &pairs)?;
        write_json(&folder.join("adapter_config.json"), self.adapter_config(lora))
    }

    /// `adapter_config.json`: of peft's `LoraConfig` what says how the pairs are used.
    fn adapter_config(&self, lora: &Lora) -> Map<String, Value> {
        let architecture = self.config().architecture();
        let names = matrices(architecture).concat();
        let adapted: Vec<&str> = self
            .weights()
            .into_iter()
            .filter(|weight| weight.low_rank().is_some())
            .map(|weight| module(weight.name()))
            .collect();
        let mut targets: Vec<_> = names
            .into_iter()
            .filter(|matrix| adapted.iter().any(|name| ends(name, matrix)))
            .collect();
        targets.sort_unstable();
        let Value::Object(object) = json!({
            "peft_type": "LORA",
            "task_type": if architecture.encodes() { "SEQ_2_SEQ_LM" } else { "CAUSAL_LM" },
            "base_model_name_or_path": null,
            "inference_mode": true,
            "r": lora.rank,
            "lora_alpha": whole(lora.alpha),
            "lora_dropout": 0.0,
            "target_modules": targets,
            // GPT-2's weights lie [in, out]
            "fan_in_fan_out": architecture == Architecture::Gpt2,
            "bias": "none",
            "init_lora_weights": true,
            "use_rslora": false,
            "use_dora": false,
        }) else {
            unreachable!("an object was written")
        };
        object
    }
}

/// A weight's name without its end: what peft calls a module.
fn module(name: &str) -> &str {
    name.strip_suffix(".weight").unwrap_or(name)
}

/// A number as peft writes it: without a point if it is whole.
fn whole(number: f64) -> Value {
    if number.fract() == 0.0 && number < 1e15 {
        json!(number as u64)
    } else {
        json!(number)
    }
}

/// The names of the two matrices beside a weight.
pub(super) fn names(weight: &str) -> [String; 2] {
    ["lora_A", "lora_B"].map(|side| format!("{}.{side}.weight", module(weight)))
}
