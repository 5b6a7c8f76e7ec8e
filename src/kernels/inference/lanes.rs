//! Sixteen numbers side by side, on each instruction set.

/// Sixteen f32.
pub(super) trait Lanes: Copy {
    /// Rows of a product whose sums fit the registers, for [`Self::PANELS`] panels.
    const ROWS: usize;
    /// Panels that are multiplied at once.
    const PANELS: usize;

    /// # Safety
    /// Sixteen values can be read.
    unsafe fn load(from: *const f32) -> Self;

    /// # Safety
    /// Sixteen values can be written.
    unsafe fn store(self, to: *mut f32);

    fn splat(value: f32) -> Self;
    /// `self + a · b`, rounded once.
    fn add_product(self, a: Self, b: Self) -> Self;
    fn add(self, other: Self) -> Self;
    fn mul(self, other: Self) -> Self;

    /// The values as an array.
    #[inline(always)]
    fn array(self) -> [f32; 16] {
        let mut array = [0.0; 16];
        // SAFETY: sixteen values.
        unsafe { self.store(array.as_mut_ptr()) };
        array
    }
}

/// Any processor with a fused multiply-add; the compiler finds NEON's and others' registers.
impl Lanes for [f32; 16] {
    const ROWS: usize = 4;
    const PANELS: usize = 1;

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: by the caller's promise; an array of f32 needs no more than an f32's alignment.
        unsafe { from.cast::<Self>().read() }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: as for load.
        unsafe { to.cast::<Self>().write(self) }
    }

    #[inline(always)]
    fn splat(value: f32) -> Self {
        [value; 16]
    }

    #[inline(always)]
    fn add_product(mut self, a: Self, b: Self) -> Self {
        for lane in 0..16 {
            self[lane] = a[lane].mul_add(b[lane], self[lane]);
        }
        self
    }

    #[inline(always)]
    fn add(mut self, other: Self) -> Self {
        for lane in 0..16 {
            self[lane] += other[lane];
        }
        self
    }

    #[inline(always)]
    fn mul(mut self, other: Self) -> Self {
        for lane in 0..16 {
            self[lane] *= other[lane];
        }
        self
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) use x86::{Avx2, Avx512};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::Lanes;

    /// One register of AVX-512. Made only where the processor has it.
    #[derive(Clone, Copy)]
    pub(in super::super) struct Avx512(__m512);

    // SAFETY of the calls below: values of these types are made in functions that are entered only
    // where the processor has the instructions; pointers are the callers' promise.
    #[allow(clippy::undocumented_unsafe_blocks)]
    impl Lanes for Avx512 {
        const ROWS: usize = 6;
        const PANELS: usize = 4;

        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            Self(unsafe { _mm512_loadu_ps(from) })
        }

        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            unsafe { _mm512_storeu_ps(to, self.0) };
        }

        #[inline(always)]
        fn splat(value: f32) -> Self {
            Self(unsafe { _mm512_set1_ps(value) })
        }

        #[inline(always)]
        fn add_product(self, a: Self, b: Self) -> Self {
            Self(unsafe { _mm512_fmadd_ps(a.0, b.0, self.0) })
        }

        #[inline(always)]
        fn add(self, other: Self) -> Self {
            Self(unsafe { _mm512_add_ps(self.0, other.0) })
        }

        #[inline(always)]
        fn mul(self, other: Self) -> Self {
            Self(unsafe { _mm512_mul_ps(self.0, other.0) })
        }
    }

    /// Two registers of AVX2.
    #[derive(Clone, Copy)]
    pub(in super::super) struct Avx2(__m256, __m256);

    #[allow(clippy::undocumented_unsafe_blocks)]
    impl Lanes for Avx2 {
        const ROWS: usize = 6;
        const PANELS: usize = 1;

        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            unsafe { Self(_mm256_loadu_ps(from), _mm256_loadu_ps(from.add(8))) }
        }

        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            unsafe {
                _mm256_storeu_ps(to, self.0);
                _mm256_storeu_ps(to.add(8), self.1);
            }
        }

        #[inline(always)]
        fn splat(value: f32) -> Self {
            let register = unsafe { _mm256_set1_ps(value) };
            Self(register, register)
        }

        #[inline(always)]
        fn add_product(self, a: Self, b: Self) -> Self {
            unsafe { Self(_mm256_fmadd_ps(a.0, b.0, self.0), _mm256_fmadd_ps(a.1, b.1, self.1)) }
        }

        #[inline(always)]
        fn add(self, other: Self) -> Self {
            unsafe { Self(_mm256_add_ps(self.0, other.0), _mm256_add_ps(self.1, other.1)) }
        }

        #[inline(always)]
        fn mul(self, other: Self) -> Self {
            unsafe { Self(_mm256_mul_ps(self.0, other.0), _mm256_mul_ps(self.1, other.1)) }
        }
    }
}

/// Whether the processor has a fused multiply-add, without which this form would be slow.
pub fn available() -> bool {
    #[cfg(target_arch = "x86_64")]
    let has = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
    #[cfg(not(target_arch = "x86_64"))]
    let has = cfg!(target_arch = "aarch64");
    has
}

/// Defines a function that calls a body, generic over [`Lanes`], with the best that the processor has.
macro_rules! by_lanes {
    ($(#[$meta:meta])* fn $name:ident($($argument:ident: $type:ty),* $(,)?) by $body:ident) => {
        $(#[$meta])*
        #[allow(clippy::too_many_arguments)]
        fn $name($($argument: $type),*) {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f")]
                #[allow(clippy::too_many_arguments)]
                fn widest($($argument: $type),*) {
                    $body::<$crate::kernels::inference::lanes::Avx512>($($argument),*)
                }
                #[target_feature(enable = "avx2,fma")]
                #[allow(clippy::too_many_arguments)]
                fn wide($($argument: $type),*) {
                    $body::<$crate::kernels::inference::lanes::Avx2>($($argument),*)
                }
                if is_x86_feature_detected!("avx512f") {
                    // SAFETY: the processor has these instructions.
                    return unsafe { widest($($argument),*) };
                }
                if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                    // SAFETY: the processor has these instructions.
                    return unsafe { wide($($argument),*) };
                }
            }
            $body::<[f32; 16]>($($argument),*)
        }
    };
}
pub(super) use by_lanes;

/// Sixteen values that lie in one cache line.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(super) struct Line(pub(super) [f32; 16]);

impl Line {
    pub(super) const ZERO: Self = Self([0.0; 16]);
}
