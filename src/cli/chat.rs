//! `fragua chat`: a conversation with a model in the terminal.

use std::io::{BufRead, IsTerminal, Write};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;
use clap::Args;
use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;
use serde_json::{Value, json};

use super::arguments::Global;
use super::failure::{Usage, asked};
use super::look;
use super::print::{Paint, colour, counted, error_line, line};
use crate::generate::{Answer, Conversation, Finish, GenerateError, Manner, Opening};
use crate::records;

/// Examples for `--help`.
pub const EXAMPLES: &str = "Examples:
  fragua chat last:tuned                     the model of step `tuned` in the last run
  fragua chat models/flan-t5-small
  fragua chat last:base --template prompts/summarize.jinja --examples rows.jsonl --set shots=3
  fragua chat last:tuned --set temperature=0 < questions.txt

Beside messages it takes commands; `/help` lists them. Ctrl-C stops an answer, Ctrl-D ends.";

const HELP: &str = "A line is a message; one that ends in \\ goes on in the next line. Commands:
  /temperature 0.2   and any other setting of generation: /top_p, /top_k, /min_p,
                     /max_new_tokens, /repetition_penalty, /stop, ..
  /system TEXT       what the model is told beforehand; nothing without TEXT
  /shots N           examples before each message, from the rows that the model was taught
                     with or those of --examples
  /seed N            where random numbers begin: the same messages give the same answers
  /history on|off    whether earlier messages and answers are read again
  /settings          all of them
  /reset             forget what was said
  /quit              as Ctrl-D does
A message that begins with / is written with two of them.";

/// `chat`.
#[derive(Debug, Args)]
pub struct ChatArguments {
    /// The model: its folder, or RUN:STEP (`last:tuned`)
    pub model: String,

    /// A prompt template that messages go into [default: the one that the model was taught with]
    #[arg(long, value_name = "FILE")]
    pub template: Option<PathBuf>,

    /// The field of the template that messages go into, where it shows several
    #[arg(long, value_name = "NAME")]
    pub field: Option<String>,

    /// Rows for `/shots`: a file that `dataset` reads [default: those that the model was taught with]
    #[arg(long, value_name = "FILE")]
    pub examples: Option<PathBuf>,

    /// Continue texts, whatever the model was taught with
    #[arg(long, conflicts_with_all = ["template", "field"])]
    pub plain: bool,

    /// A setting to begin with, as the commands name them (repeatable)
    #[arg(long, value_name = "NAME=VALUE", value_parser = super::arguments::assignment)]
    pub set: Vec<(String, String)>,
}

/// Whether the user wants the answer to end.
static STOP: AtomicBool = AtomicBool::new(false);
/// Whether there is an answer to end.
static ANSWERING: AtomicBool = AtomicBool::new(false);

/// Talks until the input ends.
pub fn run(global: &Global, arguments: &ChatArguments) -> anyhow::Result<u8> {
    let made = records::made(&global.store, &arguments.model).map_err(asked)?;
    let mut opening = Opening {
        model: made.folder,
        template: made.template,
        field: arguments.field.clone(),
        examples: made.examples,
    };
    if arguments.plain {
        opening.template = None;
    }
    if let Some(template) = &arguments.template {
        opening.template = Some(template.clone());
    }
    if let Some(examples) = &arguments.examples {
        opening.examples = Some(examples.clone());
    }
    let device = look::device(global)?.0.open()?;
    let mut conversation = match Conversation::open(&opening, &device) {
        Ok(conversation) => conversation,
        Err(GenerateError::Field(fact)) => {
            return Err(Usage(format!("{fact}: --field NAME, or --plain to continue texts")).into());
        }
        Err(error) => return Err(error).with_context(|| format!("cannot talk to `{}`", arguments.model)),
    };
    for (name, value) in &arguments.set {
        conversation
            .set(name, value)
            .map_err(|error| Usage(error.to_string()))?;
    }
    ctrlc::set_handler(|| {
        if ANSWERING.load(Ordering::Relaxed) {
            STOP.store(true, Ordering::Relaxed);
        } else {
            std::process::exit(130);
        }
    })
    .context("cannot listen to Ctrl-C")?;
    let mut lines = Lines::open()?;
    if !global.quiet && !global.json {
        greet(&conversation, &opening, lines.edits());
    }
    while let Some(text) = lines.message()? {
        if text.trim().is_empty() {
            continue;
        }
        match text.strip_prefix('/') {
            Some(command) if !command.starts_with('/') => {
                if obey(&mut conversation, command, global.json).is_break() {
                    break;
                }
            }
            Some(message) => say(&mut conversation, message, global),
            None => say(&mut conversation, &text, global),
        }
    }
    Ok(0)
}

/// What kind of model it is and what it does with messages, said once.
fn greet(conversation: &Conversation, opening: &Opening, terminal: bool) {
    let config = conversation.config();
    let parameters = conversation.parameters();
    let mut about = format!(
        "{}, {} parameters, a context of {} tokens.",
        config.architecture().name(),
        thousands(parameters),
        config.context
    );
    let template = opening
        .template
        .as_deref()
        .map_or_else(String::new, |path| path.display().to_string());
    let reads = if conversation.encodes() {
        "its encoder reads"
    } else {
        "it reads"
    };
    about += &match conversation.manner() {
        Manner::Chat => " Messages go into the model's chat template.".to_owned(),
        Manner::Template => format!(
            " Each message is the `{}` of {template}, by itself (/history on: earlier ones stand before it).",
            conversation.field().unwrap_or_default()
        ),
        Manner::Plain if conversation.encodes() => format!(" There is no template: {reads} each message as it is."),
        Manner::Plain => " It has no chat template: it continues the text, yours and its own.".to_owned(),
    };
    aside(about);
    if conversation.pool() > 0 {
        aside(format!(
            "/shots N shows it examples from {}.",
            counted(conversation.pool(), "row")
        ));
    }
    if terminal {
        aside("/help lists commands, Ctrl-C stops an answer, Ctrl-D ends.");
    }
}

/// A line beside the conversation.
fn aside(text: impl AsRef<str>) {
    error_line(Paint::Faint.on(text.as_ref(), super::print::error_colour()));
}

fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let first = digits.len() % 3;
    let mut text = digits[..first].to_owned();
    for at in (first..digits.len()).step_by(3) {
        if !text.is_empty() {
            text.push(',');
        }
        text += &digits[at..at + 3];
    }
    text
}

/// A message, and its answer as it is made.
fn say(conversation: &mut Conversation, message: &str, global: &Global) {
    STOP.store(false, Ordering::Relaxed);
    ANSWERING.store(true, Ordering::Relaxed);
    let mut out = std::io::stdout().lock();
    let mut tell = |piece: &str| {
        if !global.json && !piece.is_empty() {
            // a reader that went away ends the program at the next line
            out.write_all(piece.as_bytes()).and_then(|()| out.flush()).ok();
        }
        if STOP.load(Ordering::Relaxed) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    let answer = conversation.answer(message, &mut tell);
    drop(out);
    ANSWERING.store(false, Ordering::Relaxed);
    match answer {
        Ok(answer) if global.json => line(described(message, &answer).to_string()),
        Ok(answer) => {
            line("");
            if !global.quiet {
                aside(told(&answer, conversation));
            }
        }
        Err(error) if global.json => line(json!({"message": message, "error": error.to_string()}).to_string()),
        Err(error) => error_line(format!("error: {error}")),
    }
}

/// Counts of an answer.
fn told(answer: &Answer, conversation: &Conversation) -> String {
    let context = conversation.config().context;
    let mut told = format!(
        "{} from {} read; {} of {context} left",
        counted(answer.output_tokens, "token"),
        answer.prompt_tokens,
        answer.left
    );
    match answer.finish {
        None => told += "; stopped",
        Some(Finish::Length) => told += "; ended at max_new_tokens",
        Some(Finish::Eos | Finish::Stop) => {}
    }
    if answer.dropped_turns > 0 {
        told += &format!("; forgot the oldest {}", counted(answer.dropped_turns, "turn"));
    }
    if answer.dropped_examples > 0 {
        told += &format!(
            "; left out {}, which did not fit",
            counted(answer.dropped_examples, "example")
        );
    }
    told
}

fn described(message: &str, answer: &Answer) -> Value {
    let Answer {
        text,
        finish,
        prompt_tokens,
        output_tokens,
        left,
        dropped_turns,
        dropped_examples,
    } = answer;
    json!({
        "message": message,
        "answer": text,
        "finish": finish.map_or(json!("stopped"), |finish| json!(finish)),
        "prompt_tokens": prompt_tokens,
        "output_tokens": output_tokens,
        "left": left,
        "dropped_turns": dropped_turns,
        "dropped_examples": dropped_examples,
    })
}

/// A command; `Break` ends the conversation.
fn obey(conversation: &mut Conversation, command: &str, as_json: bool) -> ControlFlow<()> {
    let (name, value) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
    match name.trim() {
        "quit" | "exit" => return ControlFlow::Break(()),
        "help" => aside(HELP),
        "reset" => {
            conversation.reset();
            aside("what was said is forgotten");
        }
        "settings" if as_json => line(json!({"settings": conversation.settings()}).to_string()),
        "settings" => {
            for (name, value) in conversation.settings() {
                aside(format!("{name} {value}"));
            }
        }
        name if value.trim().is_empty() && name != "system" => match conversation.settings().get(name) {
            Some(value) => aside(format!("{name} {value}")),
            None => error_line(format!("error: there is no command `/{name}`: /help lists them")),
        },
        name => match conversation.set(name, value) {
            Ok(value) => aside(format!("{name} {value}")),
            Err(error) => error_line(format!("error: {error}")),
        },
    }
    ControlFlow::Continue(())
}

/// Where messages come from.
enum Lines {
    Edited(Box<DefaultEditor>),
    Piped(std::io::StdinLock<'static>),
}

impl Lines {
    fn open() -> anyhow::Result<Self> {
        if std::io::stdin().is_terminal() && std::io::stdout().is_terminal() {
            let editor = DefaultEditor::new().context("cannot edit lines on this terminal")?;
            Ok(Self::Edited(Box::new(editor)))
        } else {
            Ok(Self::Piped(std::io::stdin().lock()))
        }
    }

    fn edits(&self) -> bool {
        matches!(self, Self::Edited(_))
    }

    /// The next message; lines that end in a backslash are one with those after them.
    fn message(&mut self) -> anyhow::Result<Option<String>> {
        let mut message = String::new();
        loop {
            let prompt = if message.is_empty() { "> " } else { ". " };
            let Some(line) = self.line(prompt)? else {
                return Ok((!message.is_empty()).then_some(message));
            };
            match line.strip_suffix('\\') {
                Some(begun) => message = message + begun + "\n",
                None => return Ok(Some(message + &line)),
            }
        }
    }

    fn line(&mut self, prompt: &str) -> anyhow::Result<Option<String>> {
        match self {
            Self::Edited(editor) => loop {
                let shown = Paint::Known.on(prompt, colour());
                let plain = if shown == prompt { prompt } else { &shown };
                match editor.readline(plain) {
                    Ok(line) => {
                        if !line.trim().is_empty() {
                            editor.add_history_entry(line.as_str())?;
                        }
                        return Ok(Some(line));
                    }
                    Err(ReadlineError::Interrupted) => aside("Ctrl-D ends"),
                    Err(ReadlineError::Eof) => return Ok(None),
                    Err(error) => return Err(error.into()),
                }
            },
            Self::Piped(input) => {
                let mut line = String::new();
                if input.read_line(&mut line).context("cannot read messages")? == 0 {
                    return Ok(None);
                }
                Ok(Some(line.trim_end_matches(['\n', '\r']).to_owned()))
            }
        }
    }
}
