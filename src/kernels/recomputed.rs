//! Operations whose insides are not kept for the backward pass but made again there (gradient
//! checkpointing: Chen et al. 2016). Dropout's masks are functions of places, so that what is made again
//! is the same to the last bit.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::{Autodiff, Flex};
use burn::tensor::Tensor;

use super::flex::{self, Array, AutodiffTensor, Fused, Precision};
use crate::profile;

type Tracked = Autodiff<Flex, NoCheckpointing>;

/// Part of a network: from its inputs and its weights to its output.
pub trait Part: Clone + Send + Sync + 'static {
    /// Its weights, in an order that does not change.
    fn weights(&self) -> Vec<Tensor<2>>;

    /// The same with other values for its weights, in that order.
    fn with_weights(self, weights: Vec<Tensor<2>>) -> Self;

    /// What it computes.
    fn run(&self, inputs: Vec<Tensor<2>>) -> Tensor<2>;
}

/// What a part computes, keeping only its inputs for the backward pass, where it is run again. The same
/// bits as [`Part::run`], values and gradients. On other devices than the CPU it is just run.
///
/// Of what the part does, its weights and these inputs alone get gradients; there are one to four.
pub fn recomputed<P: Part>(part: P, inputs: Vec<Tensor<2>>) -> Tensor<2> {
    if !inputs.iter().any(Tensor::is_autodiff) || !inputs.iter().all(flex::applies) {
        return part.run(inputs);
    }
    macro_rules! by_count {
        ($($count:literal)*) => {
            match inputs.len() {
                $($count => {
                    let inputs: [Tensor<2>; $count] = inputs.try_into().expect("as many as were counted");
                    in_graph(part, inputs)
                })*
                count => unreachable!("a part of {count} inputs"),
            }
        };
    }
    by_count!(1 2 3 4)
}

fn in_graph<const N: usize, P: Part>(part: P, inputs: [Tensor<2>; N]) -> Tensor<2> {
    const ON_CPU: &str = "f32 on the CPU";
    let weights = part.weights();
    let mut inputs =
        inputs.map(|input| -> AutodiffTensor { input.autodiff().try_into_primitive::<Tracked>().expect(ON_CPU) });
    // burn does not know of the weights: an input with a gradient has it come by here on its way back
    if !inputs.iter().any(AutodiffTensor::is_tracked) && weights.iter().any(Tensor::is_require_grad) {
        let first = Tensor::<2>::from_primitive::<Flex>(inputs[0].primitive().clone());
        let first = first.autodiff().require_grad();
        inputs[0] = first.try_into_primitive::<Tracked>().expect(ON_CPU);
    }
    let (mut primitives, mut nodes) = (Vec::with_capacity(N), Vec::with_capacity(N));
    for input in inputs {
        let (primitive, node) = input.into_parts();
        primitives.push(primitive);
        nodes.push(node);
    }
    let Ok(nodes): Result<[_; N], _> = nodes.try_into() else {
        unreachable!("as many as came in")
    };
    let plain = weights.into_iter().map(Tensor::without_autodiff).collect();
    let inner = primitives.iter().cloned().map(Tensor::from_primitive::<Flex>).collect();
    let output = part.clone().with_weights(plain).run(inner);
    let output = output.try_into_primitive::<Flex>().expect(ON_CPU);
    let again = Again {
        part,
        precision: Precision::now(),
    };
    let output = match again.prepare::<NoCheckpointing>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(prepared) => prepared.finish(primitives, output),
        OpsKind::UnTracked(prepared) => prepared.finish(output),
    };
    Tensor::from_primitive::<Tracked>(output)
}

struct Again<P> {
    part: P,
    precision: Precision,
}

impl<P> std::fmt::Debug for Again<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Again")
    }
}

impl<P: Part, const N: usize> Backward<Flex, N> for Again<P> {
    type State = Vec<FlexTensor>;

    fn backward(self, ops: Ops<Self::State, N>, gradients: &mut Gradients, _: &mut Checkpointer) {
        const TRACKED: &str = "a tensor of this graph";
        let _span = profile::span("phase", "again");
        let through = Array::contiguous(gradients.consume::<Flex>(&ops.node));
        // leaves of a graph of its own: burn holds the outer graph while this runs
        let leaf = |tensor: Tensor<2>, wanted: bool| match wanted {
            true => tensor.autodiff().require_grad(),
            false => tensor.autodiff(),
        };
        let inputs: Vec<Tensor<2>> = ops
            .state
            .into_iter()
            .zip(&ops.parents)
            .map(|(input, parent)| leaf(Tensor::from_primitive::<Flex>(input), parent.is_some()))
            .collect();
        let outer = self.part.weights();
        let weights: Vec<Tensor<2>> = outer
            .iter()
            .map(|weight| leaf(weight.clone().without_autodiff(), weight.is_require_grad()))
            .collect();
        let output = {
            let _precision = self.precision.enter();
            self.part.with_weights(weights.clone()).run(inputs.clone())
        };
        let mut inner = flex::run::<1, 1, _>(Onward { through }, [output]).backward();
        for (parent, input) in ops.parents.iter().zip(inputs) {
            if let (Some(parent), Some(gradient)) = (parent, input.grad_remove(&mut inner)) {
                let gradient = gradient.try_into_primitive::<Flex>().expect(TRACKED);
                gradients.register::<Flex>(parent.id, gradient);
            }
        }
        for (outer, weight) in outer.into_iter().zip(weights) {
            if let (true, Some(gradient)) = (outer.is_require_grad(), weight.grad_remove(&mut inner)) {
                let node = outer.try_into_primitive::<Tracked>().expect(TRACKED).id();
                let gradient = gradient.try_into_primitive::<Flex>().expect(TRACKED);
                gradients.register::<Flex>(node, gradient);
            }
        }
    }
}

/// Nothing going forward; going backward, where an output's gradient comes from.
#[derive(Clone, Debug)]
struct Onward {
    through: Array,
}

impl Fused<1> for Onward {
    type Saved = ();

    fn forward(&self, _: [Array; 1], _tracked: bool) -> (Array, ()) {
        (Array::scalar(0.0), ())
    }

    fn backward(&self, (): (), _: Array, _wanted: [bool; 1]) -> [Option<Array>; 1] {
        [Some(self.through.clone())]
    }
}

/// The same rows, whose gradient is added up here before it is added to that of others: so sums over the
/// parts of a network that read the same rows have one order, whether parts are made again or not.
pub fn gathered(rows: Tensor<2>) -> Tensor<2> {
    if flex::applies(&rows) && rows.is_autodiff() {
        flex::run(Gathered, [rows])
    } else {
        rows
    }
}

#[derive(Clone, Debug)]
struct Gathered;

impl Fused<1> for Gathered {
    type Saved = ();

    fn forward(&self, [rows]: [Array; 1], _tracked: bool) -> (Array, ()) {
        (rows, ())
    }

    fn backward(&self, (): (), gradient: Array, _wanted: [bool; 1]) -> [Option<Array>; 1] {
        [Some(gradient)]
    }
}
