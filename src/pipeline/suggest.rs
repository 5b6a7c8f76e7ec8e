//! Did you mean.

/// Longer names have no neighbours.
const LONGEST: usize = 100;

/// The candidate that `name` was most likely meant to be, if one is near enough: the same but for
/// case and separators, a few typing errors away, or begun alike.
pub fn suggest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let plain = plain(name);
    let length = plain.chars().count();
    // nobody means a name by a page of text, and the distance takes time and memory by its length
    if length == 0 || length > LONGEST {
        return None;
    }
    let allowed = (length / 3).max(1);
    candidates
        .into_iter()
        .filter(|candidate| *candidate != name && candidate.len() <= 4 * LONGEST)
        .filter_map(|candidate| {
            let other = self::plain(candidate);
            let distance = strsim::damerau_levenshtein(&plain, &other);
            let begun_alike =
                length >= 3 && (other.starts_with(&plain) || plain.starts_with(&other) && other.len() >= 3);
            (distance <= allowed && distance < length || begun_alike).then_some((distance, candidate))
        })
        // the first of equals, in the candidates' own order
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate.to_owned())
}

fn plain(name: &str) -> String {
    name.to_lowercase().replace(['_', '-', ' '], "")
}

/// Names for a sentence: `` `a`, `b`, `c` ``; the rest counted where there are many.
pub(super) fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    const SHOWN: usize = 16;
    let names: Vec<_> = names.into_iter().map(|name| format!("`{name}`")).collect();
    match names.len().checked_sub(SHOWN) {
        Some(more) if more > 0 => format!("{} and {more} more", names[..SHOWN].join(", ")),
        _ => names.join(", "),
    }
}

/// The next move after an unknown name: the nearest, else the choice.
pub(super) fn did_you_mean<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str> + Clone,
    choice: &str,
) -> Option<String> {
    if let Some(near) = suggest(name, candidates.clone()) {
        return Some(format!("did you mean `{near}`?"));
    }
    let listed = listed(candidates);
    (!listed.is_empty()).then(|| format!("{choice}: {listed}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_found_and_far_ones_are_not() {
        let names = ["base", "tuned", "learning_rate", "dialogues"];
        assert_eq!(suggest("bse", names).as_deref(), Some("base"));
        assert_eq!(suggest("Learning-Rate", names).as_deref(), Some("learning_rate"));
        assert_eq!(suggest("dialog", names).as_deref(), Some("dialogues"));
        assert_eq!(suggest("tunde", names).as_deref(), Some("tuned"));
        assert_eq!(suggest("x", names), None);
        assert_eq!(suggest("", names), None);
        assert_eq!(suggest("quantize", names), None);
    }

    #[test]
    fn the_first_of_equals_wins() {
        assert_eq!(suggest("bat", ["cat", "hat"]).as_deref(), Some("cat"));
    }
}
