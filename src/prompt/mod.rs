//! Prompts: templates over rows, few-shot examples, what fits a context window, and models' chat templates.

mod error;
mod python;
mod template;

pub mod chat;
pub mod few_shot;

pub use chat::{ChatTemplate, Message};
pub use error::PromptError;
pub use template::Template;
