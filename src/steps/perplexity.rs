//! The perplexity of a model on a split, for `evaluate`.

use anyhow::Context as _;

use crate::data;
use crate::data::tokens::TokenFile;
use crate::metrics::{self, Score};
use crate::models;
use crate::step::{Context, Model, Ref};
use crate::train::evaluation;

/// Measures a model's perplexity on the tokens that were derived for the step: the whole split in
/// windows of the model's context, side by side.
pub(super) fn measure(context: &Context, model: &Ref<Model>) -> anyhow::Result<Score> {
    let device = context.device().open()?;
    let loaded = models::Model::load(context.path(model), &device)
        .with_context(|| format!("cannot load the model `{}`", model.text()))?;
    let splits = data::splits(&context.derived("tokens").path)?;
    let [(name, folder)] = splits.as_slice() else {
        let names: Vec<_> = splits.iter().map(|(name, _)| name.as_str()).collect();
        anyhow::bail!(
            "the text is split into {}: name one of them under `data`",
            names.join(", ")
        );
    };
    let tokens = TokenFile::open(folder)?;
    context.info(format!("{} tokens", tokens.len()));
    let length = loaded.config().context;
    let loss = evaluation::loss(&loaded, &tokens, length, evaluation::sequences(length), &device)
        .with_context(|| format!("cannot measure on split `{name}`"))?;
    Ok(metrics::perplexity(
        loss.nats,
        loss.tokens,
        &format!("context:{length}|stride:{length}"),
    )?)
}
