//! Fused operations for the CPU: what burn's autodiff would decompose into many passes over memory,
//! in one pass forward and one backward.
//!
//! An operation implements [`Fused`] over plain arrays; [`run`] gives it to burn's autodiff graph.
//! Work is split over rayon's threads into pieces, and every sum has a fixed order that no cut changes, so that results
//! do not depend on the number of threads.

mod array;
mod bf16;
mod pairs;
mod panels;
mod precision;
mod product;
mod simd;
mod tile;

pub(super) use tile::PANEL;

pub(super) use array::{Array, Shared, buffer, pairs_buffer};
pub(super) use bf16::{round_into, widen};
pub(super) use pairs::{Paired, Pairing, Pairs, summed_product};
pub(super) use panels::{Panels, copy as copy_panel};
pub use precision::{Entered, Precision};
pub(super) use precision::{biased_product_in, product_in};
pub(super) use product::{
    Block, Matrix, Plus, Right, Target, multiply, product, product_into, product_with, transposed_product_into,
};
pub(super) use simd::{LANES, exp, largest, sigmoid, sum, sum_pairs, tanh, vectorized};

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::{Autodiff, BackendTypes, Flex};
use burn::tensor::{DType, Tensor};
use serde_json::json;

use crate::device::is_cpu;
use crate::profile;

/// Pieces of work that a thread takes at a time: who is done early takes over what a slower one has not begun. Left
/// to itself, rayon hands out a quarter of all pieces to each of two threads, and one waits for the other.
pub(super) const SHARE: usize = 1;

/// An operation on contiguous f32 arrays, with its derivative.
pub(super) trait Fused<const N: usize>: Clone + std::fmt::Debug + Send + 'static {
    /// What the backward pass needs of the forward one.
    type Saved: Clone + std::fmt::Debug + Send + 'static;

    /// The result. `tracked` says whether a backward pass will follow.
    fn forward(&self, inputs: [Array; N], tracked: bool) -> (Array, Self::Saved);

    /// The gradients of the inputs that are wanted, from that of the result.
    fn backward(&self, saved: Self::Saved, gradient: Array, wanted: [bool; N]) -> [Option<Array>; N];
}

/// Whether fused operations apply to a tensor: f32 on the CPU.
pub(super) fn applies<const D: usize>(x: &Tensor<D>) -> bool {
    x.dtype() == DType::F32 && is_cpu(&x.device())
}

/// Runs a fused operation, in the autodiff graph when any input is on it.
pub(super) fn run<const N: usize, const D: usize, O: Fused<N>>(operation: O, inputs: [Tensor<2>; N]) -> Tensor<D> {
    const ON_CPU: &str = "callers ask `applies` first";
    if !inputs.iter().any(Tensor::is_autodiff) {
        let inputs = inputs.map(|input| Array::contiguous(input.try_into_primitive::<Flex>().expect(ON_CPU)));
        let _span = span::<O, N>("forward", &inputs);
        let (output, _) = operation.forward(inputs, false);
        return Tensor::from_primitive::<Flex>(output.into_primitive());
    }
    let parts = inputs.map(|input| {
        let tensor = input.autodiff().try_into_primitive::<Tracked>().expect(ON_CPU);
        let (primitive, node) = tensor.into_parts();
        (Array::contiguous(primitive), node)
    });
    // burn wants the guards of all inputs before the operation's own values
    let (mut arrays, mut nodes) = (Vec::with_capacity(N), Vec::with_capacity(N));
    for (array, node) in parts {
        arrays.push(array);
        nodes.push(node);
    }
    let arrays: [Array; N] = arrays.try_into().expect("as many as came in");
    let Ok(nodes) = nodes.try_into() else {
        unreachable!("as many as came in")
    };
    let _span = span::<O, N>("forward", &arrays);
    let step = Step(operation.clone());
    let output = match step.prepare::<NoCheckpointing>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(prepared) => {
            let (output, saved) = operation.forward(arrays, true);
            prepared.finish(saved, output.into_primitive())
        }
        OpsKind::UnTracked(prepared) => prepared.finish(operation.forward(arrays, false).0.into_primitive()),
    };
    Tensor::from_primitive::<Tracked>(output)
}

/// A fused operation on any number of arrays.
pub(super) trait FusedMany: Clone + std::fmt::Debug + Send + 'static {
    /// What the backward pass needs of the forward one.
    type Saved: Clone + std::fmt::Debug + Send + 'static;

    /// The result. `tracked` says whether a backward pass will follow.
    fn forward(&self, inputs: Vec<Array>, tracked: bool) -> (Array, Self::Saved);

    /// The gradients of the inputs that are wanted, from that of the result.
    fn backward(&self, saved: Self::Saved, gradient: Array, wanted: &[bool]) -> Vec<Option<Array>>;
}

#[derive(Clone, Debug)]
struct Counted<O>(O);

impl<const N: usize, O: FusedMany> Fused<N> for Counted<O> {
    type Saved = O::Saved;

    fn forward(&self, inputs: [Array; N], tracked: bool) -> (Array, Self::Saved) {
        self.0.forward(inputs.into(), tracked)
    }

    fn backward(&self, saved: Self::Saved, gradient: Array, wanted: [bool; N]) -> [Option<Array>; N] {
        let gradients = self.0.backward(saved, gradient, &wanted);
        gradients.try_into().expect("a gradient or none for each input")
    }
}

/// Runs a fused operation of up to twenty inputs.
pub(super) fn run_many<O: FusedMany>(operation: O, inputs: Vec<Tensor<2>>) -> Tensor<2> {
    macro_rules! by_count {
        ($($count:literal)*) => {
            match inputs.len() {
                $($count => {
                    let inputs: [Tensor<2>; $count] = inputs.try_into().expect("as many as were counted");
                    run(Counted(operation), inputs)
                })*
                count => unreachable!("an operation of {count} inputs"),
            }
        };
    }
    by_count!(1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20)
}

/// An operation on the time line, under its file's and its type's name.
fn span<O, const N: usize>(pass: &'static str, arrays: &[Array; N]) -> Option<profile::Span> {
    let name = std::any::type_name::<O>().trim_end_matches('>'); // of a `Counted<..>`, what is counted
    let name = name.rsplit_once("fragua::kernels::").map_or(name, |(_, name)| name);
    profile::span_about("kernel", name, || {
        let shapes: Vec<_> = arrays.iter().map(Array::shape).collect();
        json!({"pass": pass, "shapes": shapes})
    })
}

/// A tensor in the autodiff graph.
pub(super) type AutodiffTensor = <Tracked as BackendTypes>::FloatTensorPrimitive;

/// A fused operation that writes its own step of the backward pass.
pub(super) trait Graph<const N: usize>: Sized {
    /// The way back.
    type Step: Backward<Flex, N, State = ()> + Clone;

    /// The result.
    fn compute(&self, inputs: &[Array; N]) -> Array;

    /// The way back, given the inputs.
    fn step(self, inputs: [AutodiffTensor; N]) -> Self::Step;
}

/// Runs a fused operation with its own step, in the autodiff graph when any input is on it.
pub(super) fn run_in_graph<const N: usize, O: Graph<N>>(operation: O, inputs: [Tensor<2>; N]) -> Tensor<2> {
    const ON_CPU: &str = "callers ask `applies` first";
    if !inputs.iter().any(Tensor::is_autodiff) {
        let inputs = inputs.map(|input| Array::contiguous(input.try_into_primitive::<Flex>().expect(ON_CPU)));
        return Tensor::from_primitive::<Flex>(operation.compute(&inputs).into_primitive());
    }
    let tensors = inputs.map(|input| input.autodiff().try_into_primitive::<Tracked>().expect(ON_CPU));
    let arrays = tensors
        .each_ref()
        .map(|tensor| Array::contiguous(tensor.primitive().clone()));
    let _span = span::<O, N>("forward", &arrays);
    let output = operation.compute(&arrays).into_primitive();
    let nodes = tensors.each_ref().map(AutodiffTensor::node);
    let step = operation.step(tensors);
    let output = match step.prepare::<NoCheckpointing>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(prepared) => prepared.finish((), output),
        OpsKind::UnTracked(prepared) => prepared.finish(output),
    };
    Tensor::from_primitive::<Tracked>(output)
}

type Tracked = Autodiff<Flex, NoCheckpointing>;

#[derive(Clone, Debug)]
struct Step<O>(O);

impl<const N: usize, O: Fused<N>> Backward<Flex, N> for Step<O> {
    type State = O::Saved;

    fn backward(self, ops: Ops<Self::State, N>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let gradient = Array::contiguous(gradients.consume::<Flex>(&ops.node));
        let _span = span::<O, 1>("backward", std::array::from_ref(&gradient));
        let wanted = ops.parents.each_ref().map(Option::is_some);
        let results = self.0.backward(ops.state, gradient, wanted);
        for (parent, result) in ops.parents.into_iter().zip(results) {
            if let (Some(parent), Some(result)) = (parent, result) {
                gradients.register::<Flex>(parent.id, result.into_primitive());
            }
        }
    }
}
