//! One weight of a model: its name, its value, and what it is for.

use burn::tensor::{Device, Tensor, TensorData};

use self::pair::Pair;
use super::files::Numbers;
use crate::kernels::Orientation;

mod pair;

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
    /// Where its numbers are, if they were left in their file until [`Self::take`].
    later: Option<Numbers>,
    /// Whether it collects no gradient while others do.
    held_fast: bool,
    /// What is learned in its place.
    pair: Option<Box<Pair>>,
}

impl Weight {
    /// A weight from values in row-major order of its Hugging Face shape. On a device with autodiff
    /// it collects a gradient.
    pub(super) fn new(name: String, role: Role, values: Vec<f32>, shape: &[usize], device: &Device) -> Self {
        let mut weight = Self::placeholder(name, role, device);
        weight.set(Tensor::from_data(TensorData::new(values, matrix(shape)), device));
        weight
    }

    /// One whose numbers stay in their file until they are taken: it has no value before.
    pub(super) fn later(name: String, role: Role, numbers: Numbers, device: &Device) -> Self {
        Self {
            later: Some(numbers),
            ..Self::placeholder(name, role, device)
        }
    }

    /// One that stands for a weight whose numbers are not read.
    pub(super) fn placeholder(name: String, role: Role, device: &Device) -> Self {
        Self {
            name,
            role,
            value: Tensor::zeros([1, 1], device),
            later: None,
            held_fast: false,
            pair: None,
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
        let [rows, columns] = self.dims();
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

    /// Rows and columns.
    pub(super) fn dims(&self) -> [usize; 2] {
        match &self.later {
            Some(numbers) => matrix(numbers.shape()),
            None => self.value.dims(),
        }
    }

    /// Takes its values out, in row-major order, with what its pair adds to them; it is of no use
    /// afterwards.
    pub(super) fn take(&mut self) -> Vec<f32> {
        if self.pair.is_some() {
            return self.to_vec();
        }
        if let Some(numbers) = self.later.take() {
            return numbers.read();
        }
        let none = Tensor::zeros([1, 1], &self.value.device());
        let value = std::mem::replace(&mut self.value, none);
        value
            .into_data()
            .try_into_vec::<f32>()
            .expect("weights are held as f32")
    }

    /// The same of a matrix or a table, row by row.
    pub(super) fn take_rows(&mut self, mut take: impl FnMut(usize, &[f32])) {
        let [_, columns] = self.dims();
        match (&self.pair, self.later.take()) {
            (None, Some(numbers)) => numbers.each_row(take),
            (_, later) => {
                self.later = later;
                for (row, values) in self.take().chunks_exact(columns.max(1)).enumerate() {
                    take(row, values);
                }
            }
        }
    }

    /// Replaces its value by one of the same dimensions, with or without autodiff.
    pub fn set(&mut self, value: Tensor<2>) {
        self.value = match value.is_autodiff() {
            true => value.detach().set_require_grad(!self.held_fast),
            false => value,
        };
    }

    /// Replaces its value, and those of its pair, by other tensors of their graph or of another one.
    pub(super) fn stand_in(&mut self, values: &mut impl Iterator<Item = Tensor<2>>) {
        self.value = values.next().expect("a value for each weight");
        if let Some(pair) = &mut self.pair {
            pair.stand_in(values);
        }
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

/// The dimensions in memory of a Hugging Face shape.
fn matrix(shape: &[usize]) -> [usize; 2] {
    match *shape {
        [width] => [1, width],
        [rows, columns] => [rows, columns],
        _ => unreachable!("weights have one or two dimensions"),
    }
}
