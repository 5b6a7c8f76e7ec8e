//! Rows from a grammar: a minijinja template that prints one JSON object each time.
//!
//! Besides minijinja's own, a grammar has `pick(list)`, `sample(list, n)`, `shuffle(list)`,
//! `number(low, high)` (both included) and `chance(p)`. What they draw in row `i` comes from
//! `seed.child("row").child(i)` alone, so more rows never change the earlier ones, and rows may be
//! made in any order.

use std::path::Path;

use minijinja::{Environment, Error, ErrorKind, State, UndefinedBehavior, Value};
use rand::Rng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::read::StrictRow;
use super::{DataError, Row};
use crate::seed::Seed;

/// The numbers of the row that is being made, under a type of its own in the template's state.
struct Draws(ChaCha8Rng);

/// A grammar, compiled.
pub struct Grammar {
    environment: Environment<'static>,
    name: String,
}

impl Grammar {
    /// Reads a grammar's file.
    ///
    /// # Errors
    /// A file that cannot be read or compiled.
    pub fn load(path: &Path) -> Result<Self, DataError> {
        let text = std::fs::read_to_string(path).map_err(DataError::io(path))?;
        Self::parse(&path.display().to_string(), text)
    }

    /// Compiles a grammar; `name` is for messages.
    ///
    /// # Errors
    /// Text that is not a template.
    pub fn parse(name: &str, text: String) -> Result<Self, DataError> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        environment.add_function("pick", pick);
        environment.add_function("sample", sample);
        environment.add_function("shuffle", shuffle);
        environment.add_function("number", number);
        environment.add_function("chance", chance);
        environment
            .add_template_owned(name.to_owned(), text)
            .map_err(|error| in_template(name, &error))?;
        Ok(Self {
            environment,
            name: name.to_owned(),
        })
    }

    /// The first `count` rows of a seed. The threads of the current rayon pool share the work; the
    /// rows do not depend on how.
    ///
    /// # Errors
    /// The first row (by number) that cannot be made or is not one JSON object.
    pub fn rows(&self, count: usize, seed: Seed) -> Result<Vec<Row>, DataError> {
        let seed = seed.child("row");
        let rows: Vec<Result<Row, DataError>> = (0..count)
            .into_par_iter()
            .map(|number| self.row(number, seed.child(number)))
            .collect();
        rows.into_iter().collect()
    }

    fn row(&self, number: usize, seed: Seed) -> Result<Row, DataError> {
        let template = self
            .environment
            .get_template(&self.name)
            .map_err(|error| in_template(&self.name, &error))?;
        // the seed travels as text; the generator begins from it at the first draw
        let words = template
            .render(minijinja::context! { seed => Value::from(seed.to_hex()) })
            .map_err(|error| in_template(&self.name, &error))?;
        let StrictRow(row) = serde_json::from_str(&words).map_err(|error| DataError::File {
            path: self.name.clone().into(),
            message: format!(
                "row {number} is not one JSON object ({error}); print it with `{{{{ {{..}}|tojson }}}}`: {}",
                start_of(&words)
            ),
        })?;
        Ok(row)
    }
}

/// The draws of this rendering, begun from the row's seed at the first.
fn draws<'a>(state: &'a mut State<'_, '_>) -> Result<&'a mut ChaCha8Rng, Error> {
    if state.get_extension::<Draws>().is_none() {
        let seed = state
            .lookup("seed")
            .and_then(|seed| seed.as_str().and_then(Seed::from_hex));
        let seed = seed.ok_or_else(|| Error::new(ErrorKind::InvalidOperation, "a grammar may not set `seed`"))?;
        state.get_or_insert_extension(Draws(seed.rng()));
    }
    Ok(&mut state.get_extension_mut::<Draws>().expect("just begun").0)
}

fn items(list: &Value) -> Result<Vec<Value>, Error> {
    Ok(list.try_iter()?.collect())
}

fn pick(state: &mut State<'_, '_>, list: Value) -> Result<Value, Error> {
    let items = items(&list)?;
    let picked = items.choose(draws(state)?).cloned();
    picked.ok_or_else(|| Error::new(ErrorKind::InvalidOperation, "pick() from an empty list"))
}

fn sample(state: &mut State<'_, '_>, list: Value, count: usize) -> Result<Vec<Value>, Error> {
    let items = items(&list)?;
    if count > items.len() {
        let message = format!("sample() of {count} from a list of {}", items.len());
        return Err(Error::new(ErrorKind::InvalidOperation, message));
    }
    let mut items = items;
    let (chosen, _) = items.partial_shuffle(draws(state)?, count);
    Ok(chosen.to_vec())
}

fn shuffle(state: &mut State<'_, '_>, list: Value) -> Result<Vec<Value>, Error> {
    let mut items = items(&list)?;
    items.shuffle(draws(state)?);
    Ok(items)
}

fn number(state: &mut State<'_, '_>, low: i64, high: i64) -> Result<i64, Error> {
    if low > high {
        let message = format!("number({low}, {high}): the first is above the second");
        return Err(Error::new(ErrorKind::InvalidOperation, message));
    }
    Ok(draws(state)?.random_range(low..=high))
}

fn chance(state: &mut State<'_, '_>, probability: f64) -> Result<bool, Error> {
    if !(0.0..=1.0).contains(&probability) {
        let message = format!("chance({probability}): a probability is between 0 and 1");
        return Err(Error::new(ErrorKind::InvalidOperation, message));
    }
    Ok(draws(state)?.random_bool(probability))
}

/// A template's error with its line and every cause.
fn in_template(name: &str, error: &Error) -> DataError {
    let mut message = error.detail().map_or_else(
        || error.kind().to_string(),
        |detail| format!("{}: {detail}", error.kind()),
    );
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        message = format!("{message}: {inner}");
        cause = inner.source();
    }
    match error.line() {
        Some(line) => DataError::Row {
            path: name.into(),
            line: line as u64,
            message,
        },
        None => DataError::File {
            path: name.into(),
            message,
        },
    }
}

fn start_of(words: &str) -> String {
    let words = words.trim();
    let start: String = words.chars().take(80).collect();
    if start.len() < words.len() {
        format!("{start}…")
    } else {
        start
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TALES: &str = r#"
        {%- macro hero() -%}{{ pick(["Ana", "Luis", "Eva"]) }}{%- endmacro -%}
        {%- set who = hero() -%}
        {{ {"text": who ~ " & <" ~ number(1, 1000) ~ ">", "things": sample([1, 2, 3, 4], 2),
            "all": shuffle(["x", "y"]), "happy": chance(0.5), "again": hero()}|tojson }}"#;

    fn grammar(text: &str) -> Grammar {
        Grammar::parse("tales.jinja", text.to_owned()).unwrap()
    }

    #[test]
    fn rows_are_fixed_by_seed_and_number() {
        let tales = grammar(TALES);
        let hundred = tales.rows(100, Seed::root(7)).unwrap();
        assert_eq!(hundred, tales.rows(200, Seed::root(7)).unwrap()[..100]);
        assert_ne!(hundred, tales.rows(100, Seed::root(8)).unwrap());
        assert_eq!(
            hundred[0].keys().collect::<Vec<_>>(),
            ["text", "things", "all", "happy", "again"]
        );
        assert!(hundred.iter().all(|row| row["text"].as_str().unwrap().contains(" & <")));
        assert!(hundred.iter().any(|row| row["happy"] == true) && hundred.iter().any(|row| row["happy"] == false));
        let distinct: std::collections::BTreeSet<_> = hundred.iter().map(|row| row["text"].to_string()).collect();
        assert!(distinct.len() > 80, "{}", distinct.len());
        // a macro draws on in the same stream instead of beginning it again
        assert!(hundred.iter().any(|row| {
            !row["text"]
                .as_str()
                .unwrap()
                .starts_with(row["again"].as_str().unwrap())
        }));
    }

    #[test]
    fn rows_do_not_depend_on_threads() {
        let tales = grammar(TALES);
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| tales.rows(50, Seed::root(1)).unwrap())
        };
        assert_eq!(with(1), with(3));
    }

    #[test]
    fn what_goes_wrong_is_named() {
        let error = |text: &str| match Grammar::parse("g.jinja", text.to_owned()) {
            Ok(grammar) => grammar.rows(3, Seed::root(1)).unwrap_err().to_string(),
            Err(error) => error.to_string(),
        };
        assert!(error("{\"a\": 1} {\"b\": 2}").contains("row 0 is not one JSON object"));
        assert!(
            error("a\n{{ pick([]) }}").starts_with("g.jinja:2: "),
            "{}",
            error("a\n{{ pick([]) }}")
        );
        assert!(error("{{ sample([1], 2)|tojson }}").contains("sample() of 2 from a list of 1"));
        assert!(error("{{ chance(2) }}").contains("between 0 and 1"));
        assert!(error("{{ name }}").contains("undefined"));
        assert!(error("{% if %}").contains("g.jinja:1"));
    }
}
