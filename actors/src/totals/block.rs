//! The counts of one hour as bytes: small enough for a year of incidents to be held in memory, and read at some hundred million entries a
//! second.
//!
//! The first byte says into how many minutes the hour is told apart, 1 or 60. Then follows each period that has entries: its minute, the
//! number of its entries, and the entries, sorted by their combination. An entry is the distance of its combination from the one before,
//! doubled, and one more where a count follows; else the count is 1. All numbers are of variable length, seven bits a byte.

use crate::domain::totals::MINUTES_OF_AN_HOUR;
use std::collections::BTreeMap;

/// Of an hour with more entries only the whole is kept.
const MOST_ENTRIES: usize = 1 << 17;

/// How many incidents an hour has, by minute of the hour and combination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HourCounts {
    /// 1 or 60.
    pub step: i32,
    pub entries: BTreeMap<(u8, u32), i64>,
}

impl Default for HourCounts {
    fn default() -> Self {
        HourCounts { step: 1, entries: BTreeMap::new() }
    }
}

impl HourCounts {
    pub fn of(bytes: &[u8]) -> Self {
        let mut entries = BTreeMap::new();
        for_each(bytes, |minute, combination, count| {
            entries.insert((minute, combination), count);
        });
        HourCounts { step: step(bytes), entries }
    }

    pub fn add(&mut self, minute: u8, combination: u32, delta: i64) {
        let minute = if self.step == 1 { minute } else { 0 };
        let count = self.entries.entry((minute, combination)).or_default();
        *count += delta;
        if *count == 0 {
            self.entries.remove(&(minute, combination));
        }
        if self.entries.len() > MOST_ENTRIES && self.step == 1 {
            let all = std::mem::take(&mut self.entries);
            self.step = MINUTES_OF_AN_HOUR;
            for ((_, combination), count) in all {
                self.add(0, combination, count);
            }
        }
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(1 + self.entries.len() * 3);
        bytes.push(if self.step == 1 { 1 } else { 60 });
        let mut entries = self.entries.iter().peekable();
        while let Some(((minute, _), _)) = entries.peek().copied() {
            let period = self.entries.range((*minute, 0)..=(*minute, u32::MAX));
            bytes.push(*minute);
            write(&mut bytes, period.clone().count() as u64); // usize fits
            let mut last = 0;
            for ((_, combination), count) in period {
                entries.next();
                let distance = u64::from(combination - last) << 1; // they are sorted
                last = *combination;
                write(&mut bytes, distance | u64::from(*count != 1));
                if *count != 1 {
                    // Negative while an older program's deletions are ahead of what they delete.
                    write(&mut bytes, ((count << 1) ^ (count >> 63)) as u64); // zigzag: the same bits
                }
            }
        }
        bytes
    }
}

/// Into how many minutes the hour is told apart.
pub(super) fn step(bytes: &[u8]) -> i32 {
    bytes.first().map_or(1, |step| i32::from(*step).clamp(1, MINUTES_OF_AN_HOUR))
}

/// Calls `take` with minute, combination and count of each entry. Bytes that end early end the entries.
pub(super) fn for_each(bytes: &[u8], mut take: impl FnMut(u8, u32, i64)) {
    let mut rest = bytes.get(1..).unwrap_or_default();
    while let Some((minute, after)) = rest.split_first() {
        rest = after;
        let Some(entries) = read(&mut rest) else { return };
        let mut combination = 0u32;
        for _ in 0..entries {
            let Some(head) = read(&mut rest) else { return };
            combination = combination.wrapping_add((head >> 1) as u32); // it was a u32
            let count = if head & 1 == 0 {
                1
            } else {
                let Some(count) = read(&mut rest) else { return };
                (count >> 1) as i64 ^ -((count & 1) as i64) // zigzag: the same bits
            };
            take(*minute, combination, count);
        }
    }
}

/// How many incidents there are.
pub(super) fn total(bytes: &[u8]) -> i64 {
    let mut total = 0;
    for_each(bytes, |_, _, count| total += count);
    total
}

/// How many entries there are.
pub(super) fn entries(bytes: &[u8]) -> usize {
    let mut entries = 0;
    for_each(bytes, |_, _, _| entries += 1);
    entries
}

fn write(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80); // the lowest seven bits
        number >>= 7;
    }
    bytes.push(number as u8); // below 0x80
}

#[inline]
fn read(rest: &mut &[u8]) -> Option<u64> {
    let (first, after) = rest.split_first()?;
    *rest = after;
    let mut number = u64::from(first & 0x7f);
    let (mut byte, mut shift) = (*first, 7);
    while byte & 0x80 != 0 {
        let (next, after) = rest.split_first()?;
        *rest = after;
        byte = *next;
        number |= u64::from(byte & 0x7f).checked_shl(shift)?;
        shift += 7;
    }
    Some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_is_read_back() {
        let mut random = fastrand::Rng::with_seed(7);
        for entries in [0, 1, 2, 100, 5_000] {
            let mut counts = HourCounts::default();
            for _ in 0..entries {
                let count = [1, 1, 1, 2, -1, 300, i64::from(i32::MAX) * 5][random.usize(0..7)];
                counts.add(random.u8(0..60), random.u32(..) >> random.u32(0..32), count);
            }
            let bytes = counts.bytes();
            assert_eq!(HourCounts::of(&bytes), counts);
            assert_eq!(super::entries(&bytes), counts.entries.len());
            // Bytes that were cut are no reason to panic.
            for end in 0..bytes.len().min(200) {
                for_each(&bytes[..end], |_, _, _| {});
            }
        }
    }

    #[test]
    fn what_comes_to_nothing_is_not_kept() {
        let mut counts = HourCounts::default();
        counts.add(3, 9, 2);
        counts.add(3, 9, -2);
        assert_eq!(counts, HourCounts::default());
        assert_eq!(counts.bytes(), [1]);
    }

    #[test]
    fn an_hour_with_too_many_entries_is_kept_as_a_whole() {
        let mut counts = HourCounts::default();
        let combinations = u32::try_from(MOST_ENTRIES / 2).expect("few") + 1;
        for minute in [1, 59] {
            for combination in 0..combinations {
                counts.add(minute, combination, 1);
            }
        }
        assert_eq!((counts.step, counts.entries.len()), (60, combinations as usize));
        counts.add(30, 5, 1);
        assert_eq!(counts.entries.get(&(0, 5)), Some(&3));
        assert_eq!(HourCounts::of(&counts.bytes()), counts);
    }
}
