//! What a pipeline file says about how tokens are chosen.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::step::{Key, Problem};

/// How tokens are chosen and when to stop: the names and the meaning of Hugging Face's
/// `GenerationConfig`.
///
/// The order is theirs: penalties, n-grams, least length, forced and suppressed tokens, and when
/// sampling temperature, then `top_k`, `top_p`, `min_p`, `typical_p`. With `num_beams` above 1 the
/// likeliest outputs as a whole are searched for, or with a temperature sampled. Nothing is on that the file does not say (Hugging Face's `generate` samples with
/// `top_k: 50` unless told otherwise).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Sampling {
    /// The most tokens to generate for a row. Prompt and new tokens together must fit the model's
    /// context.
    #[schemars(range(min = 1))]
    pub max_new_tokens: usize,
    /// Logits are divided by it before sampling: below 1 sharper, above 1 flatter. 0 is greedy: the
    /// likeliest token each time, and `top_k` and `top_p` have no effect.
    #[schemars(range(min = 0.0))]
    pub temperature: f64,
    /// Sample only among the k likeliest tokens (and those that tie with the last); 0 is off.
    pub top_k: usize,
    /// Sample only among the fewest likeliest tokens whose probabilities add up to at least this;
    /// 1 is off.
    #[schemars(range(max = 1.0), extend("exclusiveMinimum" = 0))]
    pub top_p: f64,
    /// Makes tokens that are in the prompt or the output so far less likely: their logits are divided
    /// by it when positive, multiplied when negative (CTRL, arXiv 1909.05858); 1 is off.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub repetition_penalty: f64,
    /// Texts that end the output. The output stops before the first of them.
    #[schemars(inner(length(min = 1)))]
    pub stop: Vec<String>,
    /// The fewest tokens to generate: until then the end token is not chosen.
    pub min_new_tokens: usize,
    /// Sample only among tokens that are at least this share as likely as the likeliest; 0 is off.
    #[schemars(range(min = 0, max = 1))]
    pub min_p: f64,
    /// Sample only among the tokens whose surprise is nearest to the expected one, until their
    /// probabilities add up to this (arXiv 2202.00666); 1 is off.
    #[schemars(range(max = 1.0), extend("exclusiveMinimum" = 0))]
    pub typical_p: f64,
    /// Taken off the logit of each token that is in the output so far; negative makes it likelier.
    pub presence_penalty: f64,
    /// Taken off the logit of a token for each time that it is in the output so far.
    pub frequency_penalty: f64,
    /// No run of as many tokens comes twice in prompt and output; 0 is off.
    pub no_repeat_ngram_size: usize,
    /// The first token of every output, by its number.
    pub forced_bos_token_id: Option<u32>,
    /// The last token of an output that comes to `max_new_tokens`, by its number.
    pub forced_eos_token_id: Option<u32>,
    /// Tokens that are never chosen, by their numbers.
    pub suppress_tokens: Vec<u32>,
    /// Tokens that no output begins with, by their numbers.
    pub begin_suppress_tokens: Vec<u32>,
    /// Outputs that are followed side by side, the likeliest of which is kept; 1 is no search.
    #[schemars(range(min = 1, max = 1000))]
    pub num_beams: usize,
    /// A beam's score is the sum of its log-probabilities divided by its length to this power: above 0
    /// long outputs score higher, below 0 short ones.
    pub length_penalty: f64,
    /// When a beam search ends. `false`: when no beam could do better at its present length. `true`: as
    /// soon as `num_beams` outputs have ended. `never`: when no beam can do better at any length.
    pub early_stopping: EarlyStopping,
    /// Outputs for each row. The first is the row's output; with `num_beams` the best ones (at most as
    /// many), else drawn by seeds of their own; the others are its `alternatives`.
    #[schemars(range(min = 1, max = 1000))]
    pub num_return_sequences: usize,
    /// Whether outputs come with the log-probability that the model gave each token, before penalties
    /// and filters.
    pub logprobs: bool,
}

/// When a beam search ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EarlyStopping {
    /// When no beam could do better at its present length.
    #[default]
    Heuristic,
    /// As soon as `num_beams` outputs have ended.
    Always,
    /// When no beam can do better at any length.
    Never,
}

impl Serialize for EarlyStopping {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Heuristic => serializer.serialize_bool(false),
            Self::Always => serializer.serialize_bool(true),
            Self::Never => serializer.serialize_str("never"),
        }
    }
}

impl<'de> Deserialize<'de> for EarlyStopping {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::Bool(false) => Ok(Self::Heuristic),
            serde_json::Value::Bool(true) => Ok(Self::Always),
            serde_json::Value::String(text) if text == "never" => Ok(Self::Never),
            other => Err(serde::de::Error::custom(format!("{other} is not true, false or never"))),
        }
    }
}

impl JsonSchema for EarlyStopping {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "EarlyStopping".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "enum": [false, true, "never"],
        })
    }
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            max_new_tokens: 64,
            temperature: 0.0,
            top_k: 0,
            top_p: 1.0,
            repetition_penalty: 1.0,
            stop: Vec::new(),
            min_new_tokens: 0,
            min_p: 0.0,
            typical_p: 1.0,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            no_repeat_ngram_size: 0,
            forced_bos_token_id: None,
            forced_eos_token_id: None,
            suppress_tokens: Vec::new(),
            begin_suppress_tokens: Vec::new(),
            num_beams: 1,
            length_penalty: 1.0,
            early_stopping: EarlyStopping::default(),
            num_return_sequences: 1,
            logprobs: false,
        }
    }
}

impl Sampling {
    /// Whether the likeliest token is taken, without drawing.
    pub fn greedy(&self) -> bool {
        self.temperature == 0.0
    }

    /// The filters that are on, which act on sampling alone.
    pub fn filters(&self) -> Vec<&'static str> {
        let filters = [
            ("top_k", self.top_k > 0),
            ("top_p", self.top_p < 1.0),
            ("min_p", self.min_p > 0.0),
            ("typical_p", self.typical_p < 1.0),
        ];
        filters
            .into_iter()
            .filter(|(_, on)| *on)
            .map(|(name, _)| name)
            .collect()
    }

    /// Values out of range, as places under `sampling`.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut unless = |fine: bool, field: &str, fact: &str| {
            if !fine {
                problems.push(Problem::at(&format!("sampling.{field}"), fact));
            }
        };
        unless(self.max_new_tokens > 0, "max_new_tokens", "must be at least 1");
        unless(
            self.temperature.is_finite() && self.temperature >= 0.0,
            "temperature",
            "must be 0 (greedy) or above",
        );
        unless(
            self.top_p > 0.0 && self.top_p <= 1.0,
            "top_p",
            "must be above 0 and at most 1",
        );
        unless(
            self.repetition_penalty.is_finite() && self.repetition_penalty > 0.0,
            "repetition_penalty",
            "must be above 0; 1 is off",
        );
        unless(
            self.stop.iter().all(|text| !text.is_empty()),
            "stop",
            "a stop text is empty and would stop at once",
        );
        unless(
            self.min_new_tokens <= self.max_new_tokens,
            "min_new_tokens",
            "must be at most max_new_tokens",
        );
        unless(
            (0.0..=1.0).contains(&self.min_p),
            "min_p",
            "must be in 0 to 1; 0 is off",
        );
        unless(
            self.typical_p > 0.0 && self.typical_p <= 1.0,
            "typical_p",
            "must be above 0 and at most 1",
        );
        unless(
            self.presence_penalty.is_finite(),
            "presence_penalty",
            "must be a number",
        );
        unless(
            self.frequency_penalty.is_finite(),
            "frequency_penalty",
            "must be a number",
        );
        unless(self.length_penalty.is_finite(), "length_penalty", "must be a number");
        unless(
            (1..=1000).contains(&self.num_beams),
            "num_beams",
            "must be 1 to 1000; 1 is no search",
        );
        let returned = self.num_return_sequences;
        unless(
            (1..=1000).contains(&returned),
            "num_return_sequences",
            "must be 1 to 1000",
        );
        unless(
            returned <= 1 || self.num_beams == 1 || returned <= self.num_beams,
            "num_return_sequences",
            "must be at most num_beams",
        );
        unless(
            returned <= 1 || self.num_beams > 1 || !self.greedy(),
            "num_return_sequences",
            "several outputs of a row are the same without a temperature or num_beams",
        );
        unless(
            self.num_beams > 1 || self.length_penalty == 1.0,
            "length_penalty",
            "is for num_beams above 1",
        );
        unless(
            self.num_beams > 1 || self.early_stopping == EarlyStopping::default(),
            "early_stopping",
            "is for num_beams above 1",
        );
        problems
    }

    /// Everything that the output depends on.
    pub fn key(&self, key: &mut Key) {
        let Self {
            max_new_tokens,
            temperature,
            top_k,
            top_p,
            repetition_penalty,
            stop,
            min_new_tokens,
            min_p,
            typical_p,
            presence_penalty,
            frequency_penalty,
            no_repeat_ngram_size,
            forced_bos_token_id,
            forced_eos_token_id,
            suppress_tokens,
            begin_suppress_tokens,
            num_beams,
            length_penalty,
            early_stopping,
            num_return_sequences,
            logprobs,
        } = self;
        // what is off is not in the key: so it was before it was a setting
        let mut unless_off = |field: &str, value: serde_json::Value, off: serde_json::Value| {
            if value != off {
                key.set(field, &value);
            }
        };
        unless_off("min_new_tokens", json!(min_new_tokens), json!(0));
        unless_off("min_p", json!(min_p), json!(0.0));
        unless_off("typical_p", json!(typical_p), json!(1.0));
        unless_off("presence_penalty", json!(presence_penalty), json!(0.0));
        unless_off("frequency_penalty", json!(frequency_penalty), json!(0.0));
        unless_off("no_repeat_ngram_size", json!(no_repeat_ngram_size), json!(0));
        unless_off("forced_bos_token_id", json!(forced_bos_token_id), json!(null));
        unless_off("forced_eos_token_id", json!(forced_eos_token_id), json!(null));
        unless_off("suppress_tokens", json!(suppress_tokens), json!([]));
        unless_off("begin_suppress_tokens", json!(begin_suppress_tokens), json!([]));
        unless_off("num_beams", json!(num_beams), json!(1));
        unless_off("length_penalty", json!(length_penalty), json!(1.0));
        unless_off("early_stopping", json!(early_stopping), json!(false));
        unless_off("num_return_sequences", json!(num_return_sequences), json!(1));
        unless_off("logprobs", json!(logprobs), json!(false));
        key.set("max_new_tokens", max_new_tokens);
        key.set("temperature", temperature);
        key.set("top_k", top_k);
        key.set("top_p", top_p);
        key.set("repetition_penalty", repetition_penalty);
        key.set("stop", stop);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Sampling;

    #[test]
    fn out_of_range_values_are_named() {
        let settings = Sampling {
            max_new_tokens: 0,
            temperature: -1.0,
            top_p: 0.0,
            repetition_penalty: 0.0,
            stop: vec![String::new()],
            ..Sampling::default()
        };
        let fields: Vec<_> = settings
            .problems()
            .into_iter()
            .map(|problem| problem.path[1].clone())
            .collect();
        assert_eq!(
            fields,
            ["max_new_tokens", "temperature", "top_p", "repetition_penalty", "stop"]
        );
        assert!(Sampling::default().problems().is_empty());
        let of = |json: serde_json::Value| -> Vec<String> {
            let settings: Sampling = serde_json::from_value(json).unwrap();
            settings
                .problems()
                .into_iter()
                .map(|problem| problem.path[1].clone())
                .collect()
        };
        assert_eq!(
            of(json!({"min_new_tokens": 9, "max_new_tokens": 8})),
            ["min_new_tokens"]
        );
        assert_eq!(
            of(json!({"num_beams": 2, "num_return_sequences": 3})),
            ["num_return_sequences"]
        );
        assert_eq!(of(json!({"num_return_sequences": 3})), ["num_return_sequences"]);
        assert_eq!(
            of(json!({"length_penalty": 2, "early_stopping": true})),
            ["length_penalty", "early_stopping"]
        );
        assert!(of(json!({"num_beams": 3, "num_return_sequences": 3, "early_stopping": "never"})).is_empty());
        assert!(of(json!({"temperature": 1, "num_return_sequences": 3, "min_p": 0.1})).is_empty());
    }
}
