//! Made-up kinds of steps.

use std::fs;
use std::time::Duration;

use anyhow::bail;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::step::{
    ArtifactType, Context, Dataset, FilePath, Interrupted, Key, KeyError, Kind, Needs, Ref, Refs, Secret, Step,
    parse_as, schema_of,
};

/// Writes a text; `mood` says what happens on the way.
#[derive(Deserialize, JsonSchema)]
struct Note {
    text: String,
    #[serde(default)]
    mood: String,
    #[serde(default)]
    file: Option<FilePath>,
}

impl Step for Note {
    fn key(&self, key: &mut Key) -> Result<(), KeyError> {
        let Self { text, mood: _, file } = self;
        key.set("text", text);
        file.as_ref().map_or(Ok(()), |file| key.file("file", file))
    }

    fn run(&self, context: &Context) -> anyhow::Result<()> {
        context.info("writing");
        match (self.mood.as_str(), &self.file) {
            ("error", _) => bail!("no ink"),
            ("panic", _) => panic!("the pen broke"),
            ("exit", _) => {
                use std::io::Write;
                writeln!(std::io::stderr(), "about to fall")?;
                std::process::exit(7)
            }
            ("flaky", _) => {
                // the first two attempts fail
                let path = context.checkpoints.join("attempts");
                let before = fs::read_to_string(&path).unwrap_or_default();
                fs::write(&path, format!("{before}x"))?;
                if before.len() < 2 {
                    bail!("attempt {} fails", before.len() + 1);
                }
            }
            ("deaf", _) => std::thread::sleep(Duration::from_secs(60)),
            ("slow", _) => std::thread::sleep(Duration::from_millis(300)),
            ("abort", _) => {
                let held = std::hint::black_box(vec![1u8; 50_000_000]);
                std::thread::sleep(Duration::from_millis(300)); // it is looked at meanwhile
                drop(held);
                std::process::abort()
            }
            ("greedy", _) => drop(std::hint::black_box(Vec::<u8>::with_capacity(
                isize::MAX.unsigned_abs() / 2,
            ))),
            ("meddle", Some(file)) => fs::write(file.as_path(), "changed")?,
            ("empty", _) => return Ok(()),
            _ => {}
        }
        fs::create_dir(context.out.join("all"))?;
        let mut text = self.text.clone();
        if self.mood == "dice" {
            text += &std::process::id().to_string(); // what no step may do
        }
        fs::write(context.out.join("all/text"), text)?;
        Ok(())
    }
}

/// Upper case: different inputs can give the same.
#[derive(Deserialize, JsonSchema)]
struct Upper {
    data: Ref<Dataset>,
}

impl Step for Upper {
    fn key(&self, key: &mut Key) -> Result<(), KeyError> {
        let Self { data } = self;
        key.artifact("data", data);
        Ok(())
    }

    fn run(&self, context: &Context) -> anyhow::Result<()> {
        let text = fs::read_to_string(context.path(&self.data).join("text"))?;
        fs::create_dir(context.out.join("all"))?;
        fs::write(context.out.join("all/text"), text.to_uppercase())?;
        Ok(())
    }
}

/// Counts with a checkpoint each time, slowly.
#[derive(Deserialize, JsonSchema)]
struct Count {
    to: u64,
}

impl Step for Count {
    fn needs(&self) -> Needs {
        Needs {
            seed: true,
            device: true,
            ..Needs::default()
        }
    }

    fn key(&self, key: &mut Key) -> Result<(), KeyError> {
        let Self { to } = self;
        key.set("to", to);
        Ok(())
    }

    fn run(&self, context: &Context) -> anyhow::Result<()> {
        let checkpoint = context.checkpoints.join("count");
        let begin = fs::read_to_string(&checkpoint).map_or(0, |text| text.parse().unwrap());
        context.info(format!("begins at {begin}"));
        for number in begin..self.to {
            crate::store::write_atomic(&checkpoint, (number + 1).to_string().as_bytes())?;
            context.progress(number + 1, self.to, "numbers", "");
            if context.stopping() {
                return Err(Interrupted.into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        fs::write(
            context.out.join("sum"),
            format!("{} {}", self.to, context.seed().to_hex()),
        )?;
        Ok(())
    }
}

/// A page about everything before it.
#[derive(Deserialize, JsonSchema)]
struct Page {
    parts: Refs<Dataset>,
}

impl Step for Page {
    fn needs(&self) -> Needs {
        Needs {
            lineage: true,
            ..Needs::default()
        }
    }

    fn key(&self, key: &mut Key) -> Result<(), KeyError> {
        let Self { parts } = self;
        key.artifacts("parts", parts);
        Ok(())
    }

    fn run(&self, context: &Context) -> anyhow::Result<()> {
        let names: Vec<_> = context.lineage.iter().map(|one| one.instance.as_str()).collect();
        let place = r#"<script type="application/json" id="run-facts">null</script>"#;
        let page = format!("<h1>{}</h1>{place}{}", context.pipeline.0, names.join(" "));
        fs::write(context.out.join("index.html"), page)?;
        Ok(())
    }
}

/// Says a secret and a path aloud, as an error of a library may.
#[derive(Deserialize, JsonSchema)]
struct Send {
    data: Ref<Dataset>,
    token: Secret,
    file: FilePath,
    #[serde(default)]
    mood: String,
}

impl Step for Send {
    fn key(&self, key: &mut Key) -> Result<(), KeyError> {
        let Self {
            data,
            token: _, // who may send changes nothing that is sent
            file,
            mood: _,
        } = self;
        key.artifact("data", data);
        key.file("file", file)
    }

    fn run(&self, context: &Context) -> anyhow::Result<()> {
        let said = format!("sending {} of {}", self.token.reveal()?, self.file.as_path().display());
        context.info(said.as_str());
        context.warn(said.as_str());
        fs::read_to_string(self.file.as_path())?;
        match self.mood.as_str() {
            "error" => bail!("refused: {said}"),
            "panic" => panic!("fell while {said}"),
            _ => {}
        }
        fs::create_dir(context.out.join("all"))?;
        fs::write(context.out.join("all/text"), "sent")?;
        Ok(())
    }
}

macro_rules! kind {
    ($name:literal, $settings:ident, $output:ident) => {
        Kind {
            name: $name,
            about: "",
            version: 1,
            output: ArtifactType::$output,
            example: "",
            schema: schema_of::<$settings>,
            parse: parse_as::<$settings>,
        }
    };
}

/// All of them.
pub static KINDS: &[Kind] = &[
    kind!("note", Note, Dataset),
    kind!("upper", Upper, Dataset),
    kind!("send", Send, Dataset),
    kind!("count", Count, Model),
    kind!("page", Page, Report),
];
