//! `fragua tokenize`.

use std::io::Read as _;
use std::path::Path;

use anyhow::Context as _;
use clap::Args;
use serde_json::json;

use super::arguments::Global;
use super::failure::{Usage, asked};
use super::print::{colour, line};
use crate::data::Statistics;
use crate::records;
use crate::store::Store;
use crate::tokenizer::{Counts, SpecialTokens, Tokenizer, Vocabulary, visible};

/// Shown after the help.
pub const EXAMPLES: &str = "Examples:
  fragua tokenize --tokenizer gpt2 \"El ñandú corre.\"      a published vocabulary
  fragua tokenize --tokenizer last:words \"Once upon\"     what a step of the last run made
  fragua tokenize --tokenizer models/flan-t5 - < text     a model's folder, and standard input
  fragua tokenize --tokenizer spiece.model --ids Hello    the numbers alone
  fragua tokenize --tokenizer o200k_base --json Hello | jq .bytes_per_token

White space is shown: · is a space, ⏎ a line end, ⇥ a tab; ⟨C3⟩ is a byte of a character that is cut in two.
Colours are for terminals; without them there is a token a line, after its number.";

/// Published vocabularies, for messages.
const PUBLISHED: &str = "gpt2, r50k_base, p50k_base, cl100k_base, o200k_base";

/// `tokenize`.
#[derive(Debug, Args)]
pub struct TokenizeArguments {
    /// The text; `-` is standard input
    pub text: String,

    /// A folder (a tokenizer or a model), a file (tokenizer.json, SentencePiece .model, .tiktoken), a published
    /// vocabulary, or RUN:STEP, what a run made
    #[arg(long, short, value_name = "TOKENIZER")]
    pub tokenizer: String,

    /// Print the numbers of the tokens and nothing else
    #[arg(long, conflicts_with = "json")]
    pub ids: bool,

    /// Put around the text what the tokenizer's own template does (<s>, [CLS], </s>)
    #[arg(long)]
    pub special: bool,
}

/// Shows a text's tokens.
pub fn run(global: &Global, arguments: &TokenizeArguments) -> anyhow::Result<u8> {
    let tokenizer = tokenizer(global, &arguments.tokenizer)?;
    let text = text(&arguments.text)?;
    let own = tokenizer.encode(&text).map_err(|error| Usage(error.to_string()))?;
    let mut counts = Counts::default();
    counts.add(&text, &own);
    let ids = if arguments.special {
        [tokenizer.prefix(), &own, tokenizer.suffix()].concat()
    } else {
        own
    };
    if arguments.ids {
        let numbers: Vec<String> = ids.iter().map(u32::to_string).collect();
        line(numbers.join(" "));
    } else if global.json {
        line(as_json(&tokenizer, &ids, &counts.statistics(&tokenizer)).to_string());
    } else {
        show(&tokenizer, &ids, &counts.statistics(&tokenizer), colour());
    }
    Ok(0)
}

/// The tokenizer that a user names.
pub fn tokenizer(global: &Global, name: &str) -> anyhow::Result<Tokenizer> {
    let path = Path::new(name);
    if path.is_dir() {
        return Ok(Tokenizer::load(path)?);
    } else if path.is_file() {
        return Ok(Tokenizer::open(path, &SpecialTokens::default(), None)?);
    } else if let Some(vocabulary) = Vocabulary::named(name) {
        return Ok(vocabulary.tokenizer()?);
    }
    let Some((run, step)) = name.split_once(':') else {
        let fact = format!(
            "`{name}` is no folder, no file and no published vocabulary ({PUBLISHED}); what a run made is RUN:STEP, \
             for example last:tokenizer"
        );
        return Err(Usage(fact).into());
    };
    let store = Store::open_read_only(&global.store)?;
    let _kept = store.share_to_read();
    let run = records::find(&store, run).map_err(asked)?;
    let wanted = records::wanted(&store, &run, step).map_err(asked)?;
    if !wanted.manifest.files.contains_key("tokenizer.json") {
        let fact = format!(
            "{} has no tokenizer: name a step that makes a tokenizer or a model",
            wanted.instance
        );
        return Err(Usage(fact).into());
    }
    Ok(Tokenizer::load(&store.object_path(&wanted.object))?)
}

fn text(argument: &str) -> anyhow::Result<String> {
    if argument != "-" {
        return Ok(argument.to_owned());
    }
    let mut text = Vec::new();
    std::io::stdin()
        .lock()
        .read_to_end(&mut text)
        .context("cannot read standard input")?;
    let text = String::from_utf8(text);
    Ok(text.map_err(|error| Usage(format!("standard input is not UTF-8: {error}")))?)
}

/// A token as people read it.
fn shown(tokenizer: &Tokenizer, id: u32) -> String {
    visible(&tokenizer.bytes_of(id).unwrap_or_default())
}

fn as_json(tokenizer: &Tokenizer, ids: &[u32], counts: &Statistics) -> serde_json::Value {
    let token = |&id: &u32| {
        json!({
            "id": id, "token": tokenizer.token(id), "shown": shown(tokenizer, id),
            "special": tokenizer.is_special(id),
        })
    };
    json!({
        "ids": ids,
        "tokens": ids.iter().map(token).collect::<Vec<_>>(),
        "vocab_size": tokenizer.vocab_size(),
        "count": counts.tokens,
        "bytes": counts.bytes,
        "characters": counts.characters,
        "words": counts.words,
        "bytes_per_token": counts.bytes_per_token(),
        "tokens_per_word": counts.tokens_per_word(),
    })
}

/// Backgrounds that black reads well on, of the 256 colours; neighbours are never alike.
const BACKGROUNDS: [u8; 5] = [153, 157, 223, 218, 189];

fn show(tokenizer: &Tokenizer, ids: &[u32], counts: &Statistics, colour: bool) {
    if colour {
        let painted = |at: usize, text: &str| {
            let background = BACKGROUNDS[at % BACKGROUNDS.len()];
            let bold = if tokenizer.is_special(ids[at]) { "1;4;" } else { "" };
            format!("\u{1b}[{bold}30;48;5;{background}m{text}\u{1b}[0m")
        };
        let mut text = String::new();
        let mut numbers = Vec::new();
        for (at, &id) in ids.iter().enumerate() {
            let token = shown(tokenizer, id);
            text += &painted(at, &token);
            if token.ends_with('⏎') {
                text.push('\n');
            }
            numbers.push(painted(at, &id.to_string()));
        }
        line(text.trim_end_matches('\n'));
        line("");
        line(numbers.join(" "));
        line("");
    } else {
        for &id in ids {
            line(format!("{id}\t{}", shown(tokenizer, id)));
        }
    }
    let plural = |count: u64, noun: &str| format!("{count} {noun}{}", if count == 1 { "" } else { "s" });
    line(format!(
        "{}, {}, {}, {}: {:.2} bytes a token, {:.2} tokens a word; {} in the vocabulary",
        plural(counts.tokens, "token"),
        plural(counts.bytes, "byte"),
        plural(counts.characters, "character"),
        plural(counts.words, "word"),
        counts.bytes_per_token(),
        counts.tokens_per_word(),
        tokenizer.vocab_size(),
    ));
}
