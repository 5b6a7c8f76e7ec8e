//! When an output is finished.

use serde::{Deserialize, Serialize};

/// Why an output ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Finish {
    /// The model wrote its end token.
    Eos,
    /// The output came to a stop text.
    Stop,
    /// `max_new_tokens` were written.
    Length,
}

/// Where the first stop text begins in an output (a byte offset), if one is there.
pub fn stop_at(output: &str, stops: &[String]) -> Option<usize> {
    stops.iter().filter_map(|stop| output.find(stop.as_str())).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_stop_text_counts() {
        let stops = ["###".to_owned(), "\n\n".to_owned()];
        assert_eq!(stop_at("one\n\ntwo ###", &stops), Some(3));
        assert_eq!(stop_at("niño ### \n\n", &stops), Some(6));
        assert_eq!(stop_at("one\ntwo ##", &stops), None);
        assert_eq!(stop_at("anything", &[]), None);
    }
}
