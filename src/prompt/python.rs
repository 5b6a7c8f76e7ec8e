//! Values as Python writes them: chat templates are written for Jinja in Python, whose `True`, `None` and
//! spaced JSON are part of what a model was trained on.

use std::fmt::Write as _;

use minijinja::value::{Value, ValueKind};

/// `str(value)`; an undefined value is nothing.
pub(super) fn text(value: &Value) -> String {
    match value.kind() {
        ValueKind::Undefined => String::new(),
        ValueKind::String => value.as_str().unwrap_or_default().to_owned(),
        _ => literal(value),
    }
}

/// `repr(value)`.
fn literal(value: &Value) -> String {
    match value.kind() {
        ValueKind::None | ValueKind::Undefined => "None".into(),
        ValueKind::Bool => (if value.is_true() { "True" } else { "False" }).into(),
        ValueKind::Number => number(value, ["nan", "inf"]),
        ValueKind::String => quoted(value.as_str().unwrap_or_default()),
        ValueKind::Seq | ValueKind::Iterable => {
            let items: Vec<String> = value
                .try_iter()
                .into_iter()
                .flatten()
                .map(|item| literal(&item))
                .collect();
            format!("[{}]", items.join(", "))
        }
        ValueKind::Map => {
            let keys = value.try_iter().into_iter().flatten();
            let items: Vec<String> = keys
                .map(|key| {
                    let item = value.get_item(&key).unwrap_or_default();
                    format!("{}: {}", literal(&key), literal(&item))
                })
                .collect();
            format!("{{{}}}", items.join(", "))
        }
        _ => value.to_string(),
    }
}

fn number(value: &Value, [nan, infinite]: [&str; 2]) -> String {
    if value.is_integer() {
        return value.to_string();
    }
    let Ok(number) = f64::try_from(value.clone()) else {
        return value.to_string();
    };
    let sign = if number < 0.0 { "-" } else { "" };
    if number.is_nan() {
        return nan.into();
    } else if number.is_infinite() {
        return format!("{sign}{infinite}");
    }
    let size = number.abs();
    if size == 0.0 || (1e-4..1e16).contains(&size) {
        return format!("{number:?}");
    }
    let spelled = format!("{number:e}");
    let (digits, exponent) = spelled.split_once('e').unwrap_or((&spelled, "0"));
    let (sign, exponent) = exponent
        .strip_prefix('-')
        .map_or(("+", exponent), |exponent| ("-", exponent));
    format!("{digits}e{sign}{exponent:0>2}")
}

fn quoted(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') {
        '"'
    } else {
        '\''
    };
    let mut quoted = String::from(quote);
    for character in text.chars() {
        match character {
            '\\' => quoted += "\\\\",
            '\n' => quoted += "\\n",
            '\r' => quoted += "\\r",
            '\t' => quoted += "\\t",
            _ if character == quote => quoted.extend(['\\', quote]),
            _ if character.is_ascii_control() => {
                write!(quoted, "\\x{:02x}", u32::from(character)).expect("a string takes everything");
            }
            _ => quoted.push(character),
        }
    }
    quoted.push(quote);
    quoted
}

/// How `json.dumps` is asked to write.
pub(super) struct Json {
    /// Spaces a level; `None` writes one line.
    pub indent: Option<usize>,
    /// What stands between items, and between a key and its value.
    pub separators: (String, String),
    /// Whether keys are sorted.
    pub sort_keys: bool,
    /// Whether other characters than ASCII are escaped.
    pub ascii: bool,
}

impl Json {
    /// `json.dumps(value, ..)`.
    pub(super) fn dumps(&self, value: &Value) -> String {
        let mut out = String::new();
        self.write(&mut out, value, 0);
        out
    }

    fn write(&self, out: &mut String, value: &Value, depth: usize) {
        match value.kind() {
            ValueKind::None | ValueKind::Undefined => *out += "null",
            ValueKind::Bool => *out += if value.is_true() { "true" } else { "false" },
            ValueKind::Number => *out += &number(value, ["NaN", "Infinity"]),
            ValueKind::Seq | ValueKind::Iterable => {
                let items: Vec<Value> = value.try_iter().into_iter().flatten().collect();
                self.nest(out, ['[', ']'], items.len(), depth, |out, at| {
                    self.write(out, &items[at], depth + 1);
                });
            }
            ValueKind::Map => {
                let mut keys: Vec<Value> = value.try_iter().into_iter().flatten().collect();
                if self.sort_keys {
                    keys.sort_by_key(ToString::to_string);
                }
                self.nest(out, ['{', '}'], keys.len(), depth, |out, at| {
                    let key = keys[at].as_str().map_or_else(|| text(&keys[at]), str::to_owned);
                    self.string(out, &key);
                    *out += &self.separators.1;
                    self.write(out, &value.get_item(&keys[at]).unwrap_or_default(), depth + 1);
                });
            }
            _ => self.string(out, value.as_str().unwrap_or(&value.to_string())),
        }
    }

    fn nest(
        &self,
        out: &mut String,
        [open, close]: [char; 2],
        items: usize,
        depth: usize,
        mut item: impl FnMut(&mut String, usize),
    ) {
        let line = |out: &mut String, depth: usize| {
            if let Some(indent) = self.indent {
                out.push('\n');
                out.extend(std::iter::repeat_n(' ', indent * depth));
            }
        };
        out.push(open);
        for at in 0..items {
            if at > 0 {
                *out += &self.separators.0;
            }
            line(out, depth + 1);
            item(out, at);
        }
        if items > 0 {
            line(out, depth);
        }
        out.push(close);
    }

    fn string(&self, out: &mut String, text: &str) {
        let plain = serde_json::to_string(text).expect("a string can be written");
        if !self.ascii {
            *out += &plain;
            return;
        }
        let mut units = [0; 2];
        for character in plain.chars() {
            if character.is_ascii() {
                out.push(character);
            } else {
                for unit in character.encode_utf16(&mut units) {
                    write!(out, "\\u{unit:04x}").expect("a string takes everything");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use minijinja::value::Serde;

    /// The right sides are what Python 3.11 prints.
    #[test]
    fn values_are_written_as_python_writes_them() {
        let value = Value::from(Serde(serde_json::json!(
            {"a": [true, null, 1, 1.0, 1e-5, 1e16, 1.5e300, "it's", "a\n\"'b"], "b": {}}
        )));
        assert_eq!(
            text(&value),
            r#"{'a': [True, None, 1, 1.0, 1e-05, 1e+16, 1.5e+300, "it's", 'a\n"\'b'], 'b': {}}"#
        );
        let mut json = Json {
            indent: None,
            separators: (", ".into(), ": ".into()),
            sort_keys: false,
            ascii: false,
        };
        let value = Value::from(Serde(serde_json::json!({"b": ["ñ\n", 0.1], "a": {"x": [], "y": true}})));
        assert_eq!(json.dumps(&value), r#"{"b": ["ñ\n", 0.1], "a": {"x": [], "y": true}}"#);
        json.ascii = true;
        json.sort_keys = true;
        json.indent = Some(2);
        json.separators.0 = ",".into();
        assert_eq!(
            json.dumps(&value),
            "{\n  \"a\": {\n    \"x\": [],\n    \"y\": true\n  },\n  \"b\": [\n    \"\\u00f1\\n\",\n    0.1\n  ]\n}"
        );
    }
}
