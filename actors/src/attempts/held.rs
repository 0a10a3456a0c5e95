//! The attempts of all incidents as rows of some 80 bytes.

use super::place_of;
use crate::domain::facts::{GROUPED, ONLY_FILTERED};
use crate::totals::Combinations;
use hashbrown::{DefaultHashBuilder, HashMap, HashTable};
use std::hash::{BuildHasher, RandomState};

/// What attempts are told apart by, each with a number.
pub(super) type AttemptFacts = Combinations<GROUPED>;
/// Where incidents recur: alert, namespace and cluster as numbers.
type PlaceCodes = [u32; 3];
/// The number of a place; incidents of which it is not known recur nowhere.
const NOWHERE: u32 = u32::MAX;

/// Of the facts of an incident that are only filtered by: eight bytes each, by a key that this process has made up, so that no two texts of a
/// store have the same; 0 where one is not known.
pub(super) type Digests = [u64; ONLY_FILTERED];

/// How an attempt ended, as far as statistics count it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// It has not ended, or does not count.
    Open,
    Completed,
    Failed,
}

impl End {
    pub fn of(status: &str) -> Self {
        match status {
            "completed" => End::Completed,
            "failed" | "rolled_back" => End::Failed,
            _ => End::Open,
        }
    }
}

/// One attempt. Times are in microseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct HeldAttempt {
    /// Of its incident.
    pub time: i64,
    pub ended_at: i64,
    /// In milliseconds; -1 where it is not known.
    pub duration: i64,
    pub facts: u32,
    pub end: End,
    /// Whether it is the last one of its incident, which opens an incident for others.
    pub is_last: bool,
}

/// One place of the table of attempts.
#[derive(Debug, Clone, Copy)]
pub(super) struct AttemptSlot {
    pub incident: i64,
    pub attempt: HeldAttempt,
    pub is_used: bool,
    /// Whether the alert came back; to be found out anew where the attempt has changed.
    pub recurred: bool,
    pub is_new: bool,
}

/// The openings of a place that have come or gone: from the first to the last of their times.
#[derive(Debug, Clone, Copy)]
pub(super) struct Openings {
    pub first: i64,
    pub last: i64,
}

/// What an incident is counted by. Its action may be another one than that of its last attempt.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct CountedBy {
    pub facts: u32,
    pub digests: Digests,
}

/// Of each slot with the last attempt of an incident what the incident is counted by.
#[derive(Default)]
pub(super) struct CountColumns {
    /// [`NO_INCIDENT`] where the slot is not one of these.
    pub facts: Vec<u32>,
    /// In microseconds since 1970.
    pub times: Vec<i64>,
    pub digests: [Vec<u64>; ONLY_FILTERED],
}

pub(super) const NO_INCIDENT: u32 = u32::MAX;

impl CountColumns {
    fn set(&mut self, slot: u32, attempt: &HeldAttempt, of_incident: CountedBy) {
        let slot = slot as usize;
        if slot >= self.facts.len() {
            self.facts.resize(slot + 1, NO_INCIDENT);
            self.times.resize(slot + 1, 0);
            self.digests.iter_mut().for_each(|column| column.resize(slot + 1, 0));
        }
        self.facts[slot] = if attempt.is_last { of_incident.facts } else { NO_INCIDENT };
        self.times[slot] = attempt.time;
        for (column, digest) in self.digests.iter_mut().zip(of_incident.digests) {
            column[slot] = digest;
        }
    }

    fn bytes(&self) -> usize {
        let digests: usize = self.digests.iter().map(Vec::capacity).sum();
        self.facts.capacity() * size_of::<u32>() + (self.times.capacity() + digests) * size_of::<u64>()
    }
}

#[derive(Default)]
pub(crate) struct AttemptTable {
    pub(super) facts: AttemptFacts,
    pub(super) slots: Vec<AttemptSlot>,
    /// Column by column, so that counting incidents reads what it asks for and nothing else.
    pub(super) incidents: CountColumns,
    free: Vec<u32>,
    /// The slots of each incident, found by its id.
    by_incident: HashTable<u32>,
    hasher: DefaultHashBuilder,
    digester: RandomState,
    /// Of each combination of facts the number of its place.
    place_of_facts: Vec<u32>,
    places: HashMap<PlaceCodes, u32>,
    /// Of each place its slots; some of them may be elsewhere by now.
    pub(super) slots_of_place: Vec<Vec<u32>>,
    /// What has changed since recurrence was last found out, by place.
    pub(super) changed: HashMap<u32, Openings>,
    /// For which recurrence was found out, in microseconds.
    pub(super) window: Option<i64>,
}

impl AttemptTable {
    /// The number of this combination of facts.
    pub(super) fn facts_of(&mut self, values: &[Option<&str>; GROUPED]) -> u32 {
        if let Some(id) = self.facts.id(values) {
            return id;
        }
        let id = u32::try_from(self.facts.len()).unwrap_or(u32::MAX);
        self.facts.add(id, values);
        let place = ["alert_name", "namespace", "cluster_name"]
            .map(|column| place_of(column).map_or(0, |place| self.facts.code(id, place)));
        let number = if place.contains(&0) {
            NOWHERE
        } else {
            let next = u32::try_from(self.slots_of_place.len()).unwrap_or(NOWHERE);
            let number = *self.places.entry(place).or_insert(next);
            if number == next {
                self.slots_of_place.push(Vec::new());
            }
            number
        };
        self.place_of_facts.push(number);
        id
    }

    pub(super) fn digest(&self, text: Option<&str>) -> u64 {
        text.map_or(0, |text| self.digester.hash_one(text).max(1))
    }

    pub(super) fn place(&self, attempt: &HeldAttempt) -> Option<u32> {
        self.place_of_facts.get(attempt.facts as usize).copied().filter(|place| *place != NOWHERE)
    }

    /// The slots of an incident.
    pub(super) fn slots_of(&self, incident: i64) -> impl Iterator<Item = u32> {
        let slots = self.by_incident.iter_hash(self.hasher.hash_one(incident));
        slots.copied().filter(move |slot| self.slots[*slot as usize].incident == incident)
    }

    /// Puts the attempts of an incident in the place of those that it had.
    pub(super) fn put(&mut self, incident: i64, of_incident: CountedBy, attempts: &[HeldAttempt]) {
        let had: Vec<u32> = self.slots_of(incident).collect();
        for (at, attempt) in attempts.iter().enumerate() {
            let slot = match had.get(at) {
                Some(slot) => {
                    let before = self.slots[*slot as usize].attempt;
                    if before != *attempt {
                        self.set(*slot, incident, attempt, Some(before));
                    }
                    *slot
                }
                None => {
                    let slot = self.free.pop().unwrap_or_else(|| {
                        let next = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
                        let (attempt, is_used) = (*attempt, false);
                        self.slots.push(AttemptSlot { incident, attempt, is_used, recurred: false, is_new: true });
                        next
                    });
                    self.set(slot, incident, attempt, None);
                    let (slots, hasher) = (&self.slots, &self.hasher);
                    let hash = |slot: &u32| hasher.hash_one(slots[*slot as usize].incident);
                    self.by_incident.insert_unique(self.hasher.hash_one(incident), slot, hash);
                    slot
                }
            };
            self.incidents.set(slot, attempt, of_incident);
        }
        for slot in had.into_iter().skip(attempts.len()) {
            self.remove(slot);
        }
    }

    fn set(&mut self, slot: u32, incident: i64, attempt: &HeldAttempt, before: Option<HeldAttempt>) {
        self.slots[slot as usize] =
            AttemptSlot { incident, attempt: *attempt, is_used: true, recurred: false, is_new: true };
        let (place, place_before) = (self.place(attempt), before.and_then(|before| self.place(&before)));
        if let Some(before) = &before {
            self.touch(before);
        }
        self.touch(attempt);
        if let Some(place) = place.filter(|_| place != place_before) {
            self.slots_of_place[place as usize].push(slot);
        }
    }

    fn remove(&mut self, slot: u32) {
        let AttemptSlot { incident, attempt, .. } = self.slots[slot as usize];
        self.slots[slot as usize].is_used = false;
        self.incidents.facts[slot as usize] = NO_INCIDENT;
        self.touch(&attempt);
        let hash = self.hasher.hash_one(incident);
        if let Ok(entry) = self.by_incident.find_entry(hash, |found| *found == slot) {
            entry.remove();
        }
        self.free.push(slot);
    }

    /// Notes that recurrence is to be found out anew where an attempt has come or gone.
    fn touch(&mut self, attempt: &HeldAttempt) {
        let Some(place) = self.place(attempt) else { return };
        let openings = self.changed.entry(place).or_insert(Openings { first: i64::MAX, last: i64::MIN });
        if attempt.is_last {
            openings.first = openings.first.min(attempt.time);
            openings.last = openings.last.max(attempt.time);
        }
    }

    /// Incidents whose time is within one of these minutes, which are sorted.
    pub(super) fn incidents_of_minutes(&self, minutes: &[i32]) -> Vec<i64> {
        let is_meant = |slot: &&AttemptSlot| {
            let minute = i32::try_from(slot.attempt.time.div_euclid(MICROSECONDS_OF_A_MINUTE));
            slot.is_used && slot.attempt.is_last && minute.is_ok_and(|minute| minutes.binary_search(&minute).is_ok())
        };
        self.slots.iter().filter(is_meant).map(|slot| slot.incident).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        let places = self.slots_of_place.capacity() * size_of::<Vec<u32>>() + self.places.capacity() * 17;
        let of_places: usize = self.slots_of_place.iter().map(Vec::capacity).sum();
        self.slots.capacity() * size_of::<AttemptSlot>()
            + self.incidents.bytes()
            + self.by_incident.capacity() * 6
            + (of_places + self.place_of_facts.capacity() + self.free.capacity()) * size_of::<u32>()
            + places
            + self.facts.bytes()
    }
}

pub(super) const MICROSECONDS_OF_A_MINUTE: i64 = 60_000_000;
