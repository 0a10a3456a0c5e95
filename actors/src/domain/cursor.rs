//! Where a walk through the incident list goes on.

use super::filter::IncidentFilter;
use super::invalid::Invalid;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};

/// The last incident of a page: the next page starts behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cursor {
    pub action_timestamp: DateTime<Utc>,
    pub id: i64,
}

/// Version, fingerprint of the filters, microseconds since 1970, id.
const LENGTH: usize = 1 + 8 + 8 + 8;
const VERSION: u8 = 2;
/// The version whose fingerprint was made otherwise.
const FIRST_VERSION: u8 = 1;

impl Cursor {
    /// The opaque text for clients; it is good for these filters only.
    pub fn encode(&self, filter: &IncidentFilter) -> String {
        let mut bytes = Vec::with_capacity(LENGTH);
        bytes.push(VERSION);
        bytes.extend(filter.fingerprint());
        bytes.extend(self.action_timestamp.timestamp_micros().to_be_bytes());
        bytes.extend(self.id.to_be_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    pub fn decode(text: &str, filter: &IncidentFilter) -> Result<Self, Invalid> {
        let unknown = || Invalid::wrong("cursor", "is not one that this service gave");
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| unknown())?;
        let bytes: [u8; LENGTH] = bytes.try_into().map_err(|_| unknown())?;
        let fingerprint = match bytes[0] {
            VERSION => filter.fingerprint(),
            FIRST_VERSION => filter.first_fingerprint(),
            _ => return Err(unknown()),
        };
        if bytes[1..9] != fingerprint {
            return Err(Invalid::wrong("cursor", "belongs to other filters"));
        }
        let number = |from: usize| {
            let mut eight = [0; 8];
            eight.copy_from_slice(&bytes[from..from + 8]);
            i64::from_be_bytes(eight)
        };
        let action_timestamp = DateTime::from_timestamp_micros(number(9)).ok_or_else(unknown)?;
        // PostgreSQL's own range is wider than the years that a time of ours can have.
        if !(-62_135_596_800..=253_402_300_799).contains(&action_timestamp.timestamp()) {
            return Err(unknown());
        }
        Ok(Cursor { action_timestamp, id: number(17) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::filter::tests::filter;

    #[test]
    fn a_cursor_goes_with_its_filters() {
        let filter = filter(&[("cluster", "a")]);
        let cursor = Cursor { action_timestamp: DateTime::from_timestamp_micros(-5).expect("in range"), id: 77 };
        let text = cursor.encode(&filter);
        assert_eq!(Cursor::decode(&text, &filter), Ok(cursor));
        assert!(Cursor::decode(&text, &IncidentFilter::default()).is_err());
        for garbage in ["", "x", "AAAA", "=", &text[1..], &format!("{text}A")] {
            assert!(Cursor::decode(garbage, &filter).is_err(), "{garbage}");
        }
    }
}
