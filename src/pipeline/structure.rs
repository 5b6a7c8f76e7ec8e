//! The schema of a pipeline file, what is under `with:` aside.

use serde_json::{Value, json};

use crate::step::Kind;

/// Names of pipelines, steps and axes: they become parts of file names, references and columns.
pub(super) const NAME: &str = "^[a-z][a-z0-9_-]*$";
const NAME_WORDS: &str = "a name of small letters, digits, `-` and `_`, a letter first";

/// The file's schema; `step` is that of one step.
pub(super) fn file(step: &Value) -> Value {
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["pipeline", "steps"],
        "properties": {
            "pipeline": name("The pipeline's name."),
            "about": { "type": "string", "description": "What it is for, in a sentence." },
            "seed": seed("The root of all random numbers; 0 if absent."),
            "params": {
                "type": "object",
                "description": "Values for `${params.name}`; `fragua run FILE --set name=value` changes one.",
                "propertyNames": name("A parameter's name."),
            },
            "steps": {
                "type": "object",
                "description": "The steps by name. A step that names another in its settings runs after it.",
                "minProperties": 1,
                "propertyNames": name("A step's name."),
                "additionalProperties": step,
            },
        },
    })
}

/// One step's schema.
pub(super) fn step(kinds: &[Kind]) -> Value {
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["uses"],
        "properties": {
            "uses": {
                "type": "string",
                "description": "The kind of step.",
                "enum": kinds.iter().map(|kind| kind.name).collect::<Vec<_>>(),
            },
            "with": { "type": "object", "description": "The kind's settings." },
            "matrix": {
                "type": "object",
                "description": "Axes with a list of values each: the step runs once for every combination, \
                    `${matrix.axis}` standing for the value.",
                "minProperties": 1,
                "propertyNames": name("An axis."),
            },
            "about": { "type": "string", "description": "What it is for, in a sentence." },
            "seed": seed("The root of this step's random numbers; the pipeline's if absent."),
        },
    })
}

/// A seed once placeholders are gone.
pub(super) fn seed_number() -> Value {
    json!({ "type": "integer", "minimum": 0 })
}

fn seed(description: &str) -> Value {
    let placeholder = json!({ "type": "string", "pattern": r"^\$\{.*\}$", "x-words": "a whole number" });
    json!({ "description": description, "anyOf": [seed_number(), placeholder] })
}

fn name(description: &str) -> Value {
    json!({ "type": "string", "description": description, "pattern": NAME, "x-words": NAME_WORDS })
}
