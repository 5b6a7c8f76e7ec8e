//! The perplexity of a model on a split, and its bits per byte, for `evaluate`.

use anyhow::Context as _;

use crate::data;
use crate::data::tokens::TokenFile;
use crate::metrics::{self, BITS_PER_BYTE, PERPLEXITY, Score};
use crate::models;
use crate::step::{Context, Model, Ref};
use crate::tokenizer::Tokenizer;
use crate::train::evaluation;

/// Measures the named figures of a model on the tokens that were derived for the step: the whole split in
/// windows of the model's context, side by side.
pub(super) fn measure(context: &Context, model: &Ref<Model>, names: &[String]) -> anyhow::Result<Vec<Score>> {
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
    let how = format!("context:{length}|stride:{length}");
    let mut scores = Vec::new();
    if names.iter().any(|name| name == PERPLEXITY.name) {
        scores.push(metrics::perplexity(loss.nats, loss.tokens, &how)?);
    }
    if names.iter().any(|name| name == BITS_PER_BYTE.name) {
        let tokenizer = Tokenizer::load(context.path(model))?;
        scores.push(metrics::bits_per_byte(loss.nats, bytes(&tokenizer, &tokens), &how)?);
    }
    Ok(scores)
}

/// The bytes of all documents' texts.
fn bytes(tokenizer: &Tokenizer, tokens: &TokenFile) -> u64 {
    let documents = 0..tokens.documents().len();
    let texts = documents.map(|number| tokenizer.decode(&tokens.slice(tokens.document(number))));
    texts.map(|text| text.len() as u64).sum()
}
