//! Which completed attempts have not held: the alert came back at the place, for the same workload where that is known on both sides, within a
//! window from the attempt's end (`query/recurrence.rs` has the same as SQL).

use super::held::{AttemptSlot, AttemptTable, End, Openings};
use super::place_of;
use std::ops::Range;

impl AttemptTable {
    /// Finds out anew what may have changed.
    pub(super) fn find_recurred(&mut self, window: i64) {
        if self.window != Some(window) {
            self.window = Some(window);
            let all = Openings { first: i64::MIN, last: i64::MAX };
            self.changed = (0..).zip(&self.slots_of_place).map(|(place, _)| (place, all)).collect();
        }
        for (place, openings) in std::mem::take(&mut self.changed) {
            self.find_in(place, openings, window);
        }
    }

    fn find_in(&mut self, place: u32, changed: Openings, window: i64) {
        let mut slots = std::mem::take(&mut self.slots_of_place[place as usize]);
        slots.sort_unstable();
        slots.dedup();
        slots.retain(|slot| {
            let slot = &self.slots[*slot as usize];
            slot.is_used && self.place(&slot.attempt) == Some(place)
        });
        let workload =
            |slot: &AttemptSlot| place_of("workload").map_or(0, |at| self.facts.code(slot.attempt.facts, at));
        let mut openings = AllOpenings::default();
        for slot in slots.iter().map(|slot| &self.slots[*slot as usize]).filter(|slot| slot.attempt.is_last) {
            openings.add(workload(slot), slot.attempt.time);
        }
        openings.sort();
        // Other attempts end too early or too late for the openings that have changed.
        let from = changed.first.saturating_sub(window);
        let found: Vec<(u32, bool)> = slots
            .iter()
            .map(|at| (*at, &self.slots[*at as usize]))
            .filter(|(_, slot)| slot.is_new || (from..changed.last).contains(&slot.attempt.ended_at))
            .map(|(at, slot)| {
                let (end, last) = (slot.attempt.ended_at, slot.attempt.ended_at.saturating_add(window));
                // An incident does not follow itself.
                let itself = usize::from(slot.attempt.time > end && slot.attempt.time <= last);
                let follow = || openings.count(workload(slot), end, last) > itself;
                (at, slot.attempt.end == End::Completed && follow())
            })
            .collect();
        for (at, recurred) in found {
            let slot = &mut self.slots[at as usize];
            (slot.recurred, slot.is_new) = (recurred, false);
        }
        self.slots_of_place[place as usize] = slots;
    }
}

/// When the incidents of one place opened.
#[derive(Default)]
struct AllOpenings {
    times: Vec<i64>,
    /// With the workload, of which 0 is the unknown one.
    by_workload: Vec<(u32, i64)>,
}

impl AllOpenings {
    fn add(&mut self, workload: u32, time: i64) {
        self.times.push(time);
        self.by_workload.push((workload, time));
    }

    fn sort(&mut self) {
        self.times.sort_unstable();
        self.by_workload.sort_unstable();
    }

    /// How many opened after `end`, and not after `last`, for this workload.
    fn count(&self, workload: u32, end: i64, last: i64) -> usize {
        let within = |range: Range<usize>| range.end.saturating_sub(range.start);
        let of = |workload: u32| {
            let behind = |time: i64| self.by_workload.partition_point(|opening| *opening <= (workload, time));
            within(behind(end)..behind(last))
        };
        if workload == 0 {
            let behind = |time: i64| self.times.partition_point(|opening| *opening <= time);
            return within(behind(end)..behind(last));
        }
        of(workload) + of(0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::held::{CountedBy, HeldAttempt};
    use super::*;
    use crate::domain::facts::{GROUPED, grouped};
    use fastrand::Rng;
    use std::collections::BTreeMap;

    const WINDOW: i64 = 100;

    /// Place, workload and the last attempt of an incident.
    type Incident = (u8, Option<u8>, HeldAttempt);

    fn incident(random: &mut Rng) -> Incident {
        let time = random.i64(0..1000);
        let end = if random.bool() { End::Completed } else { End::Failed };
        let ended_at = time + random.i64(-50..200);
        let attempt = HeldAttempt { time, ended_at, duration: -1, facts: 0, end, is_last: true };
        (random.u8(0..3), (random.u8(0..3) > 0).then(|| random.u8(0..2)), attempt)
    }

    fn put(attempts: &mut AttemptTable, id: i64, (place, workload, attempt): &Incident) {
        let (place, workload) = (format!("place-{place}"), workload.map(|workload| format!("deployment/{workload}")));
        let mut values: [Option<&str>; GROUPED] = [None; GROUPED];
        for (value, fact) in values.iter_mut().zip(grouped()) {
            *value = match fact.column {
                // Of the last place the cluster is not known.
                "cluster_name" => (place != "place-2").then_some("c"),
                "alert_name" | "namespace" => Some(&place),
                "workload" => workload.as_deref(),
                _ => None,
            };
        }
        let facts = attempts.facts_of(&values);
        attempts.put(id, CountedBy::default(), &[HeldAttempt { facts, ..*attempt }]);
    }

    /// Incidents come, change and go, a few at a time: what is found each time is what a comparison of all with all finds.
    #[test]
    fn what_is_found_is_what_a_comparison_of_all_finds() {
        let mut random = Rng::with_seed(5);
        let (mut attempts, mut incidents) = (AttemptTable::default(), BTreeMap::new());
        let mut recurred = 0;
        for _ in 0..400 {
            for _ in 0..random.u8(0..4) {
                let id = random.i64(1..60);
                if random.u8(0..4) == 0 {
                    incidents.remove(&id);
                    attempts.put(id, CountedBy::default(), &[]);
                } else {
                    let incident = incident(&mut random);
                    put(&mut attempts, id, &incident);
                    incidents.insert(id, incident);
                }
            }
            attempts.find_recurred(WINDOW);
            for (id, (place, workload, attempt)) in &incidents {
                let follows = |(other, (its_place, its_workload, opened)): (&i64, &Incident)| {
                    other != id
                        && its_place == place
                        && *place != 2
                        && workload.zip(*its_workload).is_none_or(|(workload, its)| workload == its)
                        && opened.time > attempt.ended_at
                        && opened.time <= attempt.ended_at + WINDOW
                };
                let wanted = attempt.end == End::Completed && incidents.iter().any(follows);
                let slots: Vec<u32> = attempts.slots_of(*id).collect();
                assert_eq!(slots.len(), 1);
                assert_eq!(attempts.slots[slots[0] as usize].recurred, wanted, "{id}: {attempt:?}");
                recurred += u32::from(wanted);
            }
            assert_eq!(attempts.len(), incidents.len());
        }
        assert!(recurred > 1000, "{recurred}");
    }
}
