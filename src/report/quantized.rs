//! What quantizing did: sizes and errors.

use serde::Serialize;
use serde_json::Value;

use super::material::{Material, Quantized};
use super::words::Words;

/// One quantized model's line.
#[derive(Serialize)]
pub(super) struct Smaller {
    instance: String,
    format: String,
    before: String,
    after: String,
    saving: String,
    snr: String,
    max_error: String,
    tensors: Vec<[String; 5]>,
}

/// The quantized models.
pub(super) fn quantized(material: &Material, words: &Words) -> Vec<Smaller> {
    let of = |value: &Value, digits: usize| value.as_f64().map_or("—".to_owned(), |v| words.decimal(v, digits));
    let error = |value: &Value| value.as_f64().map_or("—".to_owned(), |v| scientific(v, words));
    let smaller = |model: &Quantized| {
        let record = &model.record;
        let bytes = |name: &str| record[name].as_u64().map_or("—".to_owned(), |bytes| words.bytes(bytes));
        let format = [&record["format"], &record["granularity"]].map(|value| value.as_str().unwrap_or_default());
        let tensor = |tensor: &Value| {
            let shape = tensor["shape"].as_array().into_iter().flatten().map(Value::to_string);
            [
                tensor["name"].as_str().unwrap_or_default().to_owned(),
                shape.collect::<Vec<_>>().join(" × "),
                tensor["dtype"].as_str().unwrap_or_default().to_owned(),
                error(&tensor["max_error"]),
                of(&tensor["snr_db"], 1),
            ]
        };
        Smaller {
            instance: model.instance.clone(),
            format: format
                .into_iter()
                .filter(|text| !text.is_empty())
                .collect::<Vec<_>>()
                .join(", "),
            before: bytes("bytes_before"),
            after: bytes("bytes_after"),
            saving: record["saving"]
                .as_f64()
                .map_or("—".to_owned(), |part| format!("{} %", words.decimal(part * 100.0, 1))),
            snr: of(&record["error"]["snr_db"], 1),
            max_error: error(&record["error"]["max_error"]),
            tensors: record["tensors"].as_array().into_iter().flatten().map(tensor).collect(),
        }
    };
    material.quantized.iter().map(smaller).collect()
}

/// `3.1e-4` as `3.1·10⁻⁴`.
fn scientific(value: f64, words: &Words) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let text = format!("{value:.1e}");
    let (digits, power) = text.split_once('e').unwrap_or((&text, "0"));
    let raised = power.chars().map(|c| match c {
        '-' => '⁻',
        '0' => '⁰',
        '1' => '¹',
        '2' => '²',
        '3' => '³',
        digit => char::from_u32('⁴' as u32 + (digit as u32 - '4' as u32)).unwrap_or(digit),
    });
    let digits = digits
        .parse()
        .map_or(digits.to_owned(), |value| words.decimal(value, 1));
    format!("{digits}·10{}", raised.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Language;

    #[test]
    fn small_errors_are_readable() {
        let words = Words::of(Language::En);
        assert_eq!(scientific(3.14e-4, &words), "3.1·10⁻⁴");
        assert_eq!(scientific(2e-13, &words), "2.0·10⁻¹³");
    }
}
