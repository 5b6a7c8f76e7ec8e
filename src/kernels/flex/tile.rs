//! The inner loop of all matrix products: a few rows times a panel of 32 columns, held in registers
//! over the whole sum (Goto and van de Geijn 2008), for AVX-512, AVX2 and the rest.
//!
//! Each element of a product is summed over `k` in one order, whatever tile it falls into, so that
//! results do not depend on how the work is cut for threads.

use std::sync::LazyLock;

/// Columns of a panel.
pub(crate) const PANEL: usize = 32;

/// One tile: `c = a · b (+ bias) (+ plus)`, of f32 numbers or of pairs of bf16 ones.
#[derive(Clone, Copy)]
pub(super) struct Tile<T = f32> {
    /// Rows, at most [`Machine::rows`], and columns, at most [`PANEL`].
    pub(super) rows: usize,
    pub(super) columns: usize,
    /// Terms of each sum, or pairs of them.
    pub(super) k: usize,
    pub(super) c: *mut f32,
    pub(super) c_row: usize,
    pub(super) a: *const T,
    pub(super) a_row: usize,
    pub(super) a_column: usize,
    /// Rows of at least `columns` values, `b_row` apart; of pairs, of [`PANEL`].
    pub(super) b: *const T,
    pub(super) b_row: usize,
    /// One value a column, or null.
    pub(super) bias: *const f32,
    /// A block that is added, or null; it may be `c` itself.
    pub(super) plus: *const f32,
    pub(super) plus_row: usize,
}

/// Terms of a sum up to which it is over too soon for the target's lines to come meanwhile.
#[cfg(target_arch = "x86_64")]
const SOON: usize = 64;

impl<T> Tile<T> {
    /// Sends for the target's lines, which come while the sums are made: a store whose line is not there holds
    /// up all after it.
    #[inline]
    fn expect_target(&self) {
        #[cfg(target_arch = "x86_64")]
        if self.k > SOON {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            for row in 0..self.rows {
                let c = self.c.wrapping_add(row * self.c_row);
                // SAFETY: of an address where nothing is, nothing is fetched.
                unsafe {
                    _mm_prefetch::<_MM_HINT_T0>(c.cast());
                    _mm_prefetch::<_MM_HINT_T0>(c.wrapping_add(PANEL / 2).cast());
                }
            }
        }
    }
}

/// What this processor computes tiles with.
#[derive(Clone, Copy)]
pub(super) struct Machine<T = f32> {
    /// Rows of a tile at most.
    pub(super) rows: usize,
    pub(super) run: unsafe fn(&Tile<T>),
}

impl<T> Machine<T> {
    /// Computes a tile.
    ///
    /// # Safety
    /// The pointers and strides lead to memory that is there; no other thread uses `c`.
    #[inline]
    pub(super) unsafe fn compute(&self, tile: &Tile<T>) {
        tile.expect_target();
        // SAFETY: by the caller's promise.
        unsafe { (self.run)(tile) };
    }
}

impl Machine {
    /// The best for this processor.
    pub(super) fn here() -> Self {
        static MACHINE: LazyLock<Machine> = LazyLock::new(Machine::find);
        *MACHINE
    }

    fn find() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f") {
                return Self {
                    rows: 14,
                    run: x86::widest,
                };
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                return Self {
                    rows: 6,
                    run: x86::wide,
                };
            }
        }
        Self { rows: 4, run: portable }
    }
}

/// Four rows in arrays that compilers keep in the registers of most processors.
unsafe fn portable(tile: &Tile) {
    const LANES: usize = 8;
    assert!(tile.rows <= 4);
    for from in (0..tile.columns).step_by(LANES) {
        let lanes = LANES.min(tile.columns - from);
        let mut sums = [[0.0f32; LANES]; 4];
        for k in 0..tile.k {
            // SAFETY: inside the operands, by the caller's promise.
            let b = unsafe { std::slice::from_raw_parts(tile.b.add(k * tile.b_row + from), lanes) };
            let mut row = [0.0f32; LANES];
            row[..lanes].copy_from_slice(b);
            for (i, sums) in sums.iter_mut().enumerate().take(tile.rows) {
                // SAFETY: as above.
                let a = unsafe { *tile.a.add(i * tile.a_row + k * tile.a_column) };
                for (sum, b) in sums.iter_mut().zip(row) {
                    // fused where the processor has it: without, it would be a call
                    *sum = if cfg!(target_arch = "aarch64") {
                        a.mul_add(b, *sum)
                    } else {
                        *sum + a * b
                    };
                }
            }
        }
        for (i, sums) in sums.iter().enumerate().take(tile.rows) {
            for (lane, sum) in sums.iter().enumerate().take(lanes) {
                let column = from + lane;
                // SAFETY: as above.
                unsafe {
                    let mut value = *sum;
                    if !tile.bias.is_null() {
                        value += *tile.bias.add(column);
                    }
                    if !tile.plus.is_null() {
                        value += *tile.plus.add(i * tile.plus_row + column);
                    }
                    *tile.c.add(i * tile.c_row + column) = value;
                }
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[expect(clippy::needless_range_loop, reason = "constant places keep sums in registers")]
mod x86 {
    use std::arch::x86_64::*;

    use super::{PANEL, Tile};

    /// Calls `$function::<rows>` for the number of rows of a tile.
    macro_rules! by_rows {
        ($tile:ident, $function:ident, $($rows:literal)*) => {
            match $tile.rows {
                // SAFETY: the machine has the instructions, and the caller promised the rest.
                $($rows => unsafe { $function::<$rows>($tile) },)*
                rows => unreachable!("a tile of {rows} rows"),
            }
        };
    }

    pub(super) unsafe fn widest(tile: &Tile) {
        if tile.columns == PANEL {
            by_rows!(tile, full, 1 2 3 4 5 6 7 8 9 10 11 12 13 14);
        } else {
            by_rows!(tile, part, 1 2 3 4 5 6 7 8 9 10 11 12 13 14);
        }
    }

    #[target_feature(enable = "avx512f")]
    unsafe fn full<const ROWS: usize>(tile: &Tile) {
        let mut sums = [[_mm512_setzero_ps(); 2]; ROWS];
        let (mut a, mut b) = (tile.a, tile.b);
        // SAFETY: all addresses lie inside the operands, by the caller's promise.
        unsafe {
            for _ in 0..tile.k {
                let (left, right) = (_mm512_loadu_ps(b), _mm512_loadu_ps(b.add(16)));
                for i in 0..ROWS {
                    let x = _mm512_set1_ps(*a.add(i * tile.a_row));
                    sums[i][0] = _mm512_fmadd_ps(x, left, sums[i][0]);
                    sums[i][1] = _mm512_fmadd_ps(x, right, sums[i][1]);
                }
                a = a.wrapping_add(tile.a_column);
                b = b.wrapping_add(tile.b_row);
            }
            // loops that are unrolled whole: a sum whose place is not a constant would live in memory
            if !tile.bias.is_null() {
                let (left, right) = (_mm512_loadu_ps(tile.bias), _mm512_loadu_ps(tile.bias.add(16)));
                for i in 0..ROWS {
                    sums[i][0] = _mm512_add_ps(sums[i][0], left);
                    sums[i][1] = _mm512_add_ps(sums[i][1], right);
                }
            }
            if !tile.plus.is_null() {
                for i in 0..ROWS {
                    let plus = tile.plus.add(i * tile.plus_row);
                    sums[i][0] = _mm512_add_ps(sums[i][0], _mm512_loadu_ps(plus));
                    sums[i][1] = _mm512_add_ps(sums[i][1], _mm512_loadu_ps(plus.add(16)));
                }
            }
            for i in 0..ROWS {
                let c = tile.c.add(i * tile.c_row);
                _mm512_storeu_ps(c, sums[i][0]);
                _mm512_storeu_ps(c.add(16), sums[i][1]);
            }
        }
    }

    #[target_feature(enable = "avx512f")]
    unsafe fn part<const ROWS: usize>(tile: &Tile) {
        let mask = |from: usize| {
            let columns = tile.columns.saturating_sub(from).min(16);
            ((1u32 << columns) - 1) as __mmask16
        };
        let masks = [mask(0), mask(16)];
        let mut sums = [[_mm512_setzero_ps(); 2]; ROWS];
        let (mut a, mut b) = (tile.a, tile.b);
        // SAFETY: all addresses that masks let through lie inside the operands, by the caller's promise.
        unsafe {
            if masks[1] != 0 {
                for _ in 0..tile.k {
                    let left = _mm512_loadu_ps(b);
                    let right = _mm512_maskz_loadu_ps(masks[1], b.wrapping_add(16));
                    for i in 0..ROWS {
                        let x = _mm512_set1_ps(*a.add(i * tile.a_row));
                        sums[i][0] = _mm512_fmadd_ps(x, left, sums[i][0]);
                        sums[i][1] = _mm512_fmadd_ps(x, right, sums[i][1]);
                    }
                    a = a.wrapping_add(tile.a_column);
                    b = b.wrapping_add(tile.b_row);
                }
            } else {
                for _ in 0..tile.k {
                    let left = _mm512_maskz_loadu_ps(masks[0], b);
                    for i in 0..ROWS {
                        sums[i][0] = _mm512_fmadd_ps(_mm512_set1_ps(*a.add(i * tile.a_row)), left, sums[i][0]);
                    }
                    a = a.wrapping_add(tile.a_column);
                    b = b.wrapping_add(tile.b_row);
                }
            }
            if !tile.bias.is_null() {
                let left = _mm512_maskz_loadu_ps(masks[0], tile.bias);
                let right = _mm512_maskz_loadu_ps(masks[1], tile.bias.wrapping_add(16));
                for i in 0..ROWS {
                    sums[i][0] = _mm512_add_ps(sums[i][0], left);
                    sums[i][1] = _mm512_add_ps(sums[i][1], right);
                }
            }
            if !tile.plus.is_null() {
                for i in 0..ROWS {
                    let plus = tile.plus.wrapping_add(i * tile.plus_row);
                    sums[i][0] = _mm512_add_ps(sums[i][0], _mm512_maskz_loadu_ps(masks[0], plus));
                    sums[i][1] = _mm512_add_ps(sums[i][1], _mm512_maskz_loadu_ps(masks[1], plus.wrapping_add(16)));
                }
            }
            for i in 0..ROWS {
                let c = tile.c.wrapping_add(i * tile.c_row);
                _mm512_mask_storeu_ps(c, masks[0], sums[i][0]);
                _mm512_mask_storeu_ps(c.wrapping_add(16), masks[1], sums[i][1]);
            }
        }
    }

    pub(super) unsafe fn wide(tile: &Tile) {
        // sixteen columns at a time: twelve sums fill the registers
        for from in (0..tile.columns).step_by(16) {
            let at = |pointer: *const f32| match pointer.is_null() {
                true => pointer,
                false => pointer.wrapping_add(from),
            };
            let half = &Tile {
                columns: (tile.columns - from).min(16),
                c: tile.c.wrapping_add(from),
                b: tile.b.wrapping_add(from),
                bias: at(tile.bias),
                plus: at(tile.plus),
                ..*tile
            };
            by_rows!(half, half_panel, 1 2 3 4 5 6);
        }
    }

    #[target_feature(enable = "avx2,fma")]
    unsafe fn half_panel<const ROWS: usize>(tile: &Tile) {
        let mask = |from: usize| {
            let lanes: [i32; 8] = std::array::from_fn(|lane| if from + lane < tile.columns { -1 } else { 0 });
            // SAFETY: eight numbers are read of eight.
            unsafe { _mm256_loadu_si256(lanes.as_ptr().cast()) }
        };
        let masks = [mask(0), mask(8)];
        let mut sums = [[_mm256_setzero_ps(); 2]; ROWS];
        let (mut a, mut b) = (tile.a, tile.b);
        // SAFETY: all addresses that masks let through lie inside the operands, by the caller's promise.
        unsafe {
            for _ in 0..tile.k {
                let left = _mm256_maskload_ps(b, masks[0]);
                let right = _mm256_maskload_ps(b.wrapping_add(8), masks[1]);
                for i in 0..ROWS {
                    let x = _mm256_set1_ps(*a.add(i * tile.a_row));
                    sums[i][0] = _mm256_fmadd_ps(x, left, sums[i][0]);
                    sums[i][1] = _mm256_fmadd_ps(x, right, sums[i][1]);
                }
                a = a.wrapping_add(tile.a_column);
                b = b.wrapping_add(tile.b_row);
            }
            if !tile.bias.is_null() {
                let left = _mm256_maskload_ps(tile.bias, masks[0]);
                let right = _mm256_maskload_ps(tile.bias.wrapping_add(8), masks[1]);
                for i in 0..ROWS {
                    sums[i][0] = _mm256_add_ps(sums[i][0], left);
                    sums[i][1] = _mm256_add_ps(sums[i][1], right);
                }
            }
            if !tile.plus.is_null() {
                for i in 0..ROWS {
                    let plus = tile.plus.wrapping_add(i * tile.plus_row);
                    sums[i][0] = _mm256_add_ps(sums[i][0], _mm256_maskload_ps(plus, masks[0]));
                    sums[i][1] = _mm256_add_ps(sums[i][1], _mm256_maskload_ps(plus.wrapping_add(8), masks[1]));
                }
            }
            for i in 0..ROWS {
                let c = tile.c.wrapping_add(i * tile.c_row);
                _mm256_maskstore_ps(c, masks[0], sums[i][0]);
                _mm256_maskstore_ps(c.wrapping_add(8), masks[1], sums[i][1]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All machines that can run here.
    fn machines() -> Vec<Machine> {
        let mut machines = vec![Machine { rows: 4, run: portable }];
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                machines.push(Machine {
                    rows: 6,
                    run: x86::wide,
                });
            }
            machines.push(Machine::here());
        }
        machines
    }

    #[test]
    fn every_machine_computes_every_tile() {
        let numbers = |count: usize, step: usize| -> Vec<f32> {
            (0..count).map(|i| ((i * step) % 23) as f32 - 11.0).collect() // small integers: sums are exact
        };
        let (a, b, bias) = (numbers(14 * 9, 7), numbers(9 * 40, 5), numbers(32, 3));
        for machine in machines() {
            for rows in 1..=machine.rows {
                for columns in [1, 7, 8, 15, 16, 17, 24, 31, 32] {
                    let plus = numbers(14 * 40, 11);
                    let mut c = plus.clone();
                    let tile = Tile {
                        rows,
                        columns,
                        k: 9,
                        c: c.as_mut_ptr(),
                        c_row: 40,
                        a: a.as_ptr(),
                        a_row: 1,
                        a_column: 14,
                        b: b.as_ptr(),
                        b_row: 40,
                        bias: bias.as_ptr(),
                        plus: plus.as_ptr(),
                        plus_row: 40,
                    };
                    // SAFETY: 14 rows of 40 values, of which the tile has fewer.
                    unsafe { machine.compute(&tile) };
                    for (index, value) in c.iter().enumerate() {
                        let (row, column) = (index / 40, index % 40);
                        let expected = if row < rows && column < columns {
                            let sum: f32 = (0..9).map(|k| a[k * 14 + row] * b[k * 40 + column]).sum();
                            sum + bias[column] + plus[index]
                        } else {
                            plus[index]
                        };
                        assert_eq!(*value, expected, "{rows}x{columns} at {row},{column}");
                    }
                }
            }
        }
    }
}
