//! The name of one audit: `audit-` and a UUID of version 8.

use super::bucket::Bucket;
use chrono::{DateTime, Utc};
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

/// 122 free bits of a version 8 UUID, from the top: 53 bits of the audit's time (microseconds since 1970), ten bits of
/// its bucket, 59 bits of a digest. So ids sort by the audits' time. An id alone names its shard. An audit with a time
/// gets the same id however often it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AuditId(Uuid);

const TIME_BITS: u32 = 53;
const DIGEST_BITS: u32 = 59;
/// Of the digest, in the place of an audit among its incident's: the first bits, which are what is left behind the progress.
const PLACE_BITS: u32 = 56;

impl AuditId {
    /// A `time` before 1970 counts as 1970.
    pub fn new(time: DateTime<Utc>, bucket: Bucket, digest: &[u8; 32]) -> Self {
        let micros = time.timestamp_micros().max(0) as u128; // not negative
        let micros = micros & ((1 << TIME_BITS) - 1);
        let bucket = bucket.get() as u128; // 0…1023
        let tail = digest[..8].iter().fold(0u128, |n, byte| n << 8 | u128::from(*byte));
        let tail = tail & ((1 << DIGEST_BITS) - 1);
        AuditId(uuid(micros << (10 + DIGEST_BITS) | bucket << DIGEST_BITS | tail))
    }

    pub fn uuid(self) -> Uuid {
        self.0
    }

    /// The place of this audit among all of its incident: by its time, then by how far its status has come, then by its id. The greater
    /// is the later. It is the id with the progress (0…7) behind the bucket, without its last three bits. Programs before this one left out the
    /// digest's first three instead.
    pub fn place(self, progress: u8) -> Uuid {
        let free = self.free_bits();
        let (head, tail) = (free >> DIGEST_BITS, (free >> (DIGEST_BITS - PLACE_BITS)) & ((1 << PLACE_BITS) - 1));
        uuid(head << DIGEST_BITS | u128::from(progress & 7) << PLACE_BITS | tail)
    }

    fn free_bits(self) -> u128 {
        let value = self.0.as_u128();
        (value >> 80) << 74 | (value >> 64 & 0xfff) << 62 | (value & ((1 << 62) - 1))
    }

    pub fn bucket(self) -> Bucket {
        Bucket::from_bits((self.free_bits() >> DIGEST_BITS & 0x3ff) as u16) // ten bits
    }
}

/// The layout of a UUID with these free bits: 48 bits, the version, 12 bits, the variant, 62 bits.
fn uuid(free: u128) -> Uuid {
    let value = (free >> 74) << 80 | 0x8 << 76 | (free >> 62 & 0xfff) << 64 | 0b10 << 62 | (free & ((1 << 62) - 1));
    Uuid::from_u128(value)
}

impl fmt::Display for AuditId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "audit-{}", self.0.hyphenated())
    }
}

/// The text is no audit id.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an audit id")]
pub struct NotAnAuditId;

impl FromStr for AuditId {
    type Err = NotAnAuditId;

    /// Accepts only the form that `Display` writes.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let uuid = text.strip_prefix("audit-").and_then(|rest| Uuid::try_parse(rest).ok()).ok_or(NotAnAuditId)?;
        let id = AuditId(uuid);
        let known = uuid.get_version_num() == 8 && id.to_string() == text;
        if known { Ok(id) } else { Err(NotAnAuditId) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: i64) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(micros).expect("in range")
    }

    #[test]
    fn ids_bear_their_bucket_and_sort_by_time() {
        let (low, high) = ([0u8; 32], [0xff; 32]);
        for bucket in 0..1024 {
            let bucket = Bucket::from_bits(bucket);
            let early = AuditId::new(at(1_764_000_000_000_000), bucket, &high);
            let late = AuditId::new(at(1_764_000_000_000_001), Bucket::from_bits(0), &low);
            assert_eq!(early.bucket(), bucket);
            assert!(early < late);
            assert_eq!(early.uuid().get_version_num(), 8);
            assert_eq!(early.to_string().parse(), Ok(early));
        }
    }

    #[test]
    fn at_one_time_the_progress_decides() {
        let id = |micros, digest: u8| AuditId::new(at(micros), Bucket::from_bits(1023), &[digest; 32]);
        let (low, high) = (id(1_764_000_000_000_000, 0), id(1_764_000_000_000_000, 0xff));
        assert!(low.place(2) > high.place(1) && low.place(1) < high.place(1));
        assert!(id(1_764_000_000_000_001, 0).place(0) > high.place(4));
        // Digests of which the one that is greater has less behind its first bits.
        let of = |first: u8, rest: u8| {
            let mut digest = [rest; 32];
            digest[0] = first;
            AuditId::new(at(1_764_000_000_000_000), Bucket::from_bits(5), &digest)
        };
        let (low, high) = (of(1, 0xff), of(6, 0));
        assert!(low < high && low.place(3) < high.place(3));
    }

    #[test]
    fn other_texts_are_no_ids() {
        for text in [
            "",
            "audit-",
            "audit-xyz789",
            "1b4e28ba-2fa1-11d2-883f-0016d3cca427",
            "audit-1b4e28ba-2fa1-41d2-883f-0016d3cca427",
        ] {
            assert_eq!(text.parse::<AuditId>(), Err(NotAnAuditId), "{text}");
        }
    }
}
