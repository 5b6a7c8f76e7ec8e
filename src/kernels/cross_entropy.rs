//! The loss of a language model.

use burn::tensor::{Int, Tensor};

/// The sum of `−ln softmax(logits)[target]` over the rows whose target is counted, in nats.
///
/// `[rows, vocab]` logits, `[rows]` targets; a target of −1 is ignored. The caller divides by the
/// number of counted targets, which may span several calls; with none the sum is 0, not NaN.
pub fn cross_entropy(logits: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
    composed(logits, targets)
}

fn composed(logits: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
    let targets: Tensor<2, Int> = targets.unsqueeze_dim(1);
    let counted = targets.clone().greater_equal_elem(0).float();
    // subtracting the maximum changes nothing but keeps exp in range; no gradient flows through it
    let maximum = logits.clone().detach().max_dim(1);
    let shifted = logits.sub(maximum);
    let log_sum = shifted.clone().exp().sum_dim(1).log();
    let picked = shifted.gather(1, targets.clamp_min(0));
    log_sum.sub(picked).mul(counted).sum()
}
