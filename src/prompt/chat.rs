//! Chat templates: the text that a model was trained to see for a list of messages.
//!
//! They come with a model, in `chat_template.jinja` (and `additional_chat_templates/NAME.jinja`) or as
//! `chat_template` in `tokenizer_config.json`: one template, or a list of named ones. They are Jinja for
//! Python, and are rendered here as transformers' `apply_chat_template` does: blocks leave no empty lines,
//! `break` and `continue` work, values are written as Python writes them, and `raise_exception`, `tojson`,
//! `strftime_now` and the methods of Python's strings and dictionaries are there.
//!
//! `strftime_now` tells a fixed day, 26 July 2024 (the day that Llama 3's templates fall back on), because
//! the same messages must give the same tokens tomorrow; a template's own `date_string` can be given as a
//! variable.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use jiff::civil::{DateTime, date};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Serde, Value};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior};
use minijinja_contrib::pycompat::unknown_method_callback;
use regex::Regex;
use serde::{Deserialize, Serialize};

use super::PromptError;
use super::python::{self, Json};

const MAIN: &str = "chat";
const DEFAULT: &str = "default";
const CONFIG: &str = "tokenizer_config.json";

/// What `strftime_now` tells.
const NOW: DateTime = date(2024, 7, 26).at(0, 0, 0, 0);

type Object = serde_json::Map<String, serde_json::Value>;

/// One message of a chat. Templates also read other fields (`name`, `tool_calls`): [`ChatTemplate::render`]
/// takes anything that is an object with a `role`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Who speaks: `system`, `user`, `assistant`, or what else the template knows.
    pub role: String,
    /// What is said.
    pub content: String,
}

impl Message {
    /// A message.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        Self {
            role: role.into(),
            content: content.into(),
        }
    }
}

/// A model's chat template, with its special tokens.
#[derive(Debug)]
pub struct ChatTemplate {
    name: String,
    environment: Environment<'static>,
    variables: Object,
}

impl ChatTemplate {
    /// The chat template of a model's or tokenizer's folder (of several, the one that is named
    /// `default`); `None` if it has none.
    ///
    /// # Errors
    /// Files that cannot be read, a template that cannot be compiled, or several of which none is the
    /// default.
    pub fn from_directory(folder: &Path) -> Result<Option<Self>, PromptError> {
        let templates = Self::all(folder)?;
        match templates.get(DEFAULT) {
            _ if templates.is_empty() => Ok(None),
            Some((file, text)) => Self::read(folder, file, text).map(Some),
            None => Err(refused(
                &folder.join(CONFIG),
                format!("none of the chat templates {} is the default", listed(&templates)),
            )),
        }
    }

    /// One of several chat templates by its name (`tool_use`, `rag`).
    ///
    /// # Errors
    /// As [`Self::from_directory`]; a name that is not there.
    pub fn named(folder: &Path, name: &str) -> Result<Self, PromptError> {
        let templates = Self::all(folder)?;
        match templates.get(name) {
            Some((file, text)) => Self::read(folder, file, text),
            None if templates.is_empty() => Err(refused(folder, "has no chat template".into())),
            None => Err(refused(
                folder,
                format!("has no chat template `{name}`: it has {}", listed(&templates)),
            )),
        }
    }

    /// Compiles a template; `name` is for messages, `special` are variables that every rendering sees
    /// (`bos_token`, `eos_token`).
    ///
    /// # Errors
    /// Text that is not a template.
    pub fn parse(name: &str, text: &str, special: Object) -> Result<Self, PromptError> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Lenient); // as Jinja in Python
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(|error| failed(name, &error))?);
        environment.set_unknown_method_callback(unknown_method_callback);
        environment.set_formatter(|out, _, value| out.write_str(&python::text(value)).map_err(Error::from));
        environment.add_filter("tojson", tojson);
        environment.add_filter("string", |value: &Value| python::text(value));
        environment.add_function("raise_exception", |message: String| -> Result<Value, Error> {
            Err(Error::new(ErrorKind::InvalidOperation, format!("{RAISED}{message}")))
        });
        environment.add_function("strftime_now", |format: String| {
            let told = jiff::fmt::strtime::format(&format, NOW);
            told.map_err(|error| Error::new(ErrorKind::InvalidOperation, format!("strftime_now: {error}")))
        });
        environment
            .add_template_owned(MAIN, without_generation_marks(text))
            .map_err(|error| failed(name, &error))?;
        Ok(Self {
            name: name.to_owned(),
            environment,
            variables: special,
        })
    }

    /// The text for messages; with `add_generation_prompt` it ends where the assistant begins to write.
    ///
    /// The text holds the special tokens that the template wrote: encode it with
    /// [`Tokenizer::encode`](crate::tokenizer::Tokenizer::encode), which reads them and adds none.
    ///
    /// # Errors
    /// What the template refuses (`raise_exception`) or cannot do.
    pub fn render<M: Serialize>(&self, messages: &[M], add_generation_prompt: bool) -> Result<String, PromptError> {
        self.render_with(messages, add_generation_prompt, Object::new())
    }

    /// As [`Self::render`], with more variables: `tools`, `documents`, `date_string`, what a template asks
    /// for. They stand before a special token of the same name.
    ///
    /// # Errors
    /// As [`Self::render`].
    pub fn render_with<M: Serialize>(
        &self,
        messages: &[M],
        add_generation_prompt: bool,
        variables: Object,
    ) -> Result<String, PromptError> {
        let mut seen = Object::new();
        // defined, and nothing, without tools: templates ask `tools is not none`
        seen.insert("tools".into(), serde_json::Value::Null);
        seen.insert("documents".into(), serde_json::Value::Null);
        seen.extend(self.variables.clone());
        seen.extend(variables);
        let messages = serde_json::to_value(messages)
            .map_err(|error| refused(Path::new(&self.name), format!("a message is no object: {error}")))?;
        seen.insert("messages".into(), messages);
        seen.insert("add_generation_prompt".into(), add_generation_prompt.into());
        let template = self.environment.get_template(MAIN);
        template
            .and_then(|template| template.render(Value::from(Serde(&seen))))
            .map_err(|error| failed(&self.name, &error))
    }

    fn read(folder: &Path, file: &Path, text: &str) -> Result<Self, PromptError> {
        Self::parse(&file.display().to_string(), text, special_tokens(folder)?)
    }

    /// The templates of a folder by name, each with the file that it is in. Files of their own stand
    /// before the configuration's, as in transformers.
    fn all(folder: &Path) -> Result<BTreeMap<String, (PathBuf, String)>, PromptError> {
        let mut found = BTreeMap::new();
        let own = folder.join("chat_template.jinja");
        if own.is_file() {
            let text = read(&own)?;
            found.insert(DEFAULT.to_owned(), (own, text));
        }
        let more = folder.join("additional_chat_templates");
        for entry in std::fs::read_dir(&more).into_iter().flatten() {
            let path = entry.map_err(io(&more))?.path();
            if path.extension().is_some_and(|extension| extension == "jinja") {
                let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                let text = read(&path)?;
                found.insert(name, (path, text));
            }
        }
        if !found.is_empty() {
            return Ok(found);
        }
        let file = folder.join(CONFIG);
        let wrong = |what: &str| refused(&file, format!("`chat_template` {what}"));
        match object(&file)?.get("chat_template") {
            None | Some(serde_json::Value::Null) => {}
            Some(serde_json::Value::String(text)) => {
                found.insert(DEFAULT.to_owned(), (file, text.clone()));
            }
            Some(serde_json::Value::Array(list)) => {
                for one in list {
                    let (Some(name), Some(text)) = (one["name"].as_str(), one["template"].as_str()) else {
                        return Err(wrong("has an entry without `name` and `template`"));
                    };
                    found.insert(name.to_owned(), (file.clone(), text.to_owned()));
                }
            }
            Some(_) => return Err(wrong("is neither a text nor a list of named ones")),
        }
        Ok(found)
    }
}

/// The special tokens of a folder by the names that templates have for them: `bos_token`, `eos_token`, ...
fn special_tokens(folder: &Path) -> Result<Object, PromptError> {
    let mut tokens = Object::new();
    for file in ["special_tokens_map.json", CONFIG] {
        for (name, token) in object(&folder.join(file))? {
            let content = token.as_str().or_else(|| token["content"].as_str());
            if let Some(content) = content.filter(|_| name.ends_with("_token")) {
                tokens.insert(name, content.into());
            } else if name == "additional_special_tokens" && token.is_array() {
                tokens.insert(name, token);
            }
        }
    }
    Ok(tokens)
}

/// A file's JSON object; an empty one without the file.
fn object(file: &Path) -> Result<Object, PromptError> {
    if !file.is_file() {
        return Ok(Object::new());
    }
    serde_json::from_str(&read(file)?).map_err(|error| refused(file, error.to_string()))
}

fn read(file: &Path) -> Result<String, PromptError> {
    std::fs::read_to_string(file).map_err(io(file))
}

fn io(path: &Path) -> impl FnOnce(std::io::Error) -> PromptError {
    let path = path.to_owned();
    move |source| PromptError::Io { path, source }
}

fn refused(file: &Path, message: String) -> PromptError {
    PromptError::Template {
        template: file.display().to_string(),
        line: None,
        message,
    }
}

fn listed(templates: &BTreeMap<String, (PathBuf, String)>) -> String {
    let names: Vec<String> = templates.keys().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}

/// `{% generation %}` marks what an assistant wrote, for training: it prints what is inside.
fn without_generation_marks(text: &str) -> String {
    static MARK: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"\{%([-+]?)\s*(end)?generation\s*([-+]?)%\}").expect("a constant pattern"));
    let replaced = MARK.replace_all(text, |found: &regex::Captures<'_>| {
        let block = if found.get(2).is_some() { "endif" } else { "if true" };
        format!("{{%{} {block} {}%}}", &found[1], &found[3])
    });
    replaced.into_owned()
}

fn tojson(value: &Value, options: Kwargs) -> Result<String, Error> {
    let indent = options.get::<Option<usize>>("indent")?;
    let separators = options.get::<Option<Vec<String>>>("separators")?;
    let between = if indent.is_some() { "," } else { ", " }; // as json.dumps
    let json = Json {
        indent,
        separators: match separators.as_deref() {
            None => (between.into(), ": ".into()),
            Some([items, keys]) => (items.clone(), keys.clone()),
            Some(_) => {
                return Err(Error::new(
                    ErrorKind::InvalidOperation,
                    "tojson: separators are two texts",
                ));
            }
        },
        sort_keys: options.get::<Option<bool>>("sort_keys")?.unwrap_or(false),
        ascii: options.get::<Option<bool>>("ensure_ascii")?.unwrap_or(false),
    };
    options.assert_all_used()?;
    Ok(json.dumps(value))
}

/// Before what a template says by `raise_exception`.
const RAISED: &str = "the chat template refuses these messages: ";

fn failed(name: &str, error: &Error) -> PromptError {
    let kind = error.kind();
    let message = match error.detail() {
        Some(detail) if detail.starts_with(RAISED) => detail.to_owned(),
        Some(detail) => format!("{kind}: {detail}"),
        None => kind.to_string(),
    };
    PromptError::Template {
        template: name.to_owned(),
        line: error.line(),
        message,
    }
}

#[cfg(test)]
mod tests;
