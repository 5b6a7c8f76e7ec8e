//! Prompt templates, few-shot examples, instruction spans.
