//! A prompt template: one minijinja file with a block for each part.

use std::path::Path;

use minijinja::value::{Serde, Value};
use minijinja::{AutoEscape, Environment, Error, UndefinedBehavior};

use super::PromptError;
use crate::data::Row;

/// The blocks that a template may have.
const BLOCKS: [&str; 4] = ["prompt", "answer", "separator", "preamble"];
const MAIN: &str = "main";
/// Put around the block that is wanted, to find it in what the whole template prints.
const MARKS: [char; 2] = ['\u{1}', '\u{2}'];

/// A prompt template over the fields of a row.
///
/// Blocks: `prompt` is what a model reads, `answer` what it should write (and what its output is
/// compared with), `separator` stands between few-shot examples (an empty line without one), and
/// `preamble` once before everything. Text outside of blocks may only be white space. A template
/// without blocks is a prompt as a whole. White space is the template's own: write `{%-` and `-%}`
/// to trim it. A field that the row does not have is an error.
#[derive(Debug)]
pub struct Template {
    name: String,
    environment: Environment<'static>,
    blocks: Vec<String>,
}

impl Template {
    /// Reads a template's file.
    ///
    /// # Errors
    /// A file that cannot be read or compiled, or blocks that are not known.
    pub fn load(path: &Path) -> Result<Self, PromptError> {
        let text = std::fs::read_to_string(path).map_err(|source| PromptError::Io {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(&path.display().to_string(), &text)
    }

    /// Compiles a template; `name` is for messages.
    ///
    /// # Errors
    /// Text that is not a template, or blocks that are not known.
    pub fn parse(name: &str, text: &str) -> Result<Self, PromptError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text).replace("\r\n", "\n");
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_auto_escape_callback(|_| AutoEscape::None); // a prompt is text, never a page
        environment
            .add_template_owned(MAIN, text.clone())
            .map_err(|error| failed(name, &error, None))?;
        let blocks = blocks_of(&text);
        for (block, line) in &blocks {
            if !BLOCKS.contains(&block.as_str()) {
                return Err(PromptError::Template {
                    template: name.to_owned(),
                    line: Some(*line),
                    message: format!("the block `{block}` is none of {}", BLOCKS.join(", ")),
                });
            }
        }
        let blocks: Vec<String> = blocks.into_iter().map(|(block, _)| block).collect();
        if !blocks.is_empty() && !blocks.iter().any(|block| block == "prompt") {
            return Err(PromptError::Template {
                template: name.to_owned(),
                line: None,
                message: "has blocks, and none of them is `prompt`".into(),
            });
        }
        // One template a block, which prints that block between marks and no other one, so that a row
        // without an answer still has a prompt.
        for wanted in &blocks {
            let mut child = format!("{{% extends {MAIN:?} %}}");
            for block in &blocks {
                let body = if block == wanted {
                    format!("{}{{{{ super() }}}}{}", MARKS[0], MARKS[1])
                } else {
                    String::new()
                };
                child += &format!("{{% block {block} %}}{body}{{% endblock %}}");
            }
            environment
                .add_template_owned(wanted.clone(), child)
                .map_err(|error| failed(name, &error, None))?;
        }
        Ok(Self {
            name: name.to_owned(),
            environment,
            blocks,
        })
    }

    /// What a model reads for a row.
    ///
    /// # Errors
    /// A field that the row does not have, or another error of the template.
    pub fn prompt(&self, row: &Row) -> Result<String, PromptError> {
        if self.blocks.is_empty() {
            return self.render(MAIN, row);
        }
        Ok(self.block("prompt", row)?.expect("parsing found the block"))
    }

    /// What a model should write for a row; `None` when the template has no `answer`.
    ///
    /// # Errors
    /// As [`Self::prompt`].
    pub fn answer(&self, row: &Row) -> Result<Option<String>, PromptError> {
        self.block("answer", row)
    }

    /// What an output is compared with: the answer without white space around it.
    ///
    /// # Errors
    /// As [`Self::prompt`].
    pub fn reference(&self, row: &Row) -> Result<Option<String>, PromptError> {
        Ok(self.answer(row)?.map(|answer| answer.trim().to_owned()))
    }

    /// Whether there is an `answer`.
    pub fn has_answer(&self) -> bool {
        self.blocks.iter().any(|block| block == "answer")
    }

    /// The fields that it reads, in the order of their names.
    pub fn fields(&self) -> Vec<String> {
        let Ok(template) = self.environment.get_template(MAIN) else {
            return Vec::new();
        };
        let read = template.undeclared_variables(false).into_iter();
        let mut fields: Vec<String> = read
            .filter(|name| !self.environment.globals().any(|(global, _)| global == name))
            .collect();
        fields.sort();
        fields
    }

    /// What stands between examples: an empty line unless the template has a `separator`.
    ///
    /// # Errors
    /// As [`Self::prompt`].
    pub fn separator(&self, row: &Row) -> Result<String, PromptError> {
        Ok(self.block("separator", row)?.unwrap_or_else(|| "\n\n".into()))
    }

    /// What stands once before everything: nothing unless the template has a `preamble`.
    ///
    /// # Errors
    /// As [`Self::prompt`].
    pub fn preamble(&self, row: &Row) -> Result<String, PromptError> {
        Ok(self.block("preamble", row)?.unwrap_or_default())
    }

    /// The whole prompt for an item, with examples before it:
    /// `preamble (prompt answer separator)* prompt`.
    ///
    /// # Errors
    /// As [`Self::prompt`]; examples for a template without an `answer`.
    pub fn with_examples(&self, examples: &[&Row], item: &Row) -> Result<String, PromptError> {
        let mut text = self.preamble(item)?;
        for example in examples {
            let answer = self.answer(example)?.ok_or_else(|| PromptError::Template {
                template: self.name.clone(),
                line: None,
                message: "examples need an `answer` block, which this template does not have".into(),
            })?;
            text += &self.prompt(example)?;
            text += &answer;
            text += &self.separator(item)?;
        }
        text += &self.prompt(item)?;
        Ok(text)
    }

    fn block(&self, block: &str, row: &Row) -> Result<Option<String>, PromptError> {
        if !self.blocks.iter().any(|known| known == block) {
            return Ok(None);
        }
        let text = self.render(block, row)?;
        let (Some(start), Some(end)) = (text.find(MARKS[0]), text.rfind(MARKS[1])) else {
            return Ok(None); // the block stands under a condition that does not hold for this row
        };
        let outside = [&text[..start], &text[end + 1..]];
        if let Some(stray) = outside.into_iter().map(str::trim).find(|stray| !stray.is_empty()) {
            return Err(PromptError::Template {
                template: self.name.clone(),
                line: None,
                message: format!("the text {stray:?} is outside of the blocks, where no model reads it"),
            });
        }
        Ok(Some(text[start + 1..end].to_owned()))
    }

    fn render(&self, template: &str, row: &Row) -> Result<String, PromptError> {
        let failed = |error: Error| failed(&self.name, &error, Some(&Missing::of(&self.environment, row)));
        let template = self.environment.get_template(template).map_err(failed)?;
        template.render(Value::from(Serde(row))).map_err(failed)
    }
}

/// The blocks of a template's text and their lines, in order.
fn blocks_of(text: &str) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(start) = text[at..].find("{#").into_iter().chain(text[at..].find("{%")).min() {
        let tag = &text[at + start..];
        if tag.starts_with("{#") {
            at += start + tag.find("#}").map_or(tag.len(), |end| end + 2);
            continue;
        }
        let mut words = tag[2..].trim_start_matches(['-', '+']).split_ascii_whitespace();
        if let (Some("block"), Some(name)) = (words.next(), words.next()) {
            let name = name.trim_end_matches("%}").trim_end_matches(['-', '+']);
            let line = text[..at + start].matches('\n').count() + 1;
            found.push((name.to_owned(), line));
        }
        at += start + 2;
    }
    found
}

/// A template's error: the innermost one, which is in the file and not in a template of ours around
/// it; `missing` is told of a field that is not there.
fn failed(name: &str, error: &Error, missing: Option<&Missing>) -> PromptError {
    let mut innermost = error;
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        innermost = inner.downcast_ref().unwrap_or(innermost);
        cause = inner.source();
    }
    let kind = innermost.kind();
    let mut message = innermost
        .detail()
        .map_or_else(|| kind.to_string(), |detail| format!("{kind}: {detail}"));
    if let Some(missing) = missing.filter(|_| kind == minijinja::ErrorKind::UndefinedError) {
        message = format!("{message}; {missing}");
    }
    let line = innermost.line().filter(|_| innermost.name() == Some(MAIN));
    PromptError::Template {
        template: name.to_owned(),
        line,
        message,
    }
}

/// What a template reads that a row does not have, and what it has.
struct Missing {
    wanted: Vec<String>,
    fields: Vec<String>,
}

impl Missing {
    fn of(environment: &Environment<'_>, row: &Row) -> Self {
        let template = environment.get_template(MAIN);
        let read = template
            .map(|template| template.undeclared_variables(false))
            .unwrap_or_default();
        let known = |name: &String| row.contains_key(name) || environment.globals().any(|(global, _)| global == name);
        let mut wanted: Vec<_> = read
            .into_iter()
            .filter(|name| !known(name))
            .map(|name| format!("`{name}`"))
            .collect();
        wanted.sort();
        let fields = row.keys().map(|name| format!("`{name}`")).collect();
        Self { wanted, fields }
    }
}

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { wanted, fields } = self;
        if !wanted.is_empty() {
            write!(f, "the template reads {}, ", wanted.join(", "))?;
        }
        write!(f, "the row has {}", fields.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const SUMMARY: &str = "{#- {% block x %} is only a remark -#}\n\
        {%- macro say(who) -%}{{ who }}:{%- endmacro -%}\n\
        {% set word = \"Summary\" %}\n\
        {% block prompt -%}\nDialogue:\n{{ dialogue }}\n{{ say(word) }}{% endblock %}\n\
        {% block answer %} {{ summary }}{%endblock%}\n";

    fn row(value: serde_json::Value) -> Row {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn blocks_are_taken_one_by_one() {
        let template = Template::parse("s.jinja", SUMMARY).unwrap();
        let full = row(json!({"dialogue": "<A> \u{1}hi & bye\u{2}", "summary": "They greet."}));
        assert_eq!(
            template.prompt(&full).unwrap(),
            "Dialogue:\n<A> \u{1}hi & bye\u{2}\nSummary:"
        );
        assert_eq!(template.answer(&full).unwrap().unwrap(), " They greet.");
        assert_eq!(template.reference(&full).unwrap().unwrap(), "They greet.");
        assert_eq!(template.separator(&full).unwrap(), "\n\n");
        assert_eq!(template.preamble(&full).unwrap(), "");
        let bare = row(json!({"dialogue": "x"}));
        assert_eq!(template.prompt(&bare).unwrap(), "Dialogue:\nx\nSummary:");
        let error = template.answer(&bare).unwrap_err().to_string();
        assert_eq!(
            error,
            "s.jinja:8: undefined value; the template reads `summary`, the row has `dialogue`"
        );
    }

    #[test]
    fn examples_stand_before_the_item() {
        let text = "{% block preamble %}Go.\n{% endblock %}{% block prompt %}{{ q }}={% endblock %}\
            {% block answer %}{{ a }}{% endblock %}{% block separator %}\n{% endblock %}";
        let template = Template::parse("t", text).unwrap();
        let (one, two, item) = (
            row(json!({"q": 1, "a": 2})),
            row(json!({"q": 3, "a": 4})),
            row(json!({"q": 5})),
        );
        assert_eq!(
            template.with_examples(&[&one, &two], &item).unwrap(),
            "Go.\n1=2\n3=4\n5="
        );
        assert_eq!(template.with_examples(&[], &item).unwrap(), "Go.\n5=");
    }

    #[test]
    fn without_blocks_everything_is_the_prompt() {
        let template = Template::parse("t", "Once {{ who }}").unwrap();
        let item = row(json!({"who": "Ana"}));
        assert_eq!(template.prompt(&item).unwrap(), "Once Ana");
        assert_eq!(template.answer(&item).unwrap(), None);
        assert!(template.with_examples(&[&item], &item).is_err());
    }

    #[test]
    fn what_is_wrong_is_said_at_once() {
        let error = |text: &str| Template::parse("t.jinja", text).unwrap_err().to_string();
        assert!(error("a\n{%- block promt %}x{% endblock %}").starts_with("t.jinja:2: the block `promt` is none of"));
        assert!(error("{% block answer %}x{% endblock %}").contains("none of them is `prompt`"));
        assert!(error("{{ x ").starts_with("t.jinja:1"));
        let stray = Template::parse("t", "Hello {% block prompt %}x{% endblock %}").unwrap();
        assert!(
            stray
                .prompt(&row(json!({})))
                .unwrap_err()
                .to_string()
                .contains("\"Hello\" is outside")
        );
    }
}
