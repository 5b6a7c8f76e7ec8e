//! `--help-params`: a pipeline's parameters and what they are now.

use serde_json::{Value, json};

use super::arguments::{FileArguments, Global};
use super::look::options;
use super::print::{Paint, colour, line};
use crate::pipeline::{Parameter, load_parameters};
use crate::steps::KINDS;

/// Shows the parameters.
pub fn run(global: &Global, arguments: &FileArguments) -> anyhow::Result<u8> {
    let parameters = load_parameters(&arguments.file, &options(arguments), KINDS)?;
    if global.json {
        let list: Vec<Value> = parameters.iter().map(as_json).collect();
        line(json!({ "parameters": list }).to_string());
        return Ok(0);
    }
    if parameters.is_empty() {
        line(format!("{} has no parameters", arguments.file.display()));
    }
    for parameter in &parameters {
        tell(parameter);
    }
    Ok(0)
}

fn as_json(parameter: &Parameter) -> Value {
    let Parameter {
        name,
        kind,
        default,
        allowed,
        minimum,
        maximum,
        help,
        value,
        given,
    } = parameter;
    json!({
        "name": name,
        "type": kind.name(),
        "required": default.is_none(),
        "default": default,
        "allowed": allowed,
        "minimum": minimum,
        "maximum": maximum,
        "help": help,
        "value": value,
        "given": given,
    })
}

fn tell(parameter: &Parameter) {
    let mut facts = vec![parameter.kind.name().to_owned()];
    match &parameter.default {
        Some(default) => facts.push(format!("default {}", plain(default))),
        None => facts.push("required".into()),
    }
    if !parameter.allowed.is_empty() {
        let allowed: Vec<String> = parameter.allowed.iter().map(plain).collect();
        facts.push(format!("one of {}", allowed.join(", ")));
    }
    facts.extend(parameter.minimum.iter().map(|least| format!("at least {least}")));
    facts.extend(parameter.maximum.iter().map(|most| format!("at most {most}")));
    let value = match (&parameter.value, &parameter.given) {
        (Some(value), Some(given)) => Some(format!("= {} ({given})", plain(value))),
        (Some(_), None) => None,
        (None, _) => Some(Paint::Warn.on("has no value yet", colour())),
    };
    let facts = Paint::Faint.on(&facts.join(", "), colour());
    let parts: Vec<String> = std::iter::once(format!("{}  {facts}", parameter.name))
        .chain(value)
        .collect();
    line(parts.join("  "));
    for help in parameter.help.iter().flat_map(|help| help.trim().lines()) {
        line(format!("    {help}"));
    }
}

/// A value as a file would have it.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
