//! What pretrain and finetune have in common around the training itself.

use std::path::Path;

use crate::data::{splits, tokens::TokenFile};
use crate::models::Model;
use crate::profile;
use crate::seed::Seed;
use crate::step::{Context, Input, Problem};
use crate::tokenizer::Tokenizer;
use crate::train::batches::Reading;
use crate::train::evaluation::Split;
use crate::train::examples::{Overlong, Taking};
use crate::train::{Outcome, TrainError, thousands};

/// The split that is learned from, when there are several.
const TRAIN: &str = "train";
/// The split by which the best weights are chosen.
pub(super) const VALIDATION: &str = "validation";

/// The token files of a training.
pub(super) struct Encoded {
    /// The name of the split that is learned from, for messages.
    pub name: String,
    /// What is learned from.
    pub train: TokenFile,
    validation: Option<TokenFile>,
}

impl Encoded {
    /// Opens the splits of a tokens artifact: `train`, or the only one; and `validation` if there.
    pub fn open(root: &Path) -> anyhow::Result<Self> {
        let splits = splits(root)?;
        let find = |name: &str| splits.iter().find(|(split, _)| split == name);
        let only = match splits.as_slice() {
            [only] => Some(only),
            _ => None,
        };
        let Some((name, folder)) = find(TRAIN).or(only) else {
            let names: Vec<_> = splits.iter().map(|(name, _)| name.as_str()).collect();
            anyhow::bail!(
                "the data have the splits {}, and no `{TRAIN}` to learn from",
                names.join(", ")
            );
        };
        let validation = find(VALIDATION)
            .map(|(_, folder)| TokenFile::open(folder))
            .transpose()?;
        Ok(Self {
            name: format!("split `{name}`"),
            train: TokenFile::open(folder)?,
            validation,
        })
    }

    /// The validation split for a model.
    pub fn validation(
        &self,
        model: &Model,
        taking: &Taking,
        overlong: Overlong,
    ) -> Result<Option<Split<'_>>, TrainError> {
        let place = format!("split `{VALIDATION}`");
        let of = |tokens| Split::of(tokens, &place, model, taking.clone(), overlong);
        self.validation.as_ref().map(of).transpose()
    }

    /// The tokens of the validation split, if there is one, and its name for messages.
    pub fn validation_tokens(&self) -> Option<(&TokenFile, String)> {
        let tokens = self.validation.as_ref()?;
        Some((tokens, format!("split `{VALIDATION}`")))
    }
}

/// How a model takes prompts and answers that this tokenizer encoded.
pub(super) fn taking(model: &Model, tokenizer: &Tokenizer) -> Taking {
    Taking {
        context: model.config().context,
        reading: Reading::of(model),
        suffix: tokenizer.suffix().to_vec(),
    }
}

/// The architecture of a model that is referred to, if it is known.
pub(super) fn architecture(model: &str, inputs: &[Input]) -> Option<String> {
    let input = inputs.iter().find(|input| input.text == model)?;
    input.architecture.clone()
}

/// Whether a dataset has a split to learn from.
pub(super) fn check_splits(data: &str, inputs: &[Input]) -> Option<Problem> {
    let input = inputs.iter().find(|input| input.text == data)?;
    let (parts, none) = (&input.parts, input.part.is_none());
    if none && !parts.is_empty() && !parts.iter().any(|part| part == TRAIN) {
        let fact = format!("`{data}` has the splits {}, and none is `{TRAIN}`", parts.join(", "));
        let help = format!("name one to learn from all of it: `data: {data}.{}`", parts[0]);
        return Some(Problem::at("data", fact).help(help));
    }
    None
}

/// The step's seed for one purpose.
pub(super) fn named_seed(context: &Context, purpose: &str) -> Seed {
    context.seed().child(purpose)
}

/// Writes a finished training's artifact; `tokenizer` is the folder of its tokenizer.
pub(super) fn finish(outcome: Result<Outcome, TrainError>, context: &Context, tokenizer: &Path) -> anyhow::Result<()> {
    let mut outcome = match outcome {
        Ok(outcome) => outcome,
        // the worker looks for it by its own type
        Err(TrainError::Interrupted(interrupted)) => return Err(interrupted.into()),
        Err(error) => return Err(error.into()),
    };
    outcome.write(&context.out, tokenizer)?;
    let summary = &outcome.summary;
    context.info(match (summary.best_validation_loss, summary.last_validation_loss) {
        (Some(best), Some(last)) => format!(
            "validation loss {best:.4} after update {}, {last:.4} after the last ({})",
            summary.best_update, summary.updates
        ),
        _ => format!(
            "training loss {:.4} after update {}",
            summary.train_loss, summary.updates
        ),
    });
    context.info(pace(outcome.tokens_per_second));
    Ok(())
}

/// How fast it went and how much memory it took: `3,110 tok/s, 412 MB at most`.
fn pace(tokens_per_second: f64) -> String {
    let speed = format!("{} tok/s", thousands(tokens_per_second));
    match profile::peak_bytes("self") {
        Some(peak) => format!("{speed}, {} MB at most", thousands(peak as f64 / 1e6)),
        None => speed,
    }
}
