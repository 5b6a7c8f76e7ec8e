//! The perplexity of a model on a split, and its bits per byte, for `evaluate`.

use anyhow::Context as _;

use crate::data;
use crate::data::tokens::TokenFile;
use crate::metrics::{self, BITS_PER_BYTE, PERPLEXITY, Score};
use crate::models;
use crate::step::{Context, Interrupted, Journal, Model, Ref};
use crate::tokenizer::Tokenizer;
use crate::train::TrainError;
use crate::train::evaluation::{self, Evaluation};

/// Measures the named figures of a model on the tokens that were derived for the step: the whole split in
/// windows of the model's context, side by side. What was measured is kept batch by batch, so that an
/// interrupted measurement goes on where it was.
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
    let journal = Journal::<(usize, Evaluation)>::open(&context.checkpoints, "batches.journal")?;
    let (done, so_far) = journal.earlier().last().copied().unwrap_or_default();
    if done > 0 {
        context.info(format!("{} tokens were measured before", so_far.tokens));
    }
    let all = tokens.len() as u64;
    let mut each = |done: usize, total: &Evaluation| -> Result<(), TrainError> {
        let kept = journal.append(&(done, *total));
        kept.map_err(TrainError::io(journal.path()))?;
        let so_far = format!("perplexity {:.2}", total.perplexity());
        context.progress(total.tokens.min(all), all, "tokens", so_far);
        if context.stopping() {
            return Err(Interrupted.into());
        }
        Ok(())
    };
    let batch = evaluation::sequences(length);
    let loss = evaluation::loss_from(&loaded, &tokens, length, batch, &device, (done, so_far), &mut each).map_err(
        |error| match error {
            TrainError::Interrupted(stopped) => anyhow::Error::from(stopped),
            error => anyhow::Error::from(error).context(format!("cannot measure on split `{name}`")),
        },
    )?;
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
