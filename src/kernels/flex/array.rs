//! Contiguous f32 arrays over burn's CPU tensors.

use std::marker::PhantomData;

use burn::backend::flex::{FlexTensor, Layout};
use burn::tensor::{Bytes, DType, Shape};

/// A contiguous f32 array of two dimensions (or one, of one element: a sum).
#[derive(Clone, Debug)]
pub(crate) struct Array(FlexTensor);

impl Array {
    /// The tensor as it lies, or copied where it is not contiguous.
    pub(crate) fn contiguous(tensor: FlexTensor) -> Self {
        Self(if tensor.is_contiguous() {
            tensor
        } else {
            tensor.to_contiguous()
        })
    }

    pub(crate) fn into_primitive(self) -> FlexTensor {
        self.0
    }

    /// A `[rows, columns]` array of values.
    pub(crate) fn new(values: Vec<f32>, shape: [usize; 2]) -> Self {
        debug_assert_eq!(values.len(), shape[0] * shape[1]);
        Self::of(values, Shape::from(shape.to_vec()))
    }

    /// One value, of one dimension.
    pub(crate) fn scalar(value: f32) -> Self {
        Self::of(vec![value], Shape::from(vec![1]))
    }

    fn of(values: Vec<f32>, shape: Shape) -> Self {
        Self(FlexTensor::new(
            Bytes::from_elems(values),
            Layout::contiguous(shape),
            DType::F32,
        ))
    }

    /// `[rows, columns]`
    pub(crate) fn dims(&self) -> [usize; 2] {
        let shape = self.0.layout().shape();
        [shape[0], shape[1]]
    }

    /// Of any number of dimensions, for messages.
    pub(super) fn shape(&self) -> Vec<usize> {
        self.0.layout().shape().to_vec()
    }

    /// All values, row by row.
    pub(crate) fn values(&self) -> &[f32] {
        self.0.as_slice::<f32>().expect("an array is contiguous f32")
    }

    /// Changes the values in place if nothing else holds them, or else a copy of them.
    pub(crate) fn map_values(mut self, change: impl FnOnce(&mut [f32])) -> Self {
        let whole = self.0.bytes().len() == size_of_val(self.values());
        match self.0.try_storage_mut::<f32>() {
            Some(storage) if whole => {
                change(storage);
                self
            }
            _ => {
                let mut copy = self.values().to_vec();
                change(&mut copy);
                Self::of(copy, self.0.layout().shape().clone())
            }
        }
    }
}

/// A buffer for `count` values, each of which is written before it is read: what it holds until then is
/// what the allocator left there. Tests find NaN in it, so that a value read too early is seen.
pub(crate) fn buffer(count: usize) -> Vec<f32> {
    left(count, f32::NAN)
}

/// The same of pairs of bf16 numbers.
pub(crate) fn pairs_buffer(count: usize) -> Vec<u32> {
    left(count, u32::MAX) // two NaN
}

/// Zeroing first would be one more pass over memory for each operation.
#[cfg(all(not(test), any(target_arch = "x86_64", target_arch = "aarch64")))]
fn left<T: Left>(count: usize, _unwritten: T) -> Vec<T> {
    let mut values = Vec::<T>::with_capacity(count);
    // SAFETY: assembly that is handed a pointer may write to what it points to, and the compiler must take it that
    // it did, with values unknown: from here the memory is initialised, and every bit pattern is a value of `T`. The
    // capacity is at least `count`.
    unsafe {
        std::arch::asm!("/* {0} */", in(reg) values.as_mut_ptr(), options(nostack, preserves_flags));
        values.set_len(count);
    }
    values
}

#[cfg(any(test, not(any(target_arch = "x86_64", target_arch = "aarch64"))))]
fn left<T: Left>(count: usize, unwritten: T) -> Vec<T> {
    vec![unwritten; count]
}

/// Numbers of which every bit pattern is one.
trait Left: Copy {}

impl Left for f32 {}
impl Left for u32 {}

/// A buffer that threads write disjoint parts of.
pub(crate) struct Shared<'a, T = f32> {
    start: *mut T,
    length: usize,
    buffer: PhantomData<&'a mut [T]>,
}

impl<T> Clone for Shared<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Shared<'_, T> {}

// SAFETY: the parts are taken by unsafe functions, whose callers promise that they are disjoint.
unsafe impl<T: Send> Send for Shared<'_, T> {}
// SAFETY: as for Send.
unsafe impl<T: Send> Sync for Shared<'_, T> {}

impl<'a, T> Shared<'a, T> {
    pub(crate) fn new(buffer: &'a mut [T]) -> Self {
        Self {
            start: buffer.as_mut_ptr(),
            length: buffer.len(),
            buffer: PhantomData,
        }
    }

    /// `length` values from `start`.
    ///
    /// # Safety
    /// No other part in use overlaps this one.
    pub(crate) unsafe fn part(self, start: usize, length: usize) -> &'a mut [T] {
        assert!(start + length <= self.length, "a part lies inside its buffer");
        // SAFETY: inside the buffer, and disjoint by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(start), length) }
    }

    /// `length` values from `start`, to be read.
    ///
    /// # Safety
    /// No part in use that overlaps this one is written.
    pub(crate) unsafe fn read(self, start: usize, length: usize) -> &'a [T] {
        assert!(start + length <= self.length, "a part lies inside its buffer");
        // SAFETY: inside the buffer, and not written by the caller's promise.
        unsafe { std::slice::from_raw_parts(self.start.add(start), length) }
    }

    /// Where a strided block of `rows` rows of `columns` values begins.
    pub(super) fn block(self, start: usize, [rows, columns]: [usize; 2], stride: usize) -> *mut T {
        let end = if rows * columns == 0 {
            start
        } else {
            start + (rows - 1) * stride + columns
        };
        assert!(end <= self.length, "a block lies inside its buffer");
        self.start.wrapping_add(start)
    }
}
