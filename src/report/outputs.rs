//! Outputs side by side: for each sample what every system wrote, the words that it shares with the
//! reference marked.

use serde::Serialize;

use super::material::{Group, Material};
use super::ranking;
use super::words::Words;
use crate::metrics::{Facts, ScoredSample, common_words};

/// Samples on the page: `samples.csv` has all of them.
const MOST_SAMPLES: usize = 24;

/// Characters of a text on the page.
const MOST_CHARACTERS: usize = 4000;

/// The samples of one group.
#[derive(Serialize)]
pub(super) struct Outputs {
    title: String,
    metric: String,
    samples: Vec<Sample>,
    /// How many of all are shown, where not all are.
    cut: Option<String>,
}

#[derive(Serialize)]
struct Sample {
    id: String,
    references: Vec<String>,
    prompts: Vec<Prompt>,
    outputs: Vec<Output>,
    /// The difference between the best and the worst system, by which the page can sort.
    spread: f64,
}

/// A prompt, and the systems that read it.
#[derive(Serialize)]
struct Prompt {
    text: String,
    labels: Vec<String>,
    tokens: u64,
}

#[derive(Serialize)]
struct Output {
    label: String,
    colour: String,
    score: String,
    best: bool,
    /// `length`: the output was cut.
    cut: bool,
    tokens: u64,
    pieces: Vec<Piece>,
}

/// A piece of text, in the reference or not.
#[derive(Serialize)]
struct Piece {
    text: String,
    common: bool,
}

/// The groups that have samples.
pub(super) fn outputs(
    material: &Material,
    baseline: &std::collections::BTreeMap<String, String>,
    words: &Words,
) -> Vec<Outputs> {
    let with_samples = material
        .groups
        .iter()
        .filter(|group| group.systems.iter().any(|system| !system.samples.is_empty()));
    with_samples
        .filter_map(|group| side_by_side(group, &ranking::colours(group, baseline), words))
        .collect()
}

fn side_by_side(group: &Group, colours: &[String], words: &Words) -> Option<Outputs> {
    let metric = ranking::leading(&ranking::metrics(group))?;
    let mut ids: Vec<&str> = Vec::new();
    let mut known = std::collections::BTreeSet::new();
    for scored in group.systems.iter().flat_map(|system| &system.samples) {
        if known.insert(scored.sample.id.as_str()) {
            ids.push(&scored.sample.id);
        }
    }
    let shown = ids.len().min(MOST_SAMPLES);
    let (shown_text, all_text) = (words.whole(shown as u64), words.whole(ids.len() as u64));
    Some(Outputs {
        title: group.title.clone(),
        metric: words.label(metric).to_owned(),
        samples: ids[..shown]
            .iter()
            .map(|id| sample(group, id, metric, colours, words))
            .collect(),
        cut: (shown < ids.len()).then(|| words.fill("samples_cut", &[("shown", &shown_text), ("all", &all_text)])),
    })
}

fn sample(group: &Group, id: &str, metric: Facts, colours: &[String], words: &Words) -> Sample {
    let mut sample = Sample {
        id: id.to_owned(),
        references: Vec::new(),
        prompts: Vec::new(),
        outputs: Vec::new(),
        spread: 0.0,
    };
    let value = |scored: &ScoredSample| scored.scores.get(metric.name).and_then(serde_json::Value::as_f64);
    let mut values: Vec<f64> = Vec::new();
    for (system, colour) in group.systems.iter().zip(colours) {
        let Some(scored) = system.samples.iter().find(|scored| scored.sample.id == id) else {
            continue;
        };
        let label = ranking::label(system);
        let text = cut(&scored.sample.prompt, words);
        match sample.prompts.iter_mut().find(|prompt| prompt.text == text) {
            Some(prompt) => prompt.labels.push(label.clone()),
            None => sample.prompts.push(Prompt {
                text,
                labels: vec![label.clone()],
                tokens: scored.sample.prompt_tokens,
            }),
        }
        for reference in &scored.sample.references {
            let reference = cut(reference, words);
            if !sample.references.contains(&reference) {
                sample.references.push(reference);
            }
        }
        values.extend(value(scored));
        sample.outputs.push(Output {
            label,
            colour: colour.clone(),
            score: value(scored).map_or("—".to_owned(), |value| words.score(value, metric.range)),
            best: false,
            cut: scored.sample.finish == "length",
            tokens: scored.sample.output_tokens,
            pieces: pieces(&cut(&scored.sample.output, words), &scored.sample.references),
        });
    }
    let (low, high) = values
        .iter()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
            (low.min(*value), high.max(*value))
        });
    if values.len() > 1 && high > low {
        sample.spread = ((high - low) * 1e4).round() / 1e4;
        let best = words.score(if metric.range.higher_is_better() { high } else { low }, metric.range);
        for output in &mut sample.outputs {
            output.best = output.score == best;
        }
    }
    // the shortest prompt first: it is the sample itself, without examples
    sample.prompts.sort_by_key(|prompt| prompt.text.len());
    sample
}

/// The text in pieces, the words of the longest common subsequence with the closest reference apart.
fn pieces(text: &str, references: &[String]) -> Vec<Piece> {
    let candidates = references.iter().map(|reference| common_words(text, reference));
    let common = candidates.max_by_key(Vec::len).unwrap_or_default();
    let mut pieces: Vec<Piece> = Vec::new();
    let mut push = |text: &str, common: bool| {
        if text.is_empty() {
            return;
        }
        match pieces.last_mut() {
            Some(last) if last.common == common => last.text.push_str(text),
            _ => pieces.push(Piece {
                text: text.to_owned(),
                common,
            }),
        }
    };
    let mut at = 0;
    for range in common {
        // a space between two common words is common, so that they are marked as one
        let between = &text[at..range.start];
        push(between, at > 0 && between.chars().all(char::is_whitespace));
        push(&text[range.clone()], true);
        at = range.end;
    }
    push(&text[at..], false);
    pieces
}

/// As much of a text as the page shows, with a word where it was cut.
fn cut(text: &str, words: &Words) -> String {
    match text.char_indices().nth(MOST_CHARACTERS) {
        Some((end, _)) => format!("{} … [{}]", &text[..end], words.get("text_cut")),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_words_are_marked_and_text_is_kept() {
        let found = pieces("Luke, yo soy tu padre.", &["Luke, yo mate a tu padre".into()]);
        let joined: String = found.iter().map(|piece| piece.text.as_str()).collect();
        assert_eq!(joined, "Luke, yo soy tu padre.");
        let common: Vec<_> = found
            .iter()
            .filter(|piece| piece.common)
            .map(|piece| piece.text.as_str())
            .collect();
        assert_eq!(common, ["Luke", "yo", "tu padre"]);
    }

    #[test]
    fn an_empty_output_has_no_pieces() {
        assert!(pieces("", &["x".into()]).is_empty());
        assert_eq!(pieces("y", &[]).len(), 1);
    }
}
