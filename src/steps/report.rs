//! `uses: report`: a page that compares everything that was scored, with its tables as CSV.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::report::{self, Language, Options};
use crate::step::{
    Ancestor, ArtifactType, Context, Input, Key, KeyError, Kind, Needs, Problem, Refs, Scores, Step, parse_as,
    schema_of,
};

/// The kind.
pub const KIND: Kind = Kind {
    name: "report",
    about: "Compares scores in one HTML page, with tables as CSV, charts, outputs side by side and all settings.",
    version: 3,
    output: ArtifactType::Report,
    example: "uses: report\nwith: {scores: scores, baseline: {model: base, shots: 0}}\n",
    schema: schema_of::<Report>,
    parse: parse_as::<Report>,
};

/// Compares scores: `index.html`, a page that opens from disk without a network (many samples are in
/// files beside it), and tables for other tools: `scores.csv` in long form, `samples.csv`,
/// the same as Parquet with `paired.parquet`, `scores.json`, `report.md`, `scores.tex`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// The scores to compare: an `evaluate` step with all its instances, or a list of such steps.
    scores: Refs<Scores>,
    /// What differences are counted from, as values of matrix axes. `{model: base, shots: 0}` is one
    /// system; `{model: base}` compares each with the base model in the same setting. `generations`
    /// names a step where there is no matrix.
    #[serde(default)]
    baseline: BTreeMap<String, AxisValue>,
    /// The language of the page's own words.
    #[serde(default)]
    language: Language,
    /// The headline. Default: the pipeline's name.
    #[serde(default)]
    title: Option<String>,
}

/// A value on a matrix axis, as text whatever it was in YAML.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
struct AxisValue(String);

impl<'de> Deserialize<'de> for AxisValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(text) => Ok(Self(text)),
            value @ (Value::Number(_) | Value::Bool(_)) => Ok(Self(value.to_string())),
            _ => Err(serde::de::Error::custom(
                "a value on a matrix axis is a text, a number or a truth value",
            )),
        }
    }
}

impl JsonSchema for AxisValue {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "AxisValue".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": ["string", "number", "boolean"]})
    }
}

/// Names that `scores.csv` and `samples.csv` use for columns of their own.
const COLUMNS: &[&str] = &[
    "generations",
    "metric",
    "value",
    "n",
    "low",
    "high",
    "signature",
    "id",
    "prompt",
    "output",
    "references",
    "finish",
    "prompt_tokens",
    "output_tokens",
    "slice_field",
    "slice_value",
];

impl Step for Report {
    fn needs(&self) -> Needs {
        Needs {
            lineage: true,
            ..Needs::default()
        }
    }

    fn check(&self, inputs: &[Input]) -> Vec<Problem> {
        let mut problems = Vec::new();
        let axes: BTreeSet<&str> = inputs
            .iter()
            .flat_map(|input| &input.axes)
            .map(|(axis, _)| axis.as_str())
            .collect();
        for axis in axes.iter().filter(|axis| COLUMNS.contains(axis)) {
            let fact = format!("the matrix axis `{axis}` has the name of a column of scores.csv or samples.csv");
            problems.push(Problem::at("scores", fact).help("give the axis another name"));
        }
        for (axis, AxisValue(value)) in self.baseline.iter().filter(|(axis, _)| *axis != "generations") {
            let place = format!("baseline.{axis}");
            let values: BTreeSet<&str> = inputs
                .iter()
                .flat_map(|input| input.axes.iter().filter(|(name, _)| name == axis))
                .map(|(_, value)| value.as_str())
                .collect();
            let listed = |names: &BTreeSet<&str>| names.iter().copied().collect::<Vec<_>>().join(", ");
            if values.is_empty() {
                let help = match axes.len() {
                    0 => "the scores have no matrix axes; name a step with `generations` instead".to_owned(),
                    _ => format!("their axes are: {}", listed(&axes)),
                };
                problems.push(Problem::at(&place, format!("the scores have no matrix axis `{axis}`")).help(help));
            } else if !values.contains(value.as_str()) {
                let fact = format!("no score has `{axis}` = `{value}`, so it cannot be the baseline");
                problems.push(Problem::at(&place, fact).help(format!("its values are: {}", listed(&values))));
            }
        }
        problems
    }

    fn key(&self, key: &mut Key) -> Result<(), KeyError> {
        let Self {
            scores,
            baseline,
            language,
            title,
        } = self;
        key.artifacts("scores", scores);
        key.set("baseline", baseline);
        key.set("language", language);
        key.set("title", title);
        Ok(())
    }

    fn run(&self, context: &Context) -> anyhow::Result<()> {
        let inputs: Vec<&Input> = self.scores.iter().map(|scores| context.input(scores)).collect();
        let mut material = report::read(&inputs, &context.lineage)?;
        material.defaults = defaults(&context.lineage);
        let (name, about) = &context.pipeline;
        let options = Options {
            title: self.title.clone().unwrap_or_else(|| name.clone()),
            about: about.clone(),
            language: self.language,
            baseline: self
                .baseline
                .iter()
                .map(|(axis, AxisValue(value))| (axis.clone(), value.clone()))
                .collect(),
        };
        report::write(&material, &options, &context.out)?;
        Ok(())
    }
}

/// What the settings of the kinds in a history are where a file does not say: the `default` of each
/// property in their schemas.
fn defaults(lineage: &[Ancestor]) -> BTreeMap<String, Value> {
    let kinds: BTreeSet<&str> = lineage.iter().map(|ancestor| ancestor.kind.as_str()).collect();
    let known = |name: &str| super::KINDS.iter().find(|kind| kind.name == name);
    let of = |name: &str| {
        let schema = (known(name)?.schema)();
        let root = schema.as_value();
        Some((name.to_owned(), defaults_in(root, root, 0)))
    };
    kinds.into_iter().filter_map(of).collect()
}

fn defaults_in(schema: &Value, root: &Value, depth: usize) -> Value {
    const DEEPEST: usize = 8; // a schema that refers to itself has no end
    if let Some(default) = schema.get("default") {
        return default.clone();
    }
    if depth > DEEPEST {
        return Value::Null;
    }
    let target = schema["$ref"]
        .as_str()
        .and_then(|path| root.pointer(path.strip_prefix('#')?));
    if let Some(target) = target {
        return defaults_in(target, root, depth + 1);
    }
    let properties = schema["properties"].as_object().into_iter().flatten();
    let fields = properties.map(|(name, property)| (name.clone(), defaults_in(property, root, depth + 1)));
    Value::Object(fields.filter(|(_, default)| !default.is_null()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn input(model: &str, shots: &str) -> Input {
        Input {
            text: format!("scores[model={model},shots={shots}]"),
            instance: format!("scores[model={model},shots={shots}]"),
            step: "scores".into(),
            kind: "evaluate".into(),
            artifact: ArtifactType::Scores,
            part: None,
            parts: Vec::new(),
            architecture: None,
            axes: vec![("model".into(), model.into()), ("shots".into(), shots.into())],
            path: Default::default(),
            digest: None,
        }
    }

    fn problems(baseline: Value) -> Vec<Problem> {
        let step: Report = serde_json::from_value(json!({"scores": "scores", "baseline": baseline})).unwrap();
        step.check(&[input("base", "0"), input("tuned", "0")])
    }

    #[test]
    fn a_baseline_names_axes_and_values_that_exist() {
        assert!(problems(json!({"model": "base", "shots": 0})).is_empty());
        let found = problems(json!({"modle": "base", "shots": 7}));
        assert_eq!(found.len(), 2);
        assert!(found[0].help.as_deref().unwrap().contains("model, shots"));
        assert_eq!(found[1].path, ["baseline", "shots"]);
    }
}
