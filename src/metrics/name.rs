//! Metrics as settings name them.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::{GROUPS, every};

/// The name of a metric, or of a group of them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MetricName(pub String);

impl MetricName {
    /// Every name.
    fn every() -> Vec<&'static str> {
        let groups = GROUPS.iter().map(|(name, _)| *name);
        groups.chain(every().into_iter().map(|facts| facts.name)).collect()
    }

    /// The metrics that it stands for.
    pub fn members(&self) -> Vec<&str> {
        let group = GROUPS.iter().find(|(name, _)| *name == self.0);
        group.map_or_else(|| vec![self.0.as_str()], |(_, members)| members.to_vec())
    }
}

impl JsonSchema for MetricName {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "MetricName".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "enum": Self::every()})
    }
}
