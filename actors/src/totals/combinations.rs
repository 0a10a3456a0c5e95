//! The combinations of counted facts, with a number in place of each text.

use crate::domain::facts::COUNTED;
use hashbrown::{DefaultHashBuilder, HashMap, HashTable};
use std::hash::BuildHasher;

/// The number of a text; 0 where a fact is not known.
type Code = u32;

pub(crate) struct Combinations<const FACTS: usize = COUNTED> {
    texts: [Texts; FACTS],
    /// Of each fact the codes by the combinations' ids, which are dense: a question reads the facts that it asks for alone.
    columns: [Vec<Code>; FACTS],
    /// Of each fact the ids that have a code.
    having: [Vec<Vec<u32>>; FACTS],
    /// The ids, found by the codes.
    ids: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

/// The values of one fact.
#[derive(Default)]
struct Texts {
    codes: HashMap<Box<str>, Code>,
    texts: Vec<Box<str>>,
}

impl Texts {
    fn code(&self, text: Option<&str>) -> Option<Code> {
        text.map_or(Some(0), |text| self.codes.get(text).copied())
    }

    fn add(&mut self, text: Option<&str>) -> Code {
        let Some(text) = text else { return 0 };
        if let Some(code) = self.codes.get(text) {
            return *code;
        }
        self.texts.push(text.into());
        let code = Code::try_from(self.texts.len()).unwrap_or(Code::MAX);
        self.codes.insert(text.into(), code);
        code
    }

    fn text(&self, code: Code) -> Option<&str> {
        self.texts.get((code as usize).checked_sub(1)?).map(|text| &**text)
    }
}

/// Which combinations fit a filter.
pub(crate) enum Fitting {
    All,
    Some {
        /// A bit for each id.
        fits: Vec<u64>,
        /// The ids of those that do.
        ids: Vec<u32>,
    },
}

impl Fitting {
    #[inline]
    pub fn has(&self, id: u32) -> bool {
        match self {
            Fitting::All => true,
            Fitting::Some { fits, .. } => fits.get(id as usize / 64).is_some_and(|bits| bits >> (id % 64) & 1 == 1),
        }
    }
}

impl<const FACTS: usize> Default for Combinations<FACTS> {
    fn default() -> Self {
        Combinations {
            texts: std::array::from_fn(|_| Texts::default()),
            columns: std::array::from_fn(|_| Vec::new()),
            having: std::array::from_fn(|_| Vec::new()),
            ids: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
        }
    }
}

impl<const FACTS: usize> Combinations<FACTS> {
    /// The highest id, and 0 where there is none.
    pub fn last(&self) -> i32 {
        i32::try_from(self.len()).map_or(i32::MAX, |len| (len - 1).max(0))
    }

    /// How many ids there are, with 0.
    pub fn len(&self) -> usize {
        self.columns[0].len()
    }

    fn codes(&self, id: u32) -> [Code; FACTS] {
        std::array::from_fn(|fact| self.columns[fact].get(id as usize).copied().unwrap_or(Code::MAX))
    }

    pub fn bytes(&self) -> usize {
        let texts = self.texts.iter().flat_map(|texts| &texts.texts).map(|text| 2 * (text.len() + 24)).sum::<usize>();
        texts + self.len() * 2 * size_of::<[Code; FACTS]>() + self.ids.capacity() * 5
    }

    pub fn add(&mut self, id: u32, values: &[Option<&str>; FACTS]) {
        let mut codes = [0; FACTS];
        for ((code, texts), value) in codes.iter_mut().zip(&mut self.texts).zip(values) {
            *code = texts.add(*value);
        }
        let place = id as usize;
        for (column, code) in self.columns.iter_mut().zip(codes) {
            if column.len() <= place {
                column.resize(place + 1, Code::MAX);
            }
            column[place] = code;
        }
        for (having, code) in self.having.iter_mut().zip(codes) {
            let place = code as usize;
            if having.len() <= place {
                having.resize_with(place + 1, Vec::new);
            }
            having[place].push(id);
        }
        let hash = self.hasher.hash_one(codes);
        let (hasher, columns) = (&self.hasher, &self.columns);
        let hash_of = |id: &u32| {
            let codes: [Code; FACTS] = std::array::from_fn(|fact| columns[fact][*id as usize]);
            hasher.hash_one(codes)
        };
        self.ids.insert_unique(hash, id, hash_of);
    }

    pub fn id(&self, values: &[Option<&str>; FACTS]) -> Option<u32> {
        let mut codes = [0; FACTS];
        for ((code, texts), value) in codes.iter_mut().zip(&self.texts).zip(values) {
            *code = texts.code(*value)?;
        }
        self.ids.find(self.hasher.hash_one(codes), |id| self.codes(*id) == codes).copied()
    }

    /// The text of a fact of a combination.
    pub fn text(&self, id: u32, fact: usize) -> Option<&str> {
        self.texts[fact].text(*self.columns[fact].get(id as usize)?)
    }

    /// The number of that text; 0 where it is not known.
    pub fn code(&self, id: u32, fact: usize) -> Code {
        self.columns[fact].get(id as usize).copied().unwrap_or(0)
    }

    /// How many texts a fact has.
    pub fn texts(&self, fact: usize) -> usize {
        self.texts[fact].texts.len()
    }

    /// The combinations that have one of the values of each fact; a fact without values may have any.
    pub fn fitting(&self, values: &[&[String]; FACTS]) -> Fitting {
        let asked: Vec<(usize, Vec<Code>)> = values
            .iter()
            .enumerate()
            .filter(|(_, wanted)| !wanted.is_empty())
            .map(|(fact, wanted)| (fact, wanted.iter().filter_map(|text| self.texts[fact].code(Some(text))).collect()))
            .collect();
        // Those that have one of the values of the fact that has the fewest; of them those that fit the other facts too.
        let having = |fact: usize, code: &Code| self.having[fact].get(*code as usize).map_or(&[][..], |ids| &ids[..]);
        let how_many =
            |(fact, codes): &&(usize, Vec<Code>)| -> usize { codes.iter().map(|code| having(*fact, code).len()).sum() };
        let Some((fewest, codes)) = asked.iter().min_by_key(how_many) else { return Fitting::All };
        let mut ids: Vec<u32> = codes.iter().flat_map(|code| having(*fewest, code)).copied().collect();
        for (fact, codes) in asked.iter().filter(|(fact, _)| fact != fewest) {
            ids.retain(|id| codes.contains(&self.code(*id, *fact)));
        }
        let mut fits = vec![0u64; self.len().div_ceil(64)];
        for id in &ids {
            fits[*id as usize / 64] |= 1 << (id % 64);
        }
        Fitting::Some { fits, ids }
    }
}
