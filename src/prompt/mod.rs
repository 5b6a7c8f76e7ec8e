//! Prompts: templates over rows, few-shot examples, and what fits a context window.

mod error;
mod template;

pub mod few_shot;

pub use error::PromptError;
pub use template::Template;
