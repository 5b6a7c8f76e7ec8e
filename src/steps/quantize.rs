//! `uses: quantize`: a model in a smaller number format.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, json};

use crate::quantize::{Format, Granularity, quantize};
use crate::step::{
    ArtifactType, Context, Key, KeyError, Kind, Model, Outlook, Problem, Prospects, Ref, Step, parse_as, schema_of,
};

/// The kind.
pub const KIND: Kind = Kind {
    name: "quantize",
    about: "Stores a model's weights in fewer bits and measures the error of each.",
    version: 1,
    output: ArtifactType::Model,
    example: "uses: quantize\nwith: {model: tuned, format: int8, granularity: channel}\n",
    schema: schema_of::<Quantize>,
    parse: parse_as::<Quantize>,
};

/// Stores a model's weights in fewer bits. The result is a model like any other, with
/// `quantization.json`: its size, the saving, and the error of each tensor.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Quantize {
    /// The model.
    model: Ref<Model>,
    /// The format of the weights. Computing with them is in f32, whatever the format.
    format: Format,
    /// How many scales an int8 weight has: `channel` unless said. Other formats have no scales.
    granularity: Option<Granularity>,
}

impl Step for Quantize {
    fn architecture(&self, inputs: &[crate::step::Input]) -> Option<String> {
        super::training::architecture(self.model.text(), inputs)
    }

    fn check(&self, _inputs: &[crate::step::Input]) -> Vec<Problem> {
        match self.granularity {
            Some(_) if self.format != Format::Int8 => {
                let fact = format!("{} has no scales: granularity is only for int8", self.format.name());
                let problem = Problem::at("granularity", fact).also("format", "the format");
                vec![problem.help("leave it out, or set format: int8")]
            }
            _ => Vec::new(),
        }
    }

    fn outlook(&self, prospects: &Prospects<'_>) -> Outlook {
        let config = super::outlook::config(prospects, self.model.text()).ok();
        Outlook {
            vocabulary: config.as_ref().map(|config| config.vocab_size),
            model: config.map(|config| config.to_json()),
            ..Outlook::default()
        }
    }

    fn key(&self, key: &mut Key) -> Result<(), KeyError> {
        let Self {
            model,
            format,
            granularity,
        } = self;
        key.artifact("model", model);
        key.set("format", format);
        if *format == Format::Int8 {
            key.set("granularity", &granularity.unwrap_or_default());
        }
        Ok(())
    }

    fn run(&self, context: &Context) -> anyhow::Result<()> {
        let granularity = self.granularity.unwrap_or_default();
        let result = quantize(context.path(&self.model), &context.out, self.format, granularity)?;
        let snr = result
            .error
            .snr_db
            .map_or_else(|| "no error".into(), |snr| format!("SNR {snr:.1} dB"));
        context.info(format!(
            "{}: {} → {} bytes, {:.1} % saved; largest error {:.2e}, {snr}",
            self.format.name(),
            result.bytes_before,
            result.bytes_after,
            result.saving * 100.0,
            result.error.max_error,
        ));
        let values = [
            ("bytes_before", json!(result.bytes_before)),
            ("bytes_after", json!(result.bytes_after)),
            ("saving", json!(result.saving)),
            ("max_error", json!(result.error.max_error)),
            ("snr_db", json!(result.error.snr_db)),
        ];
        let values = values.into_iter().map(|(name, value)| (name.to_owned(), value));
        context.metric(0, values.collect::<Map<_, _>>());
        Ok(())
    }
}
