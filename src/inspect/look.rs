//! What a page about a model and a text shows.

use std::collections::BTreeSet;
use std::path::Path;

use burn::tensor::{Device, Int, Tensor, TensorData};

use super::embeddings::Table;
use super::principal::plane;
use crate::generate::{GenerateError, Sampling, Writer, decode, end_tokens};
use crate::kernels::AttentionMap;
use crate::models::{Inputs, Model, ModelError, Sources};
use crate::report::{Inspection, Maps, Near, NextToken, Placed, Shown};
use crate::seed::Seed;
use crate::tokenizer::{Tokenizer, TokenizerError};

/// Tokens near each token of the text.
const NEAREST: usize = 8;
/// Of these, those that the map of vectors shows as well.
const PLACED: usize = 3;
/// Different tokens of a text that neighbours are looked for: a long text repeats itself.
const TOKENS: usize = 40;
/// Tokens that might come next.
const NEXT: usize = 12;
/// What an encoder-decoder is made to write when nothing is said for it.
const WRITTEN: usize = 24;
/// Positions that a map of attention shows.
const POSITIONS: usize = 96;

/// What is looked at.
#[derive(Clone, Debug, Default)]
pub struct Question {
    /// What the model is called.
    pub name: String,
    /// The text that it reads.
    pub text: String,
    /// What its decoder has written, of an encoder-decoder. Without it, what it writes greedily.
    pub answer: Option<String>,
    /// The temperatures under which the next token is looked at.
    pub temperatures: Vec<f64>,
}

/// What keeps a model from being looked into.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// The text is not one that the model can read.
    #[error("{0}")]
    Text(String),
    /// The model cannot be loaded.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The text cannot be encoded.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// What it would write cannot be made.
    #[error(transparent)]
    Generate(#[from] GenerateError),
}

/// Looks into the model of a folder while it reads a text.
///
/// # Errors
/// A model or tokenizer that cannot be loaded; a text that is empty or longer than the model's context.
pub fn look(folder: &Path, device: &Device, question: &Question) -> Result<Inspection, InspectError> {
    let model = Model::load(folder, device)?;
    let tokenizer = Tokenizer::load(folder)?;
    let config = model.config();
    let read = encoded(&tokenizer, &question.text, config.decoder_start().is_some())?;
    fits(&model, read.len(), "the text")?;
    let (sources, decoder) = match config.decoder_start() {
        None if question.answer.is_some() => {
            let fact = format!(
                "{} has no decoder of its own: its text is all that it reads",
                config.architecture().name()
            );
            return Err(InspectError::Text(fact));
        }
        None => (None, read.clone()),
        Some(start) => {
            let mut decoder = vec![start];
            decoder.extend(match &question.answer {
                Some(answer) => tokenizer.encode(answer)?,
                None => written(&model, &tokenizer, folder, &read, device)?,
            });
            fits(&model, decoder.len(), "the answer")?;
            (Some(Sources::of(std::slice::from_ref(&read), device)), decoder)
        }
    };
    if let Some(token) = read
        .iter()
        .chain(&decoder)
        .find(|token| **token as usize >= config.vocab_size)
    {
        let (token, vocabulary) = (*token, config.vocab_size);
        return Err(GenerateError::Vocabulary { token, vocabulary }.into());
    }
    let ids: Vec<i64> = decoder.iter().map(|&token| i64::from(token)).collect();
    let tokens = Tensor::<2, Int>::from_data(TensorData::new(ids, [1, decoder.len()]), device);
    let (logits, maps) = model.watched_logits(Inputs { sources, tokens });
    let last = logits.narrow(1, decoder.len() - 1, 1).into_data().convert::<f32>();
    let logits: Vec<f32> = last.try_into_vec().expect("logits are held as f32");

    let spell = |token: u32| spelled(&tokenizer, token);
    let shown = |tokens: &[u32]| -> Vec<Shown> {
        let shown = tokens.iter().map(|&id| Shown { text: spell(id), id });
        shown.collect()
    };
    let weight = model.embeddings();
    let table = Table::new(weight.to_vec(), weight.shape()[1]);
    let mut seen = BTreeSet::new();
    let both = read.iter().chain(&decoder).copied();
    let different: Vec<u32> = both.filter(|token| seen.insert(*token)).collect();
    let (near, plane) = neighbours(&table, &different[..different.len().min(TOKENS)], &spell);
    let encodes = config.decoder_start().is_some();
    Ok(Inspection {
        model: question.name.clone(),
        architecture: config.architecture().name().to_owned(),
        parameters: model.parameters(),
        layers: config.layers,
        heads: if maps.is_empty() { 0 } else { config.heads },
        width: config.width,
        vocabulary: config.vocab_size,
        text: question.text.clone(),
        read: shown(&read),
        written: if encodes { shown(&decoder) } else { Vec::new() },
        maps: arranged(&maps, &model, &shown(&read), &shown(&decoder)),
        positions: POSITIONS,
        near,
        different: different.len(),
        placed: plane.0,
        shares: plane.1,
        temperatures: question.temperatures.clone(),
        next: next(&logits, &question.temperatures, &spell),
    })
}

/// The tokens of a text as the model reads it.
fn encoded(tokenizer: &Tokenizer, text: &str, encoder: bool) -> Result<Vec<u32>, InspectError> {
    let mut tokens = tokenizer.prefix().to_vec();
    tokens.extend(tokenizer.encode(text)?);
    if encoder {
        tokens.extend(tokenizer.suffix());
    }
    if tokens.is_empty() {
        return Err(InspectError::Text("the text has no tokens to look at".into()));
    }
    Ok(tokens)
}

fn fits(model: &Model, tokens: usize, what: &str) -> Result<(), InspectError> {
    let context = model.config().context;
    if tokens <= context {
        return Ok(());
    }
    let fact = format!("{what} has {tokens} tokens, and the model's context is {context}: shorten it");
    Err(InspectError::Text(fact))
}

/// What an encoder-decoder writes greedily, without its end.
fn written(
    model: &Model,
    tokenizer: &Tokenizer,
    folder: &Path,
    read: &[u32],
    device: &Device,
) -> Result<Vec<u32>, InspectError> {
    let new = WRITTEN.min(model.config().context.saturating_sub(1));
    if new == 0 {
        return Ok(Vec::new());
    }
    let writer = Writer::load(folder, device)?; // a form of its own: the other one is watched
    let (mut cached, before) = writer.start(read, new)?;
    let eos = end_tokens(folder, tokenizer)?;
    let sampling = Sampling {
        max_new_tokens: new,
        ..Sampling::default()
    };
    let output = decode(&mut cached, &before, &sampling, &eos, &|_| String::new(), Seed::root(0))?;
    let mut tokens = output.tokens;
    if tokens.last().is_some_and(|last| eos.contains(last)) {
        tokens.pop(); // so that the question is what comes after the answer
    }
    Ok(tokens)
}

/// A token for people: a space before a word is shown, and a special token as it is called.
fn spelled(tokenizer: &Tokenizer, token: u32) -> String {
    let name = tokenizer.token(token).unwrap_or_else(|| format!("#{token}"));
    let decoded = tokenizer.decode(&[token]);
    let text = if decoded.is_empty() || decoded.contains('\u{fffd}') {
        name
    } else if name.starts_with(['\u{120}', '\u{2581}']) && !decoded.starts_with(' ') {
        format!(" {decoded}")
    } else {
        decoded
    };
    text.replace(' ', "\u{2423}")
        .replace('\n', "\u{21b5}")
        .replace('\t', "\u{21e5}")
}

/// The tokens near each, and where all of them are on a plane: tokens of the text first.
fn neighbours(table: &Table, tokens: &[u32], spell: &dyn Fn(u32) -> String) -> (Vec<Near>, (Vec<Placed>, [f64; 2])) {
    let mut near = Vec::new();
    let mut placed: Vec<u32> = tokens.to_vec();
    let mut known: BTreeSet<u32> = tokens.iter().copied().collect();
    for &token in tokens {
        let found = table.nearest(token, NEAREST);
        let others = found.iter().take(PLACED).map(|(other, _)| *other);
        placed.extend(others.filter(|other| known.insert(*other)));
        near.push(Near {
            token: spell(token),
            nearest: found
                .into_iter()
                .map(|(other, cosine)| (spell(other), f64::from(cosine)))
                .collect(),
        });
    }
    let vectors: Vec<Vec<f32>> = placed.iter().map(|&token| table.row(token).to_vec()).collect();
    let plane = plane(&vectors);
    let points = placed
        .iter()
        .zip(plane.points)
        .enumerate()
        .map(|(at, (&token, [x, y]))| Placed {
            token: spell(token),
            x,
            y,
            of_text: at < tokens.len(),
        });
    (near, (points.collect(), plane.shares))
}

/// The maps by what attends to what: see [`crate::kernels::watch_attention`] for their order.
fn arranged(maps: &[AttentionMap], model: &Model, read: &[Shown], written: &[Shown]) -> Vec<Maps> {
    let cut = |tokens: &[Shown]| tokens[..tokens.len().min(POSITIONS)].to_vec();
    let of = |kind: &'static str, queries: &[Shown], keys: &[Shown], chosen: Vec<&AttentionMap>| Maps {
        kind,
        queries: cut(queries),
        keys: cut(keys),
        layers: chosen.into_iter().map(heads).collect(),
    };
    if maps.is_empty() {
        return Vec::new();
    }
    let config = model.config();
    if config.decoder_start().is_none() {
        return vec![of("self", written, written, maps.iter().collect())];
    }
    let (encoder, decoder) = maps.split_at(config.layers.min(maps.len()));
    vec![
        of("encoder", read, read, encoder.iter().collect()),
        of("decoder", written, written, decoder.iter().step_by(2).collect()),
        of("cross", written, read, decoder.iter().skip(1).step_by(2).collect()),
    ]
}

/// Each head's probabilities for the first positions, `[query, key]`.
fn heads(map: &AttentionMap) -> Vec<Vec<f32>> {
    let (queries, keys) = (map.queries.min(POSITIONS), map.keys.min(POSITIONS));
    let head = |head: usize| {
        let rows = map.head(head).chunks_exact(map.keys).take(queries);
        rows.flat_map(|row| row[..keys].iter().copied()).collect()
    };
    (0..map.heads).map(head).collect()
}

/// The likeliest next tokens, which are the same at every temperature, with their probabilities at each.
fn next(logits: &[f32], temperatures: &[f64], spell: &dyn Fn(u32) -> String) -> Vec<NextToken> {
    let mut order: Vec<u32> = (0..).zip(logits).map(|(token, _)| token).collect();
    order.sort_by(|&a, &b| logits[b as usize].total_cmp(&logits[a as usize]).then(a.cmp(&b)));
    order.truncate(NEXT);
    let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let weigh = |logit: f32, temperature: f64| (f64::from(logit - highest) / temperature).exp();
    let sums: Vec<f64> = temperatures
        .iter()
        .map(|&temperature| logits.iter().map(|&logit| weigh(logit, temperature)).sum())
        .collect();
    let likely = |token: u32| NextToken {
        token: spell(token),
        probabilities: temperatures
            .iter()
            .zip(&sums)
            .map(|(&temperature, sum)| weigh(logits[token as usize], temperature) / sum)
            .collect(),
    };
    order.into_iter().map(likely).collect()
}

#[cfg(test)]
mod tests;
