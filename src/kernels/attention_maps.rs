//! The probabilities of attention, looked at while a model computes.
//!
//! Whoever wants to see them wraps a pass in [`watch_attention`]. Attention then takes its composed form, which
//! holds all probabilities at once, and leaves a copy of them here; architectures know nothing of it. The
//! place is the thread's own, because a pass runs on one thread from layer to layer.

use std::cell::RefCell;

use burn::tensor::Tensor;

/// What one layer's heads attend to, of one sequence.
#[derive(Clone, Debug, PartialEq)]
pub struct AttentionMap {
    /// Query heads.
    pub heads: usize,
    /// Positions that attend.
    pub queries: usize,
    /// Positions that are attended to.
    pub keys: usize,
    /// Probabilities, `[head, query, key]`; those of a query sum to 1.
    pub weights: Vec<f32>,
}

impl AttentionMap {
    /// The probabilities of one head, `[query, key]`.
    pub fn head(&self, head: usize) -> &[f32] {
        let size = self.queries * self.keys;
        &self.weights[head * size..(head + 1) * size]
    }
}

thread_local! {
    static MAPS: RefCell<Option<Vec<AttentionMap>>> = const { RefCell::new(None) };
}

/// Runs a pass over one sequence, and gives with its result what every layer attended to, in the order in
/// which they were computed: an encoder's layers first, then a decoder's, each to itself and then to its
/// source.
pub fn watch_attention<T>(pass: impl FnOnce() -> T) -> (T, Vec<AttentionMap>) {
    MAPS.with_borrow_mut(|maps| *maps = Some(Vec::new()));
    let result = pass();
    (result, MAPS.with_borrow_mut(Option::take).unwrap_or_default())
}

/// Whether somebody looks.
pub(super) fn watched() -> bool {
    MAPS.with_borrow(Option::is_some)
}

/// Keeps the probabilities of the first sequence, `[batch, key_value, group·queries, keys]`, if somebody looks.
pub(super) fn show(probabilities: &Tensor<4>, group: usize) {
    if !watched() {
        return;
    }
    let [_, key_value, grouped, keys] = probabilities.dims();
    let data = probabilities.clone().narrow(0, 0, 1).into_data().convert::<f32>();
    let weights = data.try_into_vec().expect("just converted");
    let map = AttentionMap {
        heads: key_value * group,
        queries: grouped / group,
        keys,
        weights,
    };
    MAPS.with_borrow_mut(|maps| maps.iter_mut().for_each(|maps| maps.push(map.clone())));
}
