//! How what was said becomes what a model reads.

use serde_json::Value;

use super::GenerateError;
use crate::data::Row;
use crate::prompt::{ChatTemplate, Message, Template};

/// A message and what the model said to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// What was said to the model.
    pub message: String,
    /// What it wrote.
    pub answer: String,
}

/// What a model is used to read.
pub enum Speech {
    /// Messages in the form of its own chat template; a prompt template, if there is one, says what of
    /// a row is asked and answered.
    Chat(Box<ChatTemplate>, Option<Box<Asking>>),
    /// A prompt template, with the message in one of its fields.
    Template(Box<Asking>),
    /// Text that it continues.
    Plain,
}

/// A prompt template and the field that messages go into.
pub struct Asking {
    /// The template.
    pub template: Template,
    /// The field.
    pub field: String,
    /// The other fields that the template reads, which stay empty.
    others: Vec<String>,
}

impl Asking {
    /// A template and its field for messages: the one that is named, or the only one that its prompt
    /// shows.
    ///
    /// # Errors
    /// A field that the template does not read, or several that could be meant.
    pub fn of(template: Template, field: Option<&str>) -> Result<Self, GenerateError> {
        const MARK: &str = "\u{1a}mark\u{1a}";
        let all = template.fields();
        let empty = |wanted: &str| -> Row {
            let value = |name: &String| if name == wanted { MARK } else { "" };
            all.iter()
                .map(|name| (name.clone(), Value::from(value(name))))
                .collect()
        };
        let shown = |name: &&String| template.prompt(&empty(name)).is_ok_and(|prompt| prompt.contains(MARK));
        let shown: Vec<String> = all.iter().filter(shown).cloned().collect();
        let field = match (field, shown.as_slice()) {
            (Some(field), _) if shown.iter().any(|name| name == field) => field.to_owned(),
            (None, [only]) => only.clone(),
            (Some(field), _) => {
                return Err(GenerateError::Field(format!(
                    "the template's prompt shows no field `{field}`; it shows {}",
                    listed(&shown)
                )));
            }
            (None, []) => {
                return Err(GenerateError::Field(
                    "the template's prompt shows no field that a message could go into".into(),
                ));
            }
            (None, _) => {
                return Err(GenerateError::Field(format!(
                    "the template's prompt shows the fields {}: name the one that messages go into",
                    listed(&shown)
                )));
            }
        };
        let others = all.into_iter().filter(|name| *name != field).collect();
        Ok(Self {
            template,
            field,
            others,
        })
    }

    /// A row with a message in its field.
    pub fn row(&self, message: &str) -> Row {
        let others = self.others.iter().map(|name| (name.clone(), Value::from("")));
        let field = (self.field.clone(), Value::from(message));
        others.chain([field]).collect()
    }
}

fn listed(names: &[String]) -> String {
    let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}

impl Speech {
    /// The template that rows are shown by, as examples.
    pub fn asking(&self) -> Option<&Asking> {
        match self {
            Self::Chat(_, asking) => asking.as_deref(),
            Self::Template(asking) => Some(asking),
            Self::Plain => None,
        }
    }

    /// What the model reads: what it is told beforehand, examples, what was said, and the message.
    ///
    /// # Errors
    /// A template that refuses.
    pub fn text(
        &self,
        system: Option<&str>,
        examples: &[&Row],
        turns: &[Turn],
        message: &str,
    ) -> Result<String, GenerateError> {
        match self {
            Self::Chat(chat, asking) => {
                let mut messages: Vec<Message> = system.map(|text| Message::new("system", text)).into_iter().collect();
                for example in examples {
                    let asking = asking.as_ref().expect("examples come with a template");
                    messages.push(Message::new("user", asking.template.prompt(example)?));
                    let answer = asking.template.reference(example)?.unwrap_or_default();
                    messages.push(Message::new("assistant", answer));
                }
                for turn in turns {
                    messages.push(Message::new("user", turn.message.as_str()));
                    messages.push(Message::new("assistant", turn.answer.trim()));
                }
                messages.push(Message::new("user", message));
                Ok(chat.render(&messages, true)?)
            }
            Self::Template(asking) => {
                let template = &asking.template;
                let item = asking.row(message);
                let mut text = before(system);
                text += &template.preamble(&item)?;
                for example in examples {
                    text += &template.prompt(example)?;
                    text += &template.answer(example)?.unwrap_or_default();
                    text += &template.separator(&item)?;
                }
                for turn in turns {
                    text += &template.prompt(&asking.row(&turn.message))?;
                    text += &turn.answer;
                    text += &template.separator(&item)?;
                }
                text += &template.prompt(&item)?;
                Ok(text)
            }
            Self::Plain => {
                let mut text = before(system);
                for turn in turns {
                    text += &turn.message;
                    text += &turn.answer;
                    if !text.ends_with('\n') {
                        text.push('\n');
                    }
                }
                text += message;
                Ok(text)
            }
        }
    }
}

/// What a model is told beforehand, where no template has a place for it.
fn before(system: Option<&str>) -> String {
    system.map(|text| format!("{text}\n\n")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asking(text: &str) -> Result<Asking, GenerateError> {
        Asking::of(Template::parse("t", text).unwrap(), None)
    }

    #[test]
    fn a_message_goes_into_the_only_field_that_the_prompt_shows() {
        let text = "{% block prompt %}{{ d }}\nS:{% endblock %}{% block answer %} {{ s }}{% endblock %}";
        let speech = Speech::Template(Box::new(asking(text).unwrap()));
        assert_eq!(speech.asking().unwrap().field, "d");
        let example: Row = serde_json::from_str(r#"{"d": "a", "s": "b"}"#).unwrap();
        let turns = [Turn {
            message: "m".into(),
            answer: " n".into(),
        }];
        let text = speech.text(Some("Be brief."), &[&example], &turns, "o").unwrap();
        assert_eq!(text, "Be brief.\n\na\nS: b\n\nm\nS: n\n\no\nS:");
        let error = asking("{{ a }} {{ b }}").map(|asking| asking.field).unwrap_err();
        assert!(error.to_string().contains("`a`, `b`: name the one"), "{error}");
        let two = Template::parse("t", "{{ a }} {{ b }}").unwrap();
        assert_eq!(Asking::of(two, Some("b")).unwrap().field, "b");
        assert!(asking("nothing").is_err());
    }

    #[test]
    fn plain_text_goes_on() {
        let turns = [Turn {
            message: "Once".into(),
            answer: " upon".into(),
        }];
        assert_eq!(Speech::Plain.text(None, &[], &turns, "a").unwrap(), "Once upon\na");
    }

    #[test]
    fn a_chat_has_messages_by_role() {
        let text = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}{% if add_generation_prompt %}<a>{% endif %}";
        let chat = ChatTemplate::parse("c", text, serde_json::Map::new()).unwrap();
        let speech = Speech::Chat(Box::new(chat), None);
        let turns = [Turn {
            message: "hi".into(),
            answer: " ho\n".into(),
        }];
        let text = speech.text(Some("s"), &[], &turns, "x").unwrap();
        assert_eq!(text, "<system>s<user>hi<assistant>ho<user>x<a>");
    }
}
