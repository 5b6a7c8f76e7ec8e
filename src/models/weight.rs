//! One weight of a model: its name, its value, and what it is for.

use burn::tensor::{Device, Tensor, TensorData};

use super::init::uniforms;
use super::lora;
use crate::kernels::{LowRank, Orientation, merged};
use crate::seed::Seed;

/// What a weight is for. It decides whether weight decay acts on it and along which axis a
/// quantized form has one scale for each output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A table of rows, `[rows, width]`.
    Embedding,
    /// A product's matrix.
    Matrix(Orientation),
    /// A norm's weight or any bias: one dimension.
    Vector,
}

impl Role {
    /// Whether weight decay acts on it: on matrices and tables, not on norms and biases.
    pub fn decays(self) -> bool {
        self != Self::Vector
    }

    /// The axis of outputs (for a table: of rows) in the Hugging Face shape.
    pub fn output_axis(self) -> usize {
        match self {
            Self::Matrix(Orientation::InputOutput) => 1,
            Self::Matrix(Orientation::OutputInput) | Self::Embedding | Self::Vector => 0,
        }
    }
}

/// One weight. In memory a vector of n is the matrix `[1, n]`; on disk it has one dimension.
#[derive(Clone, Debug)]
pub struct Weight {
    name: String,
    role: Role,
    value: Tensor<2>,
    /// Whether it collects no gradient while others do.
    held_fast: bool,
    /// What is learned in its place.
    pair: Option<Box<Pair>>,
}

/// Two small matrices whose product is added to a weight.
#[derive(Clone, Debug)]
struct Pair {
    /// `[rank, in]`
    down: Weight,
    /// `[out, rank]`
    up: Weight,
    scale: f32,
}

impl Weight {
    /// A weight from values in row-major order of its Hugging Face shape. On a device with autodiff
    /// it collects a gradient.
    pub(super) fn new(name: String, role: Role, values: Vec<f32>, shape: &[usize], device: &Device) -> Self {
        let dims = match *shape {
            [width] => [1, width],
            [rows, columns] => [rows, columns],
            _ => unreachable!("weights have one or two dimensions"),
        };
        let mut weight = Self {
            name,
            role,
            value: Tensor::zeros([1, 1], device),
            held_fast: false,
            pair: None,
        };
        weight.set(Tensor::from_data(TensorData::new(values, dims), device));
        weight
    }

    /// One that stands for a weight whose numbers are not read.
    pub(super) fn placeholder(name: String, role: Role, device: &Device) -> Self {
        Self {
            name,
            role,
            value: Tensor::zeros([1, 1], device),
            held_fast: false,
            pair: None,
        }
    }

    /// Collects no gradient any more.
    pub(super) fn hold_fast(&mut self) {
        self.held_fast = true;
        self.set(self.value());
    }

    /// Puts a pair beside a matrix, to be learned in its place.
    pub(super) fn adapt(&mut self, rank: usize, scale: f32, seed: &Seed) {
        let Role::Matrix(orientation) = self.role else {
            unreachable!("pairs stand beside matrices")
        };
        let [rows, columns] = self.value.dims();
        let [inputs, outputs] = match orientation {
            Orientation::InputOutput => [rows, columns],
            Orientation::OutputInput => [columns, rows],
        };
        // √(6 / ((1 + 5) · inputs)): Kaiming's bound for a leaky ReLU of slope √5, PyTorch's for a `Linear`
        let bound = 1.0 / (inputs as f32).sqrt();
        let (device, [first, second]) = (self.value.device(), lora::names(&self.name));
        let values = uniforms(&seed.child(first.as_str()), rank * inputs, bound);
        let role = Role::Matrix(Orientation::OutputInput);
        self.pair = Some(Box::new(Pair {
            down: Self::new(first, role, values, &[rank, inputs], &device),
            up: Self::new(second, role, vec![0.0; outputs * rank], &[outputs, rank], &device),
            scale,
        }));
    }

    /// The pair beside it, as products take it.
    pub(super) fn low_rank(&self) -> Option<LowRank> {
        self.pair.as_ref().map(|pair| LowRank {
            down: pair.down.value(),
            up: pair.up.value(),
            scale: pair.scale,
        })
    }

    /// What is learned of it: itself, its pair, or nothing.
    pub(super) fn learned(&self) -> Vec<&Self> {
        match &self.pair {
            Some(pair) => vec![&pair.down, &pair.up],
            None if self.held_fast => Vec::new(),
            None => vec![self],
        }
    }

    /// The same, to be changed in place.
    pub(super) fn learned_mut(&mut self) -> Vec<&mut Self> {
        if self.pair.is_none() && !self.held_fast {
            return vec![self];
        }
        let pair = self.pair.iter_mut();
        pair.flat_map(|pair| [&mut pair.down, &mut pair.up]).collect()
    }

    /// Lets it and its pair collect gradients, or compute without remembering how.
    pub fn track(&mut self, gradients: bool) {
        let value = self.value().without_autodiff();
        self.set(if gradients { value.autodiff() } else { value });
        if let Some(pair) = &mut self.pair {
            pair.down.track(gradients);
            pair.up.track(gradients);
        }
    }

    /// Its value with what its pair adds to it, without autodiff.
    fn whole(&self) -> Tensor<2> {
        let value = self.value().without_autodiff();
        match (self.low_rank(), self.role) {
            (Some(pair), Role::Matrix(orientation)) => merged(value, &pair, orientation),
            _ => value,
        }
    }

    /// Its Hugging Face name: `model.layers.0.mlp.up_proj.weight`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it is for.
    pub fn role(&self) -> Role {
        self.role
    }

    /// Its Hugging Face shape.
    pub fn shape(&self) -> Vec<usize> {
        let [rows, columns] = self.value.dims();
        match self.role {
            Role::Vector => vec![columns],
            Role::Embedding | Role::Matrix(_) => vec![rows, columns],
        }
    }

    /// Its value, `[rows, columns]` or `[1, n]`, without its pair; while training, a leaf that collects a
    /// gradient unless it is held fast.
    pub fn value(&self) -> Tensor<2> {
        self.value.clone()
    }

    /// Its values in row-major order, with what its pair adds to them.
    pub fn to_vec(&self) -> Vec<f32> {
        self.whole()
            .into_data()
            .try_into_vec::<f32>()
            .expect("weights are held as f32")
    }

    /// Takes its values out, in row-major order, with what its pair adds to them; it is of no use
    /// afterwards.
    pub(super) fn take(&mut self) -> Vec<f32> {
        if self.pair.is_some() {
            return self.to_vec();
        }
        let none = Tensor::zeros([1, 1], &self.value.device());
        let value = std::mem::replace(&mut self.value, none);
        value
            .into_data()
            .try_into_vec::<f32>()
            .expect("weights are held as f32")
    }

    /// Replaces its value by one of the same dimensions, with or without autodiff.
    pub fn set(&mut self, value: Tensor<2>) {
        self.value = match value.is_autodiff() {
            true if self.held_fast => value.detach().set_require_grad(false),
            true => value.detach().require_grad(),
            false => value,
        };
    }

    /// Takes the value out, without autodiff, until [`Self::give_back`]: nothing else holds it meanwhile,
    /// so that an operation may work in its buffer.
    pub fn lend(&mut self) -> Tensor<2> {
        let none = Tensor::zeros([1, 1], &self.value.device());
        std::mem::replace(&mut self.value, none).without_autodiff()
    }

    /// The end of [`Self::lend`], with a value without autodiff.
    pub fn give_back(&mut self, value: Tensor<2>) {
        let tracked = self.value.device().is_autodiff();
        self.set(if tracked { value.autodiff() } else { value });
    }

    /// Passes the value, without autodiff, through `update` and keeps what it returns.
    pub fn update(&mut self, update: impl FnOnce(Tensor<2>) -> Tensor<2>) {
        let value = self.lend();
        self.give_back(update(value));
    }
}
