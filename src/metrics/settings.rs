//! How each metric reads text and counts.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{BleuSettings, ChrfSettings, ExactMatchSettings, RougeSettings, Tercom, TokenF1Settings};

/// The settings of all metrics. Their defaults give what the reference implementations print.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// How ROUGE reads text.
    pub rouge: RougeSettings,
    /// How BLEU reads text and smooths.
    pub bleu: BleuSettings,
    /// What chrF counts.
    pub chrf: ChrfSettings,
    /// How TER reads text.
    pub ter: Tercom,
    /// What an exact match leaves aside.
    pub exact_match: ExactMatchSettings,
    /// How token F1 reads text.
    pub token_f1: TokenF1Settings,
}

impl Settings {
    /// What cannot be, as a setting's path and the reason.
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        problems.extend(self.bleu.problem());
        problems.extend(self.chrf.problem());
        problems
    }
}
