//! Where a walk through the incident list goes on.

use super::filter::IncidentFilter;
use super::invalid::{Invalid, Reason};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};

/// The last incident of a page: the next page starts behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cursor {
    pub action_timestamp: DateTime<Utc>,
    pub id: i64,
}

/// In which order a list is walked through.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Order {
    #[default]
    Newest,
    Oldest,
}

impl Order {
    /// # Errors
    /// When it is neither word.
    pub fn parse(text: Option<&str>) -> Result<Self, Invalid> {
        match text {
            None | Some("newest") => Ok(Order::Newest),
            Some("oldest") => Ok(Order::Oldest),
            Some(_) => Err(Invalid::named("order", Reason::UnknownWord, "must be newest or oldest")),
        }
    }
}

/// Version, fingerprint of the filters, microseconds since 1970, id.
const LENGTH: usize = 1 + 8 + 8 + 8;
/// The order is a part of the version.
const VERSION: u8 = 2;
const OLDEST_VERSION: u8 = 3;
/// The version whose fingerprint was made otherwise.
const FIRST_VERSION: u8 = 1;

impl Cursor {
    /// The opaque text for clients; it is good for these filters and this order only.
    pub fn encode(&self, filter: &IncidentFilter, order: Order) -> String {
        let mut bytes = Vec::with_capacity(LENGTH);
        bytes.push(match order {
            Order::Newest => VERSION,
            Order::Oldest => OLDEST_VERSION,
        });
        bytes.extend(filter.fingerprint());
        bytes.extend(self.action_timestamp.timestamp_micros().to_be_bytes());
        bytes.extend(self.id.to_be_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// # Errors
    /// When it is none, or belongs to other filters or another order.
    pub fn decode(text: &str, filter: &IncidentFilter, order: Order) -> Result<Self, Invalid> {
        let unknown = || Invalid::wrong("cursor", "is not one that this service gave");
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| unknown())?;
        let bytes: [u8; LENGTH] = bytes.try_into().map_err(|_| unknown())?;
        let (walked, fingerprint) = match bytes[0] {
            VERSION => (Order::Newest, filter.fingerprint()),
            OLDEST_VERSION => (Order::Oldest, filter.fingerprint()),
            FIRST_VERSION => (Order::Newest, filter.first_fingerprint()),
            _ => return Err(unknown()),
        };
        if walked != order {
            return Err(Invalid::wrong("cursor", "belongs to another order"));
        }
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
        for (order, other) in [(Order::Newest, Order::Oldest), (Order::Oldest, Order::Newest)] {
            let text = cursor.encode(&filter, order);
            assert_eq!(Cursor::decode(&text, &filter, order), Ok(cursor));
            assert!(Cursor::decode(&text, &filter, other).is_err());
            assert!(Cursor::decode(&text, &IncidentFilter::default(), order).is_err());
        }
        let text = cursor.encode(&filter, Order::Newest);
        for garbage in ["", "x", "AAAA", "=", &text[1..], &format!("{text}A")] {
            assert!(Cursor::decode(garbage, &filter, Order::Newest).is_err(), "{garbage}");
        }
    }
}
