//! The page about what is inside a model: attention, embeddings, next tokens. One file that loads nothing.

use std::collections::BTreeMap;

use minijinja::value::{Serde, Value};
use serde::Serialize;

use super::material::ReportError;
use super::page::environment;
use super::pixels::picture;
use super::samples::inert;
use super::words::{Language, Words};

/// A token as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Shown {
    /// Its text.
    pub text: String,
    /// Its number.
    pub id: u32,
}

/// What all heads of one kind attend to.
#[derive(Clone, Debug, PartialEq)]
pub struct Maps {
    /// `self` of a decoder alone; `encoder`, `decoder` and `cross` of a model with both.
    pub kind: &'static str,
    /// The tokens that attend.
    pub queries: Vec<Shown>,
    /// The tokens that are attended to.
    pub keys: Vec<Shown>,
    /// By layer and head: probabilities, `[query, key]`.
    pub layers: Vec<Vec<Vec<f32>>>,
}

/// A token and those whose vectors are nearest.
#[derive(Clone, Debug, PartialEq)]
pub struct Near {
    /// The token.
    pub token: String,
    /// The others with the cosine between their vectors, nearest first.
    pub nearest: Vec<(String, f64)>,
}

/// A token on the map of vectors.
#[derive(Clone, Debug, PartialEq)]
pub struct Placed {
    /// The token.
    pub token: String,
    /// Along the first direction.
    pub x: f64,
    /// Along the second.
    pub y: f64,
    /// Whether the text has it, or it is only near one that the text has.
    pub of_text: bool,
}

/// A token that might come next.
#[derive(Clone, Debug, PartialEq)]
pub struct NextToken {
    /// The token.
    pub token: String,
    /// Its probability at each temperature.
    pub probabilities: Vec<f64>,
}

/// What was found inside a model while it read a text.
#[derive(Clone, Debug, PartialEq)]
pub struct Inspection {
    /// What the model is called.
    pub model: String,
    /// Its architecture.
    pub architecture: String,
    /// Its weights.
    pub parameters: usize,
    /// Its layers.
    pub layers: usize,
    /// Its heads; 0 if it has no attention.
    pub heads: usize,
    /// Its width.
    pub width: usize,
    /// The size of its vocabulary.
    pub vocabulary: usize,
    /// The text.
    pub text: String,
    /// The text's tokens.
    pub read: Vec<Shown>,
    /// What the decoder of an encoder-decoder wrote.
    pub written: Vec<Shown>,
    /// Attention, by kind.
    pub maps: Vec<Maps>,
    /// How many positions a map shows at most.
    pub positions: usize,
    /// Nearest tokens.
    pub near: Vec<Near>,
    /// Different tokens of the text: neighbours may be there for the first of them only.
    pub different: usize,
    /// The map of vectors.
    pub placed: Vec<Placed>,
    /// The share of variance that each axis of it shows, in 0..=1.
    pub shares: [f64; 2],
    /// Temperatures.
    pub temperatures: Vec<f64>,
    /// Likely next tokens, likeliest first.
    pub next: Vec<NextToken>,
}

#[derive(Serialize)]
struct Page<'a> {
    lang: &'static str,
    version: &'static str,
    nonce: String,
    title: String,
    model: &'a str,
    text: &'a str,
    figures: Vec<(&'a str, String)>,
    read: &'a [Shown],
    written: &'a [Shown],
    attention: Vec<Attention<'a>>,
    cut: Option<String>,
    near: Vec<NearRow<'a>>,
    near_cut: Option<String>,
    scatter: [Scatter<'a>; 2],
    plane_note: String,
    temperatures: Vec<String>,
    next: Vec<NextRow<'a>>,
    rest: Vec<Cell>,
    data: String,
    t: &'a BTreeMap<String, String>,
}

#[derive(Serialize)]
struct Attention<'a> {
    kind: &'a str,
    title: String,
    about: String,
    layers: Vec<Layer>,
}

#[derive(Serialize)]
struct Layer {
    name: String,
    heads: Vec<Head>,
}

#[derive(Serialize)]
struct Head {
    name: String,
    picture: String,
    width: usize,
    height: usize,
    told: String,
}

#[derive(Serialize)]
struct NearRow<'a> {
    token: &'a str,
    nearest: Vec<(&'a str, Cell)>,
}

#[derive(Serialize)]
struct NextRow<'a> {
    token: &'a str,
    cells: Vec<Cell>,
}

/// A number and how dark its place is, in percent.
#[derive(Serialize)]
struct Cell {
    value: String,
    share: String,
}

#[derive(Serialize)]
struct Scatter<'a> {
    class: &'static str,
    width: f64,
    height: f64,
    points: Vec<Point<'a>>,
}

#[derive(Serialize)]
struct Point<'a> {
    x: String,
    y: String,
    token: &'a str,
    of_text: bool,
    /// Whether there is room for its name.
    named: bool,
    /// Whether the name is left of the point.
    left: bool,
}

impl Inspection {
    /// The page.
    ///
    /// # Errors
    /// When the template and its values do not fit: a fault of the program.
    pub fn page(&self, language: Language) -> Result<String, ReportError> {
        let words = Words::of_inspection(language);
        let whole = |value: usize| words.whole(value as u64);
        let mut figures = vec![
            ("inspect_parameters", whole(self.parameters)),
            ("inspect_layers", whole(self.layers)),
        ];
        if self.heads > 0 {
            figures.push(("inspect_heads", whole(self.heads)));
        }
        figures.push(("inspect_width", whole(self.width)));
        figures.push(("inspect_vocabulary", whole(self.vocabulary)));
        figures.push(("inspect_tokens", whole(self.read.len())));
        let figures = figures
            .into_iter()
            .map(|(name, value)| (words.get(name), value))
            .collect();
        let longest = self.read.len().max(self.written.len());
        let cut = (longest > self.positions && !self.maps.is_empty()).then(|| {
            let places = [("n", whole(self.positions)), ("all", whole(longest))];
            let places: Vec<_> = places.iter().map(|(name, text)| (*name, text.as_str())).collect();
            words.fill("inspect_cut", &places)
        });
        let near_cut = (self.near.len() < self.different).then(|| {
            let (shown, all) = (whole(self.near.len()), whole(self.different));
            words.fill("inspect_near_cut", &[("n", &shown), ("all", &all)])
        });
        let percent = |share: f64| words.decimal(share * 100.0, 0);
        let mut page = Page {
            lang: language.tag(),
            version: env!("CARGO_PKG_VERSION"),
            nonce: String::new(),
            title: words.fill("inspect_title", &[("model", &self.model)]),
            model: &self.model,
            text: &self.text,
            figures,
            read: &self.read,
            written: &self.written,
            attention: self.maps.iter().map(|maps| attention(maps, &words)).collect(),
            cut,
            near: self.near.iter().map(|near| near_row(near, &words)).collect(),
            near_cut,
            scatter: [
                scatter(&self.placed, "wide", 640.0, 440.0),
                scatter(&self.placed, "narrow", 310.0, 380.0),
            ],
            plane_note: words.fill(
                "inspect_plane",
                &[
                    ("first", &percent(self.shares[0])),
                    ("second", &percent(self.shares[1])),
                ],
            ),
            temperatures: self.temperatures.iter().map(|value| words.decimal(*value, 1)).collect(),
            next: self.next.iter().map(|next| next_row(next, &words)).collect(),
            rest: self.rest().into_iter().map(|share| cell(share, &words)).collect(),
            data: inert(&self.data()),
            t: words.all(),
        };
        // from the content, so that the same model and text give the same bytes
        let content = serde_json::to_vec(&page).expect("plain values");
        page.nonce = blake3::hash(&content).to_hex()[..32].to_owned();
        let mut environment = environment()?;
        environment.add_template("inspect.html", include_str!("page/inspect.html.jinja"))?;
        let script = format!("\"use strict\";\n{{\n{}}}\n", include_str!("page/inspect.js"));
        environment.add_global("inspect_script", Value::from_safe_string(script));
        let style = include_str!("page/inspect.css");
        environment.add_global("inspect_style", Value::from_safe_string(style.to_owned()));
        let text = environment
            .get_template("inspect.html")?
            .render(Value::from(Serde(&page)))?;
        // the only character that a parser of HTML changes by itself
        Ok(text.replace('\0', "\u{fffd}"))
    }

    /// The probability of all other tokens, at each temperature.
    fn rest(&self) -> Vec<f64> {
        let likely = |at: usize| self.next.iter().map(|next| next.probabilities[at]).sum::<f64>();
        let temperatures = 0..self.temperatures.len();
        temperatures.map(|at| (1.0 - likely(at)).max(0.0)).collect()
    }

    /// What the page's script draws the large map from: weights in thousandths.
    fn data(&self) -> String {
        let texts = |tokens: &[Shown]| tokens.iter().map(|token| token.text.clone()).collect::<Vec<_>>();
        let thousandths = |head: &Vec<f32>| -> Vec<u16> {
            // below 1001: a probability in thousandths
            head.iter()
                .map(|weight| (weight * 1000.0).round().clamp(0.0, 1000.0) as u16)
                .collect()
        };
        let maps = self.maps.iter().map(|maps| {
            let layers: Vec<Vec<Vec<u16>>> = maps
                .layers
                .iter()
                .map(|layer| layer.iter().map(thousandths).collect())
                .collect();
            let value = serde_json::json!({
                "queries": texts(&maps.queries), "keys": texts(&maps.keys), "layers": layers,
            });
            (maps.kind, value)
        });
        serde_json::to_string(&maps.collect::<BTreeMap<_, _>>()).expect("plain values")
    }
}

fn cell(share: f64, words: &Words) -> Cell {
    let percent = share * 100.0;
    let decimals = if percent < 0.05 { 0 } else { 1 };
    let value = match percent {
        _ if percent > 0.0 && percent < 0.05 => format!("<{}", words.decimal(0.1, 1)),
        _ => words.decimal(percent, decimals),
    };
    Cell {
        value: format!("{value}\u{a0}%"),
        share: format!("{percent:.1}"),
    }
}

fn next_row<'a>(next: &'a NextToken, words: &Words) -> NextRow<'a> {
    NextRow {
        token: &next.token,
        cells: next.probabilities.iter().map(|share| cell(*share, words)).collect(),
    }
}

fn near_row<'a>(near: &'a Near, words: &Words) -> NearRow<'a> {
    let cell = |cosine: f64| Cell {
        value: words.decimal(cosine, 2),
        share: format!("{:.1}", cosine.clamp(0.0, 1.0) * 100.0),
    };
    NearRow {
        token: &near.token,
        nearest: near
            .nearest
            .iter()
            .map(|(token, cosine)| (token.as_str(), cell(*cosine)))
            .collect(),
    }
}

fn attention<'a>(maps: &Maps, words: &Words) -> Attention<'a> {
    let (kind, title, about) = match maps.kind {
        "encoder" => ("encoder", "inspect_encoder", "inspect_encoder_about"),
        "decoder" => ("decoder", "inspect_decoder", "inspect_decoder_about"),
        "cross" => ("cross", "inspect_cross", "inspect_cross_about"),
        _ => ("self", "inspect_self", "inspect_self_about"),
    };
    let (height, width) = (maps.queries.len(), maps.keys.len());
    let number = |name: &str, value: usize| words.fill(name, &[("n", &words.whole(value as u64))]);
    let layers = maps.layers.iter().enumerate().map(|(layer, heads)| Layer {
        name: number("inspect_layer", layer + 1),
        heads: heads
            .iter()
            .enumerate()
            .map(|(head, weights)| Head {
                name: number("inspect_head", head + 1),
                picture: picture(weights, width, height),
                width,
                height,
                told: told(weights, maps, words),
            })
            .collect(),
    });
    Attention {
        kind,
        title: words.get(title).to_owned(),
        about: words.get(about).to_owned(),
        layers: layers.collect(),
    }
}

/// What a head does, in a sentence: the strongest link between two different places.
fn told(weights: &[f32], maps: &Maps, words: &Words) -> String {
    let keys = maps.keys.len();
    let other = |at: &usize| maps.kind == "cross" || at / keys != at % keys;
    let links = (0..weights.len()).filter(other);
    let Some(at) = links.max_by(|a, b| weights[*a].total_cmp(&weights[*b]).then(b.cmp(a))) else {
        return String::new();
    };
    let share = words.decimal(f64::from(weights[at]) * 100.0, 0);
    let (query, key) = (&maps.queries[at / keys].text, &maps.keys[at % keys].text);
    words.fill("inspect_link", &[("query", query), ("key", key), ("share", &share)])
}

/// Where tokens are, in pixels; a name is shown where it covers no other.
fn scatter<'a>(placed: &'a [Placed], class: &'static str, width: f64, height: f64) -> Scatter<'a> {
    const MARGIN: f64 = 14.0;
    let range = |of: fn(&Placed) -> f64| {
        let values = placed.iter().map(of);
        let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
            (low.min(value), high.max(value))
        });
        (low, (high - low).max(1e-9))
    };
    let (x, y) = (range(|point| point.x), range(|point| point.y));
    let mut taken: Vec<[f64; 4]> = Vec::new();
    let mut points = Vec::new();
    for point in placed {
        let at_x = MARGIN + (point.x - x.0) / x.1 * (width - 2.0 * MARGIN);
        let at_y = height - MARGIN - (point.y - y.0) / y.1 * (height - 2.0 * MARGIN);
        let long = 7.0 * point.token.chars().count() as f64 + 4.0;
        let left = at_x + 6.0 + long > width;
        let start = if left { at_x - 6.0 - long } else { at_x + 6.0 };
        let place = [start, at_y - 7.0, start + long, at_y + 7.0];
        let free =
            |other: &[f64; 4]| place[2] < other[0] || other[2] < place[0] || place[3] < other[1] || other[3] < place[1];
        let named = start >= 0.0 && taken.iter().all(free);
        taken.push([at_x - 4.0, at_y - 4.0, at_x + 4.0, at_y + 4.0]);
        if named {
            taken.push(place);
        }
        points.push(Point {
            x: format!("{at_x:.1}"),
            y: format!("{at_y:.1}"),
            token: &point.token,
            of_text: point.of_text,
            named,
            left,
        });
    }
    Scatter {
        class,
        width,
        height,
        points,
    }
}
