//! How a command that did not succeed says so.

use serde_json::json;

use super::print::{error_colour, error_line, line};
use crate::pipeline::Diagnostics;
use crate::records::RecordsError;
use crate::store::StoreError;

/// The file or the command line is wrong: exit code 2.
#[derive(Debug)]
pub struct Usage(pub String);

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// For `map_err`: a question about the records that has no answer is the command line's affair.
pub fn asked(error: RecordsError) -> anyhow::Error {
    match error {
        RecordsError::Question(_) | RecordsError::Store(StoreError::NoRun { .. }) => {
            anyhow::Error::new(Usage(error.to_string()))
        }
        other => other.into(),
    }
}

/// Prints an error; the exit code that it means.
pub fn tell(error: &anyhow::Error, as_json: bool) -> u8 {
    if let Some(diagnostics) = error.downcast_ref::<Diagnostics>() {
        if as_json {
            line(diagnostics.to_json().to_string());
        } else {
            error_line(diagnostics.render(error_colour()));
            let count = diagnostics.0.len();
            let plural = if count == 1 { "" } else { "s" };
            error_line(format!("\n{count} problem{plural}; nothing was run"));
        }
        return 2;
    }
    error_line(format!("error: {error:#}"));
    let usage = error.is::<Usage>();
    if as_json && usage {
        let place = json!({"file": null, "line": null, "column": null, "message": error.to_string(), "help": null});
        line(json!({"errors": [place]}).to_string());
    }
    if usage { 2 } else { 1 }
}
