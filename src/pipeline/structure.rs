//! The schema of a pipeline file, what is under `with:` aside.

use serde_json::{Value, json};

use super::check::ELSEWHERE_MARK;
use crate::step::Kind;

/// Names of pipelines, steps and axes: they become parts of file names, references and columns.
pub(super) const NAME: &str = "^[a-z][a-z0-9_-]*$";
const NAME_WORDS: &str = "a name of small letters, digits, `-` and `_`, a letter first";

/// A placeholder that is the whole value.
const WHOLE_PLACEHOLDER: &str = r"^\$\{[^}]*\}$";

/// The file's schema; `step` is that of one step.
pub(super) fn file(step: &Value) -> Value {
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["pipeline", "steps"],
        "properties": {
            "pipeline": name("The pipeline's name."),
            "about": { "type": "string", "description": "What it is for, in a sentence." },
            "seed": or_placeholder("The root of all random numbers; 0 if absent.", plain::seed()),
            "include": include(),
            "params": params(),
            "steps": steps(step),
        },
    })
}

/// The schema of a file that others include.
pub(super) fn included(step: &Value) -> Value {
    json!({
        "type": "object",
        "additionalProperties": false,
        "minProperties": 1,
        "properties": { "include": include(), "params": params(), "steps": steps(step) },
    })
}

fn include() -> Value {
    let path = json!({
        "type": "string",
        "minLength": 1,
        // no `${`: files are read before anything is put in
        "pattern": r"^([^$]|\$+[^${])*\$*$",
        "x-words": "a path without placeholders",
    });
    json!({
        "description": "Files with more parameters and steps, relative to this one.",
        "anyOf": [path, { "type": "array", "minItems": 1, "items": path }],
    })
}

fn params() -> Value {
    json!({
        "type": "object",
        "description": "Values for `${params.name}`; `fragua run FILE --set name=value` changes one.",
        "propertyNames": name("A parameter's name."),
    })
}

fn steps(step: &Value) -> Value {
    json!({
        "type": "object",
        "description": "The steps by name. A step that names another in its settings runs after it.",
        "minProperties": 1,
        "propertyNames": name("A step's name."),
        "additionalProperties": step,
    })
}

/// Keys of a step that are easily written under `with:`.
pub(super) const OWN_KEYS: [&str; 6] = ["matrix", "repeat", "when", "resources", "retries", "timeout"];

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
            "matrix": matrix(),
            "repeat": or_placeholder(
                "How often the step runs, with another seed each time: an axis `repeat` from 1 on.",
                plain::repeat(),
            ),
            "when": when(),
            "about": { "type": "string", "description": "What it is for, in a sentence." },
            "seed": or_placeholder("The root of this step's random numbers; the pipeline's if absent.", plain::seed()),
            "resources": {
                "type": "object",
                "description": "What an instance takes of the machine: it says when and where it runs.",
                "additionalProperties": false,
                "properties": {
                    "cpus": or_placeholder("Threads.", plain::cpus()),
                    "memory": or_placeholder("Main memory: `4GiB`, `512MB`.", plain::memory()),
                    "gpus": or_placeholder("Graphics devices; 0 has it compute on the CPU.", plain::gpus()),
                },
            },
            "retries": or_placeholder("How often an instance is tried again after a failure; 0 if absent.", plain::retries()),
            "timeout": or_placeholder("How long one attempt may take: `90s`, `10m`, `2h 30m`.", plain::timeout()),
        },
    })
}

fn matrix() -> Value {
    let plain = json!({ "type": ["string", "number", "boolean", "null"], "x-words": "a plain value" });
    let entries = |description: &str, value: Value| {
        json!({
            "type": "array",
            "minItems": 1,
            "description": description,
            "items": { "type": "object", "minProperties": 1, "additionalProperties": value },
        })
    };
    let new = json!({ "type": "object", "minProperties": 1, "maxProperties": 1, "x-words": "a label with its value" });
    json!({
        "type": "object",
        "description": "Axes with their values, a list or a mapping from labels to values: the step runs once for \
            every combination, `${matrix.axis}` standing for the value.",
        "minProperties": 1,
        "propertyNames": name("An axis."),
        "properties": {
            "include": entries(
                "Combinations to add: each names every axis. `{label: value}` is a value that the axis has not.",
                json!({ "anyOf": [plain, new] }),
            ),
            "exclude": entries("Combinations to remove: those with all values that an entry names.", plain.clone()),
        },
        "additionalProperties": {
            // the matrix has better words for what is wrong with an axis
            ELSEWHERE_MARK: true,
            "anyOf": [
                { "type": "array", "minItems": 1, "items": plain },
                { "type": "object", "minProperties": 1 },
                { "type": "string", "pattern": WHOLE_PLACEHOLDER },
            ],
        },
    })
}

fn when() -> Value {
    let plain = json!({ "type": ["string", "number", "boolean", "null"], "x-words": "a plain value" });
    json!({
        "description": "Whether the step takes part: a parameter that is true or false, or parameters with the \
            values (one, or a list) that all of them must have.",
        "anyOf": [
            plain::switch(),
            { "type": "string", "pattern": WHOLE_PLACEHOLDER, "x-words": "true or false" },
            {
                "type": "object",
                "minProperties": 1,
                "additionalProperties": {
                    "anyOf": [plain, { "type": "array", "minItems": 1, "items": plain }],
                },
            },
        ],
    })
}

/// Values of a step's own keys, once placeholders are gone.
pub(super) mod plain {
    use serde_json::{Value, json};

    use crate::pipeline::quantity::{BYTES, DURATION};

    pub fn switch() -> Value {
        json!({ "type": "boolean" })
    }

    pub fn seed() -> Value {
        json!({ "type": "integer", "minimum": 0 })
    }

    pub fn repeat() -> Value {
        json!({ "type": "integer", "minimum": 1, "maximum": 1000 })
    }

    pub fn cpus() -> Value {
        json!({ "type": "integer", "minimum": 1, "maximum": 4096 })
    }

    pub fn memory() -> Value {
        json!({ "type": "string", "pattern": BYTES, "x-words": "a size such as `4GiB` or `512MB`" })
    }

    pub fn gpus() -> Value {
        json!({ "type": "integer", "minimum": 0, "maximum": 1024 })
    }

    pub fn retries() -> Value {
        json!({ "type": "integer", "minimum": 0, "maximum": 100 })
    }

    pub fn timeout() -> Value {
        json!({ "type": "string", "pattern": DURATION, "x-words": "a time such as `90s`, `10m` or `2h 30m`" })
    }
}

/// A plain value, or a placeholder for one.
fn or_placeholder(description: &str, plain: Value) -> Value {
    let text = plain["type"] == "string";
    // a placeholder may be a part of text; a number it must be alone
    let pattern = if text { r"\$\{[^}]*\}" } else { WHOLE_PLACEHOLDER };
    let words = plain.get("x-words").cloned().unwrap_or_else(|| json!("a whole number"));
    let placeholder = json!({ "type": "string", "pattern": pattern, "x-words": words });
    json!({ "description": description, "anyOf": [plain, placeholder] })
}

fn name(description: &str) -> Value {
    json!({ "type": "string", "description": description, "pattern": NAME, "x-words": NAME_WORDS })
}
