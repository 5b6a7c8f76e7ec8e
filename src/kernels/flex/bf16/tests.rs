use half::bf16;

use super::*;
use crate::kernels::flex::tile::PANEL;

/// Numbers of every kind: normal ones, ties, zeros, denormal ones, infinities and NaN.
fn numbers(count: usize) -> Vec<f32> {
    const SPECIAL: [u32; 14] = [
        0,
        0x8000_0000,
        1,
        0x8000_0001,
        0x007f_ffff,
        0x0080_0000,
        0x3f80_8000,
        0x3f81_8000,
        0x3f80_8001,
        0x7f7f_ffff,
        0x7f80_0000,
        0xff80_0000,
        0x7fc0_0000,
        0x7f80_0001,
    ];
    (0..count)
        .map(|i| match SPECIAL.get(i % 31) {
            Some(bits) => f32::from_bits(*bits),
            None => ((i * 7919 + 13) % 2003) as f32 / 1001.5 - 1.0,
        })
        .collect()
}

/// What a number is rounded to.
fn expected(value: f32) -> u16 {
    match value.is_subnormal() {
        true => bf16::from_f32(0.0f32.copysign(value)).to_bits(),
        false => bf16::from_f32(value).to_bits(),
    }
}

#[test]
fn rows_and_columns_are_rounded_into_pairs_by_either_code() {
    for (rows, terms) in [(1, 1), (3, 2), (5, 31), (16, 32), (17, 33), (32, 90), (20, 64)] {
        let values = numbers(rows * terms);
        let pairs = terms.div_ceil(2);
        let at = |row: usize, term: usize| match term < terms {
            true => u32::from(expected(values[row * terms + term])),
            false => 0,
        };
        let words = |row: usize, pair: usize| at(row, 2 * pair) | at(row, 2 * pair + 1) << 16;
        let matrix = Matrix::rows(&values, terms);
        // of a row's neighbours, of a column's, and of columns that lie as rows
        let turned: Vec<f32> = (0..rows * terms).map(|i| values[i % rows * terms + i / rows]).collect();
        let by_column = Matrix::rows(&turned, rows);
        let shape = [terms, rows];
        for native in [true, false] {
            let (mut first, mut second, mut third) =
                (vec![7; rows * pairs], vec![7; PANEL * pairs], vec![7; PANEL * pairs]);
            if native {
                pack_rows(&mut first, pairs, matrix, [rows, terms]);
                pack_columns(&mut second, PANEL, by_column, shape);
                pack_columns(&mut third, PANEL, matrix.transposed(), shape);
            } else {
                portable::pack_rows(&mut first, pairs, &values, terms, [rows, terms]);
                portable::pack_columns(&mut second, PANEL, &turned, rows, shape);
                portable::pack_transposed(&mut third, PANEL, &values, terms, shape);
            }
            for (row, pair) in (0..rows).flat_map(|row| (0..pairs).map(move |pair| (row, pair))) {
                let word = words(row, pair);
                assert_eq!(
                    first[row * pairs + pair],
                    word,
                    "{rows}x{terms} at {row},{pair}, native {native}"
                );
                assert_eq!(
                    second[pair * PANEL + row],
                    word,
                    "{rows}x{terms} at {row},{pair}, native {native}"
                );
                assert_eq!(
                    third[pair * PANEL + row],
                    word,
                    "{rows}x{terms} at {row},{pair}, native {native}"
                );
            }
            for untouched in [&second, &third] {
                for row in untouched.chunks(PANEL) {
                    assert!(
                        row[rows..].iter().all(|word| *word == 7),
                        "columns beside are left alone"
                    );
                }
            }
        }
        let mut wide = vec![0.0; terms];
        let mut packed = vec![0; pairs];
        pack_rows(&mut packed, pairs, matrix, [1, terms]);
        widen(&mut wide, &packed);
        for (value, wide) in values.iter().zip(&wide) {
            assert_eq!(wide.to_bits(), u32::from(expected(*value)) << 16);
        }
    }
}

#[test]
fn every_machine_computes_every_tile_of_pairs() {
    let numbers = |count: usize, step: usize| -> Vec<f32> {
        (0..count).map(|i| ((i * step) % 23) as f32 - 11.0).collect() // small integers: sums are exact
    };
    const PAIRS: usize = 9;
    let (a, b, bias) = (
        numbers(14 * 2 * PAIRS, 7),
        numbers(2 * PAIRS * PANEL, 5),
        numbers(PANEL, 3),
    );
    let (mut left, mut right) = (vec![0; 14 * PAIRS], vec![0; PAIRS * PANEL]);
    pack_rows(&mut left, PAIRS, Matrix::rows(&a, 2 * PAIRS), [14, 2 * PAIRS]);
    pack_columns(&mut right, PANEL, Matrix::rows(&b, PANEL), [2 * PAIRS, PANEL]);
    for machine in [Machine::of_pairs(), Machine::portable()] {
        for rows in 1..=machine.rows {
            for columns in [1, 7, 15, 16, 17, 31, 32] {
                let plus = numbers(14 * 40, 11);
                let mut c = plus.clone();
                let tile = Tile {
                    rows,
                    columns,
                    k: PAIRS,
                    c: c.as_mut_ptr(),
                    c_row: 40,
                    a: left.as_ptr(),
                    a_row: PAIRS,
                    a_column: 1,
                    b: right.as_ptr(),
                    b_row: PANEL,
                    bias: bias.as_ptr(),
                    plus: plus.as_ptr(),
                    plus_row: 40,
                };
                // SAFETY: 14 rows of 40 values, of which the tile has fewer.
                unsafe { machine.compute(&tile) };
                for (index, value) in c.iter().enumerate() {
                    let (row, column) = (index / 40, index % 40);
                    let expected = if row < rows && column < columns {
                        let sum: f32 = (0..2 * PAIRS)
                            .map(|k| a[row * 2 * PAIRS + k] * b[k * PANEL + column])
                            .sum();
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

#[test]
fn portable_sums_are_those_of_the_instructions() {
    const PAIRS: usize = 200;
    let numbers = |count: usize, step: usize| -> Vec<f32> {
        (0..count).map(|i| ((i * step) % 2003) as f32 / 1001.5 - 1.0).collect()
    };
    let (a, b) = (numbers(4 * 2 * PAIRS, 7919), numbers(2 * PAIRS * PANEL, 6007));
    let (mut left, mut right) = (vec![0; 4 * PAIRS], vec![0; PAIRS * PANEL]);
    pack_rows(&mut left, PAIRS, Matrix::rows(&a, 2 * PAIRS), [4, 2 * PAIRS]);
    pack_columns(&mut right, PANEL, Matrix::rows(&b, PANEL), [2 * PAIRS, PANEL]);
    let sums = |machine: Machine<u32>| {
        let mut c = vec![0.0f32; 4 * PANEL];
        let tile = Tile {
            rows: 4,
            columns: PANEL,
            k: PAIRS,
            c: c.as_mut_ptr(),
            c_row: PANEL,
            a: left.as_ptr(),
            a_row: PAIRS,
            a_column: 1,
            b: right.as_ptr(),
            b_row: PANEL,
            bias: std::ptr::null(),
            plus: std::ptr::null(),
            plus_row: 0,
        };
        // SAFETY: four rows of a panel.
        unsafe { machine.compute(&tile) };
        c
    };
    assert_eq!(sums(Machine::of_pairs()), sums(Machine::portable()));
}
