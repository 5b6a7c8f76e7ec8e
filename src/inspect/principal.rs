//! The two directions in which vectors differ most (principal components), by power iteration.

/// Points in the plane and the share of all variance that each axis shows.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Plane {
    /// One for each vector.
    pub points: Vec<[f64; 2]>,
    /// Of both axes, in 0..=1.
    pub shares: [f64; 2],
}

/// Rounds of power iteration at most; a tie of two directions is left as it stands then.
const ROUNDS: usize = 500;
/// A direction that changes less is found.
const STILL: f64 = 1e-12;

/// Projects vectors of equal length. The same vectors give the same points: an axis points to where its
/// largest component is positive.
pub(super) fn plane(vectors: &[Vec<f32>]) -> Plane {
    let width = vectors.first().map_or(0, Vec::len);
    let count = vectors.len().max(1) as f64;
    let mut mean = vec![0.0; width];
    for vector in vectors {
        for (sum, &value) in mean.iter_mut().zip(vector) {
            *sum += f64::from(value) / count;
        }
    }
    let mut centred: Vec<Vec<f64>> = vectors
        .iter()
        .map(|vector| {
            vector
                .iter()
                .zip(&mean)
                .map(|(&value, mean)| f64::from(value) - mean)
                .collect()
        })
        .collect();
    let all: f64 = centred.iter().flatten().map(|value| value * value).sum();
    let mut points = vec![[0.0; 2]; vectors.len()];
    let mut shares = [0.0; 2];
    for axis in 0..2 {
        let Some(direction) = direction(&centred) else { break };
        for (vector, point) in centred.iter_mut().zip(&mut points) {
            let along = dot(vector, &direction);
            point[axis] = along;
            // what is left for the next axis
            vector
                .iter_mut()
                .zip(&direction)
                .for_each(|(value, part)| *value -= along * part);
        }
        let shown: f64 = points.iter().map(|point| point[axis] * point[axis]).sum();
        shares[axis] = if all > 0.0 { shown / all } else { 0.0 };
    }
    Plane { points, shares }
}

/// The direction in which centred vectors differ most; `None` when they do not differ.
fn direction(centred: &[Vec<f64>]) -> Option<Vec<f64>> {
    // the longest vector is not at a right angle to what is sought, but for odd cases
    let longest = centred.iter().max_by(|a, b| dot(a, a).total_cmp(&dot(b, b)))?;
    let mut direction = normal(longest.clone())?;
    for _ in 0..ROUNDS {
        let mut next = vec![0.0; direction.len()];
        for vector in centred {
            let along = dot(vector, &direction);
            next.iter_mut()
                .zip(vector)
                .for_each(|(sum, value)| *sum += along * value);
        }
        let next = normal(next)?;
        let still = 1.0 - dot(&next, &direction).abs() < STILL;
        direction = next;
        if still {
            break;
        }
    }
    let largest = direction.iter().copied().max_by(|a, b| a.abs().total_cmp(&b.abs()))?;
    if largest < 0.0 {
        direction.iter_mut().for_each(|value| *value = -*value);
    }
    Some(direction)
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn normal(mut vector: Vec<f64>) -> Option<Vec<f64>> {
    let length = dot(&vector, &vector).sqrt();
    if length < 1e-12 {
        return None;
    }
    vector.iter_mut().for_each(|value| *value /= length);
    Some(vector)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_axes_are_those_of_the_widest_spread() {
        // a cross: ±3 along (1, 1, 0)/√2, ±1 along (0, 0, 1), around (5, 5, 5)
        let side = 3.0 / 2f32.sqrt();
        let at = |x: f32, y: f32, z: f32| vec![5.0 + x, 5.0 + y, 5.0 + z];
        let cross = [
            at(side, side, 0.0),
            at(-side, -side, 0.0),
            at(0.0, 0.0, 1.0),
            at(0.0, 0.0, -1.0),
        ];
        let Plane { points, shares } = plane(&cross);
        let expected = [[3.0, 0.0], [-3.0, 0.0], [0.0, 1.0], [0.0, -1.0]];
        for (point, expected) in points.iter().zip(expected) {
            assert!(
                (point[0] - expected[0]).abs() < 1e-5 && (point[1] - expected[1]).abs() < 1e-5,
                "{points:?}"
            );
        }
        assert!(
            (shares[0] - 0.9).abs() < 1e-5 && (shares[1] - 0.1).abs() < 1e-5,
            "{shares:?}"
        );
    }

    #[test]
    fn vectors_that_do_not_differ_are_one_point() {
        assert_eq!(plane(&[vec![1.0, 2.0], vec![1.0, 2.0]]).points, [[0.0; 2]; 2]);
        assert_eq!(plane(&[vec![1.0, 2.0]]).shares, [0.0; 2]);
        assert!(plane(&[]).points.is_empty());
        let line = plane(&[vec![0.0, 0.0], vec![2.0, 0.0]]);
        assert_eq!(line.points, [[-1.0, 0.0], [1.0, 0.0]]);
    }
}
