//! The reference page of a step kind, from the definitions that parse the file.

use std::fmt::Write;

use serde_json::{Map, Value};

use crate::step::Kind;

/// The page: what the kind does, an example, every setting.
pub fn page(kind: &Kind) -> String {
    let schema = (kind.schema)().to_value();
    let mut page = format!("# `{}`\n\n{}\n\n", kind.name, sentence(kind.about));
    let _ = writeln!(
        page,
        "Makes: {}.\n\n```yaml\n{}\n```\n",
        kind.output,
        kind.example.trim()
    );
    page.push_str("## Settings\n\n| setting | type | default | meaning |\n|---|---|---|---|\n");
    let walk = Walk { root: &schema };
    for row in walk.settings(&schema, "", 0) {
        let _ = writeln!(
            page,
            "| `{}` | {} | {} | {} |",
            row.name, row.kind, row.default, row.meaning
        );
    }
    page
}

struct Row {
    name: String,
    kind: String,
    default: String,
    meaning: String,
}

/// Settings nest a few levels; a schema that refers to itself must end somewhere.
const DEEPEST: usize = 5;

struct Walk<'a> {
    root: &'a Value,
}

impl<'a> Walk<'a> {
    /// The settings of an object, those of nested objects after their own row.
    fn settings(&self, schema: &'a Value, prefix: &str, depth: usize) -> Vec<Row> {
        let mut rows: Vec<Row> = Vec::new();
        for schema in self.shapes(schema) {
            let required: Vec<_> = list(schema, "required").iter().filter_map(Value::as_str).collect();
            for (name, setting) in members(schema, "properties") {
                let full = format!("{prefix}{name}");
                if rows.iter().any(|row| row.name == full) {
                    continue; // a variant's tag, or a setting that several variants share
                }
                let resolved = self.resolve(setting);
                let default = setting.get("default").or_else(|| resolved.get("default"));
                rows.push(Row {
                    kind: cell(&self.type_of(setting)),
                    default: match default {
                        Some(Value::Null) => String::new(),
                        Some(Value::Object(fields)) if !fields.is_empty() => "see below".into(),
                        Some(value) => format!("`{}`", cell(&value.to_string())),
                        None if required.contains(&name.as_str()) => "required".into(),
                        None => String::new(),
                    },
                    meaning: cell(&self.meaning(setting)),
                    name: full.clone(),
                });
                if depth < DEEPEST {
                    rows.extend(self.settings(setting, &format!("{full}."), depth + 1));
                }
            }
        }
        rows
    }

    /// The object schemas that a setting may be, through references, options and variants.
    fn shapes(&self, schema: &'a Value) -> Vec<&'a Value> {
        let schema = self.resolve(schema);
        let mut shapes = Vec::new();
        if schema.get("properties").is_some() {
            shapes.push(schema);
        }
        for branch in ["anyOf", "oneOf", "allOf"] {
            for option in list(schema, branch) {
                shapes.extend(self.shapes(option));
            }
        }
        shapes
    }

    fn resolve(&self, schema: &'a Value) -> &'a Value {
        let name = schema.get("$ref").and_then(Value::as_str);
        let target = name.and_then(|name| self.root.pointer(name.strip_prefix('#')?));
        target.unwrap_or(schema)
    }

    /// A word for the type: `integer ≥ 1`, `` `cosine` or `constant` ``, `reference to a model`.
    fn type_of(&self, schema: &'a Value) -> String {
        let own = self.resolve(schema);
        let references: Vec<_> = list(own, "x-artifact").iter().filter_map(Value::as_str).collect();
        if !references.is_empty() {
            let named = references.iter().map(|name| match name.ends_with('s') {
                true => (*name).to_owned(), // generations, scores
                false => format!("a {name}"),
            });
            return format!("reference to {}", alternatives(named));
        }
        if own.get("x-path").is_some() {
            return "path".into();
        }
        if let Some(value) = own.get("const") {
            return format!("`{}`", plain(value));
        }
        let values = list(own, "enum");
        if !values.is_empty() {
            return alternatives(values.iter().map(|value| format!("`{}`", plain(value))));
        }
        for branch in ["anyOf", "oneOf"] {
            let options = list(own, branch);
            if !options.is_empty() {
                let is_null = |option: &Value| option.get("type").and_then(Value::as_str) == Some("null");
                return alternatives(
                    options
                        .iter()
                        .filter(|option| !is_null(option))
                        .map(|option| self.type_of(option)),
                );
            }
        }
        let words: Vec<_> = match own.get("type") {
            Some(Value::String(one)) => vec![one.as_str()],
            Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        let words = words.into_iter().filter(|word| *word != "null");
        let word = alternatives(words.map(|word| match (word, own.get("items")) {
            ("array", Some(items)) => format!("list of {}", self.type_of(items)),
            ("object", _) => "mapping".to_owned(),
            ("string", _) => "text".to_owned(),
            ("boolean", _) => "`true` or `false`".to_owned(),
            (other, _) => other.to_owned(),
        }));
        format!("{}{}", if word.is_empty() { "any" } else { &word }, range(own))
    }

    /// What is written about a setting, and about each of its alternatives.
    fn meaning(&self, setting: &'a Value) -> String {
        let own = self.resolve(setting);
        let about = |schema: &Value| schema.get("description").and_then(Value::as_str).map(str::to_owned);
        let mut text = sentence(&about(setting).or_else(|| about(own)).unwrap_or_default());
        let options = ["oneOf", "anyOf"].into_iter().flat_map(|branch| list(own, branch));
        for option in options.flat_map(|option| std::iter::once(option).chain(list(self.resolve(option), "oneOf"))) {
            let value = option.get("const");
            if let (Some(value), Some(about)) = (value, about(option)) {
                let _ = write!(text, " `{}`: {}", plain(value), sentence(&about));
            }
        }
        text
    }
}

fn range(schema: &Value) -> String {
    let signs = [
        ("minimum", "≥"),
        ("exclusiveMinimum", ">"),
        ("maximum", "≤"),
        ("exclusiveMaximum", "<"),
    ];
    let mut parts: Vec<String> = Vec::new();
    for (name, sign) in signs {
        // formats of whole numbers bring bounds of their own (2^32 - 1), which say nothing
        if let Some(bound) = schema
            .get(name)
            .filter(|bound| bound.as_f64().is_some_and(|bound| bound < 1e9))
        {
            parts.push(format!("{sign} {}", plain(&whole(bound))));
        }
    }
    if parts.is_empty() {
        String::new()
    } else {
        format!(" {}", parts.join(", "))
    }
}

/// `1.0` as `1`.
fn whole(bound: &Value) -> Value {
    #[expect(clippy::cast_possible_truncation, reason = "compared with what it came from")]
    match bound.as_f64() {
        Some(number) if number.fract() == 0.0 => Value::from(number as i64),
        _ => bound.clone(),
    }
}

fn alternatives(options: impl Iterator<Item = String>) -> String {
    let mut seen: Vec<String> = Vec::new();
    for option in options {
        if !seen.contains(&option) {
            seen.push(option);
        }
    }
    match seen.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        Some((last, _)) => last.clone(),
        None => String::new(),
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Text on one line, with a full stop.
fn sentence(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.is_empty() || text.ends_with(['.', '!', '?']) {
        text
    } else {
        format!("{text}.")
    }
}

/// A bar would end the cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn members<'a>(schema: &'a Value, name: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    schema
        .get(name)
        .and_then(Value::as_object)
        .into_iter()
        .flat_map(Map::iter)
}

fn list<'a>(schema: &'a Value, name: &str) -> &'a [Value] {
    schema.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::step::{ArtifactType, Dataset, FilePath, Problem, Ref};

    #[derive(schemars::JsonSchema)]
    #[expect(dead_code, reason = "only its schema is read")]
    struct Settings {
        /// The rows
        data: Ref<Dataset>,
        /// A | file.
        template: Option<FilePath>,
        train: Train,
    }

    #[derive(schemars::JsonSchema)]
    #[expect(dead_code, reason = "only its schema is read")]
    struct Train {
        /// How many.
        #[schemars(range(min = 1))]
        updates: u32,
        #[serde(default)]
        schedule: Schedule,
    }

    #[derive(Default, schemars::JsonSchema, serde::Serialize)]
    #[serde(rename_all = "lowercase")]
    #[expect(dead_code, reason = "only its schema is read")]
    enum Schedule {
        /// Falls.
        #[default]
        Cosine,
        /// Stays.
        Constant,
    }

    fn parse(_: &Value) -> Result<Box<dyn crate::step::Step>, Problem> {
        Err(Problem::at("", "never"))
    }

    #[test]
    fn a_page_has_every_setting() {
        let kind = Kind {
            name: "tune",
            about: "Tunes",
            version: 1,
            output: ArtifactType::Model,
            example: "uses: tune\n",
            schema: crate::step::schema_of::<Settings>,
            parse,
        };
        let page = page(&kind);
        for line in [
            "# `tune`",
            "Makes: model.",
            "| `data` | reference to a dataset | required | The rows. |",
            "| `template` | path |  | A \\| file. |",
            "| `train.updates` | integer ≥ 1 | required | How many. |",
            "| `train.schedule` | `cosine` or `constant` | `\"cosine\"` |  `cosine`: Falls. `constant`: Stays. |",
        ] {
            assert!(page.lines().any(|found| found == line), "{line}\nis not in\n{page}");
        }
    }
}
