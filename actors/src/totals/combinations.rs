//! The combinations of counted facts, with a number in place of each text.

use crate::domain::facts::COUNTED;
use crate::domain::totals::Values;
use hashbrown::{DefaultHashBuilder, HashMap, HashTable};
use std::hash::BuildHasher;

/// The number of a text; 0 where a fact is not known.
type Code = u32;
type Codes = [Code; COUNTED];

/// Where no combination has that id.
const NONE: Codes = [Code::MAX; COUNTED];

#[derive(Default)]
pub(super) struct Combinations {
    texts: [Texts; COUNTED],
    /// By their ids in the database, which are dense.
    by_id: Vec<Codes>,
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
pub(super) struct Fitting {
    /// By id.
    fits: Vec<bool>,
    /// The ids of those that do.
    pub ids: Vec<u32>,
}

impl Fitting {
    #[inline]
    pub fn has(&self, id: u32) -> bool {
        self.fits.get(id as usize).copied().unwrap_or(false)
    }
}

impl Combinations {
    /// The highest id, and 0 where there is none.
    pub fn last(&self) -> i32 {
        i32::try_from(self.by_id.len()).map_or(i32::MAX, |len| (len - 1).max(0))
    }

    /// How many ids there are, with 0.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    pub fn bytes(&self) -> usize {
        let texts = self.texts.iter().flat_map(|texts| &texts.texts).map(|text| 2 * (text.len() + 24)).sum::<usize>();
        texts + self.by_id.len() * size_of::<Codes>() + self.ids.capacity() * 5
    }

    pub fn add(&mut self, id: u32, values: &Values<&str>) {
        let mut codes = NONE;
        for ((code, texts), value) in codes.iter_mut().zip(&mut self.texts).zip(values) {
            *code = texts.add(*value);
        }
        let place = id as usize;
        if self.by_id.len() <= place {
            self.by_id.resize(place + 1, NONE);
        }
        self.by_id[place] = codes;
        let (hasher, by_id) = (&self.hasher, &self.by_id);
        self.ids.insert_unique(hasher.hash_one(codes), id, |id| hasher.hash_one(by_id[*id as usize]));
    }

    pub fn id(&self, values: &Values<&str>) -> Option<u32> {
        let mut codes = NONE;
        for ((code, texts), value) in codes.iter_mut().zip(&self.texts).zip(values) {
            *code = texts.code(*value)?;
        }
        self.ids.find(self.hasher.hash_one(codes), |id| self.by_id[*id as usize] == codes).copied()
    }

    /// The text of a fact of a combination.
    pub fn text(&self, id: u32, fact: usize) -> Option<&str> {
        self.texts[fact].text(self.by_id.get(id as usize)?[fact])
    }

    /// The combinations that have one of the values of each fact; a fact without values may have any.
    pub fn fitting(&self, values: &[&[String]; COUNTED]) -> Fitting {
        let mut fits: Vec<bool> = self.by_id.iter().map(|codes| *codes != NONE).collect();
        for (fact, wanted) in values.iter().enumerate().filter(|(_, wanted)| !wanted.is_empty()) {
            let codes: Vec<Code> = wanted.iter().filter_map(|text| self.texts[fact].code(Some(text))).collect();
            for (fits, combination) in fits.iter_mut().zip(&self.by_id) {
                *fits &= codes.contains(&combination[fact]);
            }
        }
        let ids = fits.iter().enumerate().filter(|(_, fits)| **fits);
        let ids = ids.filter_map(|(id, _)| u32::try_from(id).ok()).collect();
        Fitting { fits, ids }
    }
}
