//! `uses: generate`: what a model writes for each row of a dataset.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::Context as _;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, json};

use crate::data::{self, Row};
use crate::generate::{
    Alternative, Begun, Finished, GenerateError, Generation, Output, Prompt, Prompted, Prompter, Prompting, Rows,
    Sampling, Writer, Writing, end_tokens, ids, whole, write, write_rows,
};
use crate::models::memory::{Likeliest, generation};
use crate::prompt::Template;
use crate::seed::Seed;
use crate::step::{
    ArtifactType, Context, Dataset, Input, Interrupted, Key, KeyError, Kind, Model, Needs, Outlook, Problem, Prospects,
    Ref, Step, parse_as, schema_of,
};
use crate::tokenizer::Tokenizer;

/// The kind.
pub const KIND: Kind = Kind {
    name: "generate",
    about: "Writes a model's output for each row of a dataset, prompted by a template with zero or more examples.",
    version: 3,
    output: ArtifactType::Generations,
    example: "uses: generate
with:
  model: tuned
  data: dialogues.test
  prompt: {template: ../prompts/summarize.jinja, shots: 3, examples: dialogues.train}
  sampling: {max_new_tokens: 60, temperature: 0.7, top_p: 0.9}
",
    schema: schema_of::<Generate>,
    parse: parse_as::<Generate>,
};

/// Writes a model's output for each row of a dataset. The result, `generations.jsonl`, has a line a
/// row in the dataset's order. On the CPU it does not depend on the number of threads.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Generate {
    /// The model.
    model: Ref<Model>,
    /// The rows: a dataset without parts, or one part (`dialogues.test`).
    data: Ref<Dataset>,
    /// How a row becomes a prompt.
    prompt: Prompting,
    /// How tokens are chosen and when to stop.
    #[serde(default)]
    sampling: Sampling,
}

impl Step for Generate {
    fn needs(&self) -> Needs {
        Needs {
            seed: true,
            device: true,
            lineage: false,
        }
    }

    fn check(&self, inputs: &[Input]) -> Vec<Problem> {
        let mut problems = self.sampling.problems();
        problems.extend(self.prompt.problems(inputs));
        problems.extend(whole("data", &self.data, inputs));
        problems
    }

    fn outlook(&self, prospects: &Prospects<'_>) -> Outlook {
        let config = super::outlook::config(prospects, self.model.text());
        let memory = config.map(|config| {
            // a worker a thread, sequences of as many tokens as the context has room for
            let threads = prospects.threads as u64;
            let likeliest = match self.sampling.takes_likeliest() {
                true => Likeliest::Taken,
                false => Likeliest::NotAlone,
            };
            generation(&config, threads, config.context as u64, threads, likeliest)
        });
        match memory {
            Ok(memory) => Outlook {
                memory: Some(memory),
                ..Outlook::default()
            },
            Err(unknown) => Outlook {
                unknown: Some(unknown),
                ..Outlook::default()
            },
        }
    }

    fn key(&self, key: &mut Key) -> Result<(), KeyError> {
        let Self {
            model,
            data,
            prompt,
            sampling,
        } = self;
        key.artifact("model", model);
        key.artifact("data", data);
        key.nest("prompt", |key| prompt.key(key))?;
        key.nest("sampling", |key| sampling.key(key));
        Ok(())
    }

    fn run(&self, context: &Context) -> anyhow::Result<()> {
        let folder = context.path(&self.model);
        let device = context.device().open()?;
        let writer =
            Writer::load(folder, &device).with_context(|| format!("cannot load the model `{}`", self.model.text()))?;
        let tokenizer = Tokenizer::load(folder)
            .with_context(|| format!("cannot load the tokenizer of the model `{}`", self.model.text()))?;
        let eos = end_tokens(folder, &tokenizer)?;
        let template = Template::load(self.prompt.template.as_path())?;
        let rows = rows(context, &self.data)?;
        let pool = match &self.prompt.examples {
            Some(examples) if self.prompt.shots > 0 => self::rows(context, examples)?,
            _ => Vec::new(),
        };
        let filters = self.sampling.filters();
        if self.sampling.greedy() && !filters.is_empty() {
            context.warn(format!(
                "temperature is 0 (greedy): {} {} no effect",
                filters.join(" and "),
                if filters.len() == 1 { "has" } else { "have" },
            ));
        }

        let (length, reserved) = (writer.config().context, self.sampling.max_new_tokens);
        let encoder = writer.config().decoder_start().is_some();
        anyhow::ensure!(
            !encoder || reserved < length, // a decoder's context holds its start and the new tokens
            "sampling.max_new_tokens is {reserved}, but the model's decoder sees {length} tokens, of which one begins \
             the output: lower max_new_tokens, or train with a larger context",
        );
        anyhow::ensure!(
            encoder || reserved < length,
            "sampling.max_new_tokens is {reserved}, but the model's context is {length} tokens, which prompt and new \
             tokens must fit together: lower max_new_tokens, or train with a larger context",
        );
        let prompter = Prompter {
            settings: &self.prompt,
            template: &template,
            pool: &pool,
            tokenizer: &tokenizer,
            context: length,
            reserved: if encoder { 0 } else { reserved },
            encoder,
        };
        let finished = Finished::open(&context.checkpoints)?;
        if !finished.is_empty() {
            context.info(format!("{} of {} rows were done before", finished.len(), rows.len()));
        }
        let work = Work {
            context,
            prompter,
            rows: &rows,
            ids: ids(&rows),
            finished,
            started: Instant::now(),
            done: AtomicU64::new(0),
            written: AtomicU64::new(0),
        };
        let writing = Writing {
            writer: &writer,
            sampling: &self.sampling,
            eos: &eos,
            text: &|tokens: &[u32]| tokenizer.decode(tokens),
        };
        let total = rows.len() as u64;
        let generations = write_rows(&work, rows.len(), &writing, context.threads)?;

        write(&context.out.join("generations.jsonl"), &generations)?;
        tell(context, &generations, self.prompt.shots);
        let speed = work.speed();
        let values = [("tokens_per_second".to_owned(), json!(speed))];
        context.metric(total, values.into_iter().collect::<Map<_, _>>());
        Ok(())
    }
}

/// The rows of a step while they are written.
struct Work<'a> {
    context: &'a Context,
    prompter: Prompter<'a>,
    rows: &'a [Row],
    ids: Vec<String>,
    /// Those that an earlier attempt has written.
    finished: Finished,
    started: Instant,
    /// Rows that are done, and tokens that were written.
    done: AtomicU64,
    written: AtomicU64,
}

impl Work<'_> {
    fn seed(&self, row: usize) -> Seed {
        self.context.seed().child("sample").child(row)
    }

    /// Tokens a second.
    fn speed(&self) -> f64 {
        self.written.load(Ordering::Relaxed) as f64 / self.started.elapsed().as_secs_f64()
    }

    /// Counts a row that is done.
    fn tell(&self) {
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        let speed = format!("{:.0} tok/s", self.speed());
        self.context.progress(done, self.rows.len() as u64, "rows", speed);
    }
}

impl Rows for Work<'_> {
    type Kept = Prompted;
    type Done = Generation;
    type Error = anyhow::Error;

    fn begin(&self, row: usize) -> anyhow::Result<Begun<Self>> {
        if let Some(earlier) = self.finished.get(row) {
            self.tell();
            return Ok(Begun::Done(earlier.clone()));
        }
        let seed = self.seed(row);
        let prompted = self.prompter.prompt(&self.rows[row], seed.child("examples"));
        let prompted = prompted.map_err(|error| error.of_row(&self.ids[row]))?;
        let tokens = prompted.tokens.clone();
        Ok(Begun::Write(prompted, Prompt { tokens, seed }))
    }

    fn done(
        &self,
        row: usize,
        prompt: Prompted,
        outputs: Result<Vec<Output>, GenerateError>,
    ) -> anyhow::Result<Generation> {
        let outputs = outputs.map_err(|error| error.of_row(&self.ids[row]))?;
        let mut alternatives = outputs.into_iter().map(Alternative::from);
        let output = alternatives.next().expect("there is an output at least");
        let generation = Generation {
            id: self.ids[row].clone(),
            prompt: prompt.text,
            output: output.output,
            references: prompt.references,
            finish: output.finish,
            prompt_tokens: prompt.tokens.len(),
            output_tokens: output.output_tokens,
            seed: self.seed(row).number(),
            shots_used: prompt.shots_used,
            logprobs: output.logprobs,
            score: output.score,
            alternatives: alternatives.collect(),
            row: self.rows[row].clone(),
        };
        self.finished.keep(row, &generation)?;
        self.written
            .fetch_add(generation.output_tokens as u64, Ordering::Relaxed);
        self.tell();
        Ok(generation)
    }

    fn go_on(&self) -> anyhow::Result<()> {
        match self.context.stopping() {
            true => Err(Interrupted.into()),
            false => Ok(()),
        }
    }
}

/// The rows of a dataset without parts, or of one part.
fn rows(context: &Context, reference: &Ref<Dataset>) -> anyhow::Result<Vec<Row>> {
    let splits = data::splits(context.path(reference))?;
    let [(_, folder)] = splits.as_slice() else {
        let names: Vec<_> = splits.iter().map(|(name, _)| name.as_str()).collect();
        anyhow::bail!("`{}` has the parts {}: name one", reference.text(), names.join(", "));
    };
    let rows = data::rows::read(folder)?;
    anyhow::ensure!(!rows.is_empty(), "`{}` has no rows", reference.text());
    Ok(rows)
}

/// Facts about the outputs; what was left out of prompts is never silent.
fn tell(context: &Context, generations: &[Generation], shots: usize) {
    let by = |finish| {
        generations
            .iter()
            .filter(|generation| generation.finish == finish)
            .count()
    };
    use crate::generate::Finish::{Eos, Length, Stop};
    context.info(format!(
        "{} outputs: {} ended by themselves, {} at a stop text, {} at max_new_tokens",
        generations.len(),
        by(Eos),
        by(Stop),
        by(Length),
    ));
    let fewer = generations
        .iter()
        .filter(|generation| generation.shots_used < shots)
        .count();
    if fewer > 0 {
        context.warn(format!(
            "{fewer} of {} prompts have fewer than {shots} examples: more did not fit the model's context",
            generations.len(),
        ));
    }
}

#[cfg(test)]
mod tests;
