//! Patterns turned over: for each number of a vector those that have it. Few bytes for each, so that a store of many fits into memory.

use crate::embedder::VECTOR_LENGTH;
use pgvector::SparseVector;

/// Patterns of a block: so many that their products stay in a processor's cache while a query is compared.
pub(super) const BLOCK: usize = 1 << 15;
/// The weight 1: a weight is kept in 24 bits, as many as a float of 32 bits has for one near 1.
const ONE: f32 = ((1 << 23) - 1) as f32;

/// Up to [`BLOCK`] patterns, in the order in which they came. The weights of each have length 1.
pub(super) struct Block {
    patterns: usize,
    form: Form,
}

enum Form {
    /// More may come.
    Open(Vec<Numbers>),
    /// For each number the end of its patterns among those of all.
    Full { ends: Box<[u32]>, numbers: Numbers },
}

/// Places in a block, and the weights there. Each place is told by how far behind the one before it is; where that does not fit into a byte,
/// places of weight 0 stand between.
#[derive(Default)]
struct Numbers {
    gaps: Vec<u8>,
    weights: Vec<[u8; 3]>,
    /// The last place.
    last: usize,
}

impl Numbers {
    fn add(&mut self, place: usize, weight: [u8; 3]) {
        let (gap, most) = (place - self.last, usize::from(u8::MAX));
        for _ in 0..gap / most {
            self.push(u8::MAX, [0; 3]);
        }
        self.push((gap % most) as u8, weight); // below `most`
        self.last = place;
    }

    fn push(&mut self, gap: u8, weight: [u8; 3]) {
        self.gaps.push(gap);
        self.weights.push(weight);
    }
}

/// What a query has of one number: of its vector, and of the estimate of the score.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct AskedNumber {
    pub number: usize,
    pub of_vector: f32,
    pub of_estimate: f32,
}

/// What a comparison adds up for a pattern.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sums {
    /// The cosine with the query's vector.
    pub cosine: f32,
    pub estimate: f32,
}

impl Default for Block {
    fn default() -> Self {
        Block { patterns: 0, form: Form::Open((0..VECTOR_LENGTH).map(|_| Numbers::default()).collect()) }
    }
}

impl Block {
    pub fn is_full(&self) -> bool {
        self.patterns == BLOCK
    }

    pub fn patterns(&self) -> usize {
        self.patterns
    }

    /// Adds a pattern. A full block takes none.
    pub fn add(&mut self, words: &SparseVector) {
        let Form::Open(by_number) = &mut self.form else { return };
        let length = length(words).max(f64::MIN_POSITIVE);
        for (number, weight) in words.indices().iter().zip(words.values()) {
            if let Some(numbers) = usize::try_from(*number).ok().and_then(|number| by_number.get_mut(number)) {
                let part = (f64::from(*weight) / length) as f32; // to the nearest
                numbers.add(self.patterns, packed(part));
            }
        }
        self.patterns += 1;
        if self.is_full() {
            self.close();
        }
    }

    fn close(&mut self) {
        let Form::Open(by_number) = &mut self.form else { return };
        let all: usize = by_number.iter().map(|numbers| numbers.gaps.len()).sum();
        let mut numbers = Numbers { gaps: Vec::with_capacity(all), weights: Vec::with_capacity(all), last: 0 };
        let ends = by_number.iter_mut().map(|of_one| {
            numbers.gaps.append(&mut of_one.gaps);
            numbers.weights.append(&mut of_one.weights);
            u32::try_from(numbers.gaps.len()).expect("BLOCK patterns of at most VECTOR_LENGTH numbers")
        });
        let ends = ends.collect();
        self.form = Form::Full { ends, numbers };
    }

    /// Sets the sums of each pattern, for a vector of length 1.
    pub fn compare(&self, asked: &[AskedNumber], sums: &mut Vec<Sums>) {
        sums.clear();
        sums.resize(self.patterns, Sums::default());
        for AskedNumber { number, of_vector, of_estimate } in asked {
            let (gaps, weights) = self.of(*number);
            let (of_vector, of_estimate) = (of_vector / ONE, of_estimate / ONE);
            let mut place = 0;
            for (gap, weight) in gaps.iter().zip(weights) {
                place += usize::from(*gap);
                let (sums, weight) = (&mut sums[place], unpacked(*weight));
                sums.cosine += of_vector * weight;
                sums.estimate += of_estimate * weight;
            }
        }
    }

    fn of(&self, number: usize) -> (&[u8], &[[u8; 3]]) {
        match &self.form {
            Form::Open(by_number) => (&by_number[number].gaps, &by_number[number].weights),
            Form::Full { ends, numbers } => {
                let begin = number.checked_sub(1).map_or(0, |before| ends[before]);
                let range = begin as usize..ends[number] as usize;
                (&numbers.gaps[range.clone()], &numbers.weights[range])
            }
        }
    }

    pub fn bytes(&self) -> usize {
        let of = |numbers: &Numbers| numbers.gaps.capacity() + numbers.weights.capacity() * 3;
        match &self.form {
            Form::Open(by_number) => by_number.iter().map(|numbers| of(numbers) + size_of::<Numbers>()).sum(),
            Form::Full { ends, numbers } => of(numbers) + ends.len() * size_of::<u32>(),
        }
    }
}

/// A weight between -1 and 1, as the three lower bytes of a whole number.
fn packed(weight: f32) -> [u8; 3] {
    let [low, middle, high, _] = ((weight * ONE).round() as i32).to_le_bytes(); // no more than ONE
    [low, middle, high]
}

/// The weight times [`ONE`].
fn unpacked([low, middle, high]: [u8; 3]) -> f32 {
    (i32::from_le_bytes([0, low, middle, high]) >> 8) as f32 // exact: 24 bits
}

/// The numbers of a vector that are not zero, of all together the length 1.
pub(super) fn of_length_one(words: &SparseVector) -> Vec<(usize, f32)> {
    let length = length(words).max(f64::MIN_POSITIVE);
    let numbers = words.indices().iter().zip(words.values());
    let numbers = numbers.filter_map(|(number, value)| {
        let number = usize::try_from(*number).ok().filter(|number| *number < VECTOR_LENGTH)?;
        Some((number, (f64::from(*value) / length) as f32)) // to the nearest
    });
    numbers.collect()
}

fn length(words: &SparseVector) -> f64 {
    words.values().iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Also of patterns that are far from each other, and in a full block.
    #[test]
    fn each_pattern_has_the_product_of_its_own_weights() {
        let with = [0, 3, 258, 259, 700, BLOCK - 1];
        let mut block = Block::default();
        for place in 0..BLOCK {
            let mut vector = vec![0f32; VECTOR_LENGTH];
            vector[1] = 3.0;
            vector[VECTOR_LENGTH - 1] = if with.contains(&place) { -4.0 } else { 0.0 };
            block.add(&SparseVector::from_dense(&vector));
            if [701, BLOCK - 1].contains(&place) {
                let asked = AskedNumber { number: VECTOR_LENGTH - 1, of_vector: 0.5, of_estimate: 2.0 };
                let mut sums = Vec::new();
                block.compare(&[asked], &mut sums);
                assert_eq!(sums.len(), place + 1);
                for (at, sums) in sums.iter().enumerate() {
                    let weight = if with.contains(&at) { -0.8 } else { 0.0 };
                    let is_near = |a: f32, b: f32| (a - b).abs() < 1e-6;
                    assert!(
                        is_near(sums.cosine, 0.5 * weight) && is_near(sums.estimate, 2.0 * weight),
                        "{at}: {sums:?}"
                    );
                }
            }
        }
        assert!(block.is_full());
    }
}
