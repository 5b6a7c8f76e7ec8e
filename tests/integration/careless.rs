//! A kind whose author forgot settings: the walk of `keys.rs` finds them, wherever they are.

use std::collections::BTreeMap;

use fragua::step::{ArtifactType, Context, Key, KeyError, Kind, Step, parse_as, schema_of};
use serde_json::{Value, json};

use crate::keys::{Counts, counts, folder, load};
use crate::settings::settings;

/// Settings that are forgotten on the surface, in a group, and in a tagged union.
#[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "what is forgotten is never read")]
struct Careless {
    counted: u32,
    #[serde(default)]
    forgotten: u32,
    group: Group,
    shape: Shape,
}

#[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "what is forgotten is never read")]
struct Group {
    counted: bool,
    forgotten: Option<bool>,
}

#[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
#[serde(tag = "form", rename_all = "lowercase", deny_unknown_fields)]
#[expect(dead_code, reason = "what is forgotten is never read")]
enum Shape {
    Round { radius: f64 },
    Square { side: f64 },
}

impl Step for Careless {
    fn key(&self, key: &mut Key) -> Result<(), KeyError> {
        let Self {
            counted,
            forgotten: _,
            group: Group {
                counted: also,
                forgotten: _,
            },
            shape,
        } = self;
        key.set("counted", counted);
        key.set("also", also);
        match shape {
            Shape::Round { radius } => key.set("radius", radius),
            Shape::Square { side: _ } => {}
        }
        Ok(())
    }

    fn run(&self, _: &Context) -> anyhow::Result<()> {
        Ok(())
    }
}

static CARELESS: &[Kind] = &[Kind {
    name: "careless",
    about: "Forgets fields.",
    version: 1,
    output: ArtifactType::Report,
    example: "",
    schema: schema_of::<Careless>,
    parse: parse_as::<Careless>,
}];

#[test]
fn a_forgotten_field_is_found_wherever_it_is() {
    let folder = folder();
    let bases = [
        json!({"counted": 1, "group": {"counted": true}, "shape": {"form": "round", "radius": 1.0}}),
        json!({"counted": 1, "group": {"counted": true}, "shape": {"form": "square", "side": 1.0}}),
    ];
    let load = |with: &Value| load(folder.path(), CARELESS, "careless", with);
    let found: BTreeMap<String, Counts> = settings(&(CARELESS[0].schema)().to_value())
        .iter()
        .map(|setting| (setting.name(), counts(&load, &bases, setting)))
        .collect();
    let expected = [
        ("counted", Counts::Always),
        ("forgotten", Counts::Never),
        ("group.counted", Counts::Always),
        ("group.forgotten", Counts::Never),
        ("shape.form", Counts::Unreached), // a form needs its own fields besides: give it a base
        ("shape.radius", Counts::Always),
        ("shape.side", Counts::Never),
    ];
    assert_eq!(found, expected.map(|(name, counts)| (name.to_owned(), counts)).into());
}
