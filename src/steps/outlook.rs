//! What steps can say before they run: shapes of models, and the memory that they take.

use std::path::Path;

use crate::models::ModelConfig;
use crate::models::memory::{Shape, training};
use crate::step::{Input, Outlook, Prospects};
use crate::tokenizer::Tokenizer;
use crate::train::TrainSettings;
use crate::train::batches::Reading;
use crate::train::evaluation::TOKENS;
use crate::train::examples::{Examples, Overlong, Taking};

use super::training::{Encoded, VALIDATION};

/// Tokens of a vocabulary, made or planned.
pub(super) fn vocabulary(prospects: &Prospects<'_>, tokenizer: &str) -> Result<usize, String> {
    let unknown = || format!("the size of the vocabulary is known once `{tokenizer}` is made");
    let (input, outlook) = prospects.of(tokenizer).ok_or_else(unknown)?;
    if made(input) {
        let loaded = Tokenizer::load(&input.path).map_err(|error| error.to_string())?;
        return Ok(loaded.vocab_size());
    }
    outlook.vocabulary.ok_or_else(unknown)
}

/// The description of a model, made or planned.
pub(super) fn config(prospects: &Prospects<'_>, model: &str) -> Result<ModelConfig, String> {
    let unknown = || format!("the shape of the model is known once `{model}` is made");
    let (input, outlook) = prospects.of(model).ok_or_else(unknown)?;
    if made(input) {
        return ModelConfig::load(&input.path).map_err(|error| error.to_string());
    }
    let described = outlook.model.clone().ok_or_else(unknown)?;
    ModelConfig::of_json(described, Path::new(model)).map_err(|error| error.to_string())
}

/// Whether an input is there.
pub(super) fn made(input: &Input) -> bool {
    !input.path.as_os_str().is_empty()
}

/// What is known of a model that a step makes, and the memory that it takes to make it.
pub(super) fn of_model(config: Result<ModelConfig, String>, shape: impl FnOnce(&ModelConfig) -> Shape) -> Outlook {
    match config {
        Ok(config) => Outlook {
            vocabulary: Some(config.vocab_size),
            memory: Some(training(&config, &shape(&config))),
            model: Some(config.to_json()),
            unknown: None,
        },
        Err(unknown) => Outlook {
            unknown: Some(unknown),
            ..Outlook::default()
        },
    }
}

/// A training on `sequences` at a time of up to `[read by the encoder, read by the decoder]` tokens; `data` is the
/// text of its dataset's reference.
pub(super) fn shape(
    prospects: &Prospects<'_>,
    data: &str,
    settings: &TrainSettings,
    sequences: usize,
    [source, length]: [usize; 2],
) -> Shape {
    let validated = prospects
        .of(data)
        .is_some_and(|(input, _)| input.part.is_none() && input.parts.iter().any(|part| part == VALIDATION));
    Shape {
        sequences: sequences as u64,
        length: length as u64,
        source: source as u64,
        accumulates: settings.accumulate > 1,
        validates: validated.then(|| validated_at_once(prospects)),
        precision: settings.precision.of_products(),
        recomputes: settings.gradient_checkpointing,
        pairs: None,
        threads: prospects.threads as u64,
    }
}

/// Tokens that a validation computes at once: no more than there are, once they are encoded.
fn validated_at_once(prospects: &Prospects<'_>) -> u64 {
    let made = prospects.of("@tokens").filter(|(input, _)| made(input));
    let encoded = made.and_then(|(tokens, _)| Encoded::open(&tokens.path).ok());
    let tokens = encoded.and_then(|encoded| Some(encoded.validation_tokens()?.0.len()));
    tokens.unwrap_or(TOKENS).min(TOKENS) as u64
}

/// The longest example of a training, and the longest that its encoder and its decoder read: those of the
/// tokens if they are made, else what fits the context.
pub(super) fn longest(
    prospects: &Prospects<'_>,
    config: &ModelConfig,
    tokenizer: Option<&str>,
    overlong: Overlong,
) -> (usize, [usize; 2]) {
    let reading = Reading::of_config(config);
    let measured = || {
        let (tokens, _) = prospects.of("@tokens").filter(|(input, _)| made(input))?;
        let (tokenizer, _) = prospects.of(tokenizer?).filter(|(input, _)| made(input))?;
        let encoded = Encoded::open(&tokens.path).ok()?;
        let taking = Taking {
            context: config.context,
            reading,
            suffix: Tokenizer::load(&tokenizer.path).ok()?.suffix().to_vec(),
        };
        let examples = Examples::of(&encoded.train, "", taking, overlong).ok()?;
        Some((examples.longest(), examples.sides()))
    };
    measured().unwrap_or(match reading {
        Reading::OneSequence => (config.context, [0, config.context]),
        Reading::Encoder { .. } => (2 * config.context, [config.context; 2]),
    })
}
