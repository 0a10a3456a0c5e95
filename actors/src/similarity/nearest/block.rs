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

/// Places in a block, and the weights there.
#[derive(Default)]
struct Numbers {
    places: Vec<u16>,
    weights: Vec<[u8; 3]>,
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
        let place = u16::try_from(self.patterns).expect("fewer than BLOCK");
        let length = length(words).max(f64::MIN_POSITIVE);
        for (number, weight) in words.indices().iter().zip(words.values()) {
            if let Some(numbers) = usize::try_from(*number).ok().and_then(|number| by_number.get_mut(number)) {
                let part = (f64::from(*weight) / length) as f32; // to the nearest
                numbers.places.push(place);
                numbers.weights.push(packed(part));
            }
        }
        self.patterns += 1;
        if self.is_full() {
            self.close();
        }
    }

    fn close(&mut self) {
        let Form::Open(by_number) = &mut self.form else { return };
        let all: usize = by_number.iter().map(|numbers| numbers.places.len()).sum();
        let mut numbers = Numbers { places: Vec::with_capacity(all), weights: Vec::with_capacity(all) };
        let ends = by_number.iter_mut().map(|of_one| {
            numbers.places.append(&mut of_one.places);
            numbers.weights.append(&mut of_one.weights);
            u32::try_from(numbers.places.len()).expect("BLOCK patterns of at most VECTOR_LENGTH numbers")
        });
        let ends = ends.collect();
        self.form = Form::Full { ends, numbers };
    }

    /// Sets the cosine of each pattern with a vector of length 1.
    pub fn compare(&self, words: &[(usize, f32)], cosines: &mut Vec<f32>) {
        cosines.clear();
        cosines.resize(self.patterns, 0.0);
        for (number, value) in words {
            let (places, weights) = self.of(*number);
            let value = value / ONE;
            for (place, weight) in places.iter().zip(weights) {
                cosines[usize::from(*place)] += value * unpacked(*weight);
            }
        }
    }

    fn of(&self, number: usize) -> (&[u16], &[[u8; 3]]) {
        match &self.form {
            Form::Open(by_number) => (&by_number[number].places, &by_number[number].weights),
            Form::Full { ends, numbers } => {
                let begin = number.checked_sub(1).map_or(0, |before| ends[before]);
                let range = begin as usize..ends[number] as usize;
                (&numbers.places[range.clone()], &numbers.weights[range])
            }
        }
    }

    pub fn bytes(&self) -> usize {
        let of = |numbers: &Numbers| numbers.places.capacity() * 2 + numbers.weights.capacity() * 3;
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
