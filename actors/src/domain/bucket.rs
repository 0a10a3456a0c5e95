//! The bucket: the shard key of every table.

use sha2::{Digest, Sha256};
use uuid::Uuid;

/// How many buckets there are. This number never changes, because ids and rows contain the bucket.
pub const BUCKETS: i64 = 1024;

/// A bucket, 0…1023: the first four bytes of the SHA-256 of a name, as a big-endian number, mod 1024. The name is the
/// remediation request id, or the workflow id for workflow audits. Where there is neither, the name is what the rows
/// are looked up by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bucket(u16);

impl Bucket {
    pub fn of(name: &str) -> Self {
        Self::of_digest(&Sha256::digest(name.as_bytes()))
    }

    /// The bucket of something that is looked up by a SHA-256 of its own.
    pub fn of_digest(digest: &[u8]) -> Self {
        let head = digest.iter().take(4).fold(0u32, |n, byte| n << 8 | u32::from(*byte));
        Bucket((head % 1024) as u16) // below 1024 by the line above
    }

    /// The bucket of a pattern, from the pattern's own bytes.
    pub fn of_pattern(pattern: Uuid) -> Self {
        Self::of_digest(pattern.as_bytes())
    }

    /// The bucket in an incident's id, which is `n × 1024 + bucket`.
    pub fn of_incident(id: i64) -> Self {
        Bucket(id.rem_euclid(BUCKETS) as u16) // below 1024
    }

    /// The bucket in the lowest ten bits.
    pub(crate) fn from_bits(bits: u16) -> Self {
        Bucket(bits & 0x3ff)
    }

    pub fn get(self) -> i32 {
        i32::from(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_fixed() {
        // SHA-256("rr-abc123") starts with the bytes that any sha256sum prints; the number below must never change.
        let digest = Sha256::digest(b"rr-abc123");
        let head = u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]);
        assert_eq!(Bucket::of("rr-abc123").get() as u32, head % 1024);
        assert_eq!(Bucket::of("").get(), 0x042); // e3b0c442… mod 1024
    }

    #[test]
    fn an_incident_id_bears_its_bucket() {
        assert_eq!(Bucket::of_incident(5 * 1024 + 7).get(), 7);
    }
}
