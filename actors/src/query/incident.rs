//! An incident as readers get it: straight from PostgreSQL's binary row to JSON, under the names of the published v1 API.

use crate::domain::cursor::Cursor;
use chrono::{DateTime, Utc};
use serde::ser::{Serialize, SerializeMap, Serializer};
use std::error::Error;
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, Type};

/// How a column is written.
#[derive(Clone, Copy)]
enum FieldKind {
    Integer,
    Number,
    Text,
    Time,
}

/// The fields in their order: name in JSON, column of the table `t`, kind. What is not known yet is `null`; `duration` is in
/// milliseconds.
const FIELDS: [(&str, &str, FieldKind); 18] = [
    ("id", "t.id", FieldKind::Integer),
    ("alert_name", "t.alert_name", FieldKind::Text),
    ("alert_severity", "t.alert_severity", FieldKind::Text),
    ("action_type", "t.action_type", FieldKind::Text),
    ("action_timestamp", "t.action_timestamp", FieldKind::Time),
    ("execution_status", "t.execution_status", FieldKind::Text),
    ("namespace", "t.namespace", FieldKind::Text),
    ("cluster_name", "t.cluster_name", FieldKind::Text),
    ("environment", "t.environment", FieldKind::Text),
    ("alert_fingerprint", "t.alert_fingerprint", FieldKind::Text),
    ("target_resource", "t.target_resource", FieldKind::Text),
    ("remediation_request_id", "t.correlation_id", FieldKind::Text),
    ("model_used", "t.model_used", FieldKind::Text),
    ("model_confidence", "t.model_confidence", FieldKind::Number),
    ("start_time", "t.start_time", FieldKind::Time),
    ("end_time", "t.end_time", FieldKind::Time),
    ("duration", "t.duration_ms", FieldKind::Integer),
    ("error_message", "t.error_message", FieldKind::Text),
];
const ID: usize = 0;
const ACTION_TIMESTAMP: usize = 4;
const REQUEST: usize = 11;

/// The columns of [`FIELDS`]; in lists the error message is cut at 1,000 characters.
pub(super) fn columns(in_list: bool) -> String {
    let columns = FIELDS.iter().map(|(_, column, _)| match *column {
        "t.error_message" if in_list => "left(t.error_message, 1000) AS error_message",
        column => column,
    });
    columns.collect::<Vec<_>>().join(", ")
}

/// A row that starts with [`columns`].
#[derive(Debug)]
pub struct Incident(Row);

impl Incident {
    pub(super) fn new(row: Row) -> Self {
        Incident(row)
    }

    /// The row, for the columns behind.
    pub(super) fn row(&self) -> &Row {
        &self.0
    }

    pub(super) fn remediation_request_id(&self) -> &str {
        self.0.get(REQUEST)
    }

    /// Where a walk goes on behind this incident.
    pub fn cursor(&self) -> Cursor {
        Cursor { action_timestamp: self.0.get(ACTION_TIMESTAMP), id: self.0.get(ID) }
    }

    /// Appends the incident as a JSON object.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        for (at, (name, _, kind)) in FIELDS.iter().enumerate() {
            out.extend_from_slice(if at == 0 { b"{\"" } else { b",\"" });
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b"\":");
            match self.0.get::<_, Option<Raw<'_>>>(at) {
                None => out.extend_from_slice(b"null"),
                Some(Raw(raw)) => write(*kind, raw, out),
            }
        }
        out.push(b'}');
    }
}

/// A value in PostgreSQL's binary form.
struct Raw<'a>(&'a [u8]);

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Raw(raw))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// Writes a value of a column of this kind. Whole numbers, times and floats have eight bytes; writing into memory cannot fail.
fn write(kind: FieldKind, raw: &[u8], out: &mut Vec<u8>) {
    let eight = || raw.try_into().unwrap_or_default();
    match kind {
        FieldKind::Text => write_text(raw, out),
        FieldKind::Time => Micros(i64::from_be_bytes(eight())).write_json(out),
        FieldKind::Integer => drop(serde_json::to_writer(out, &i64::from_be_bytes(eight()))),
        FieldKind::Number => drop(serde_json::to_writer(out, &f64::from_be_bytes(eight()))),
    }
}

/// Text as a JSON string; PostgreSQL has seen to its being UTF-8.
fn write_text(text: &[u8], out: &mut Vec<u8>) {
    let plain = |byte: &u8| *byte >= 0x20 && *byte != b'"' && *byte != b'\\';
    if text.iter().all(plain) {
        out.push(b'"');
        out.extend_from_slice(text);
        out.push(b'"');
    } else {
        let _ = serde_json::to_writer(out, &String::from_utf8_lossy(text));
    }
}

impl Serialize for Incident {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(Some(FIELDS.len()))?;
        for (at, (name, _, kind)) in FIELDS.iter().enumerate() {
            match kind {
                FieldKind::Integer => map.serialize_entry(name, &self.0.get::<_, Option<i64>>(at))?,
                FieldKind::Number => map.serialize_entry(name, &self.0.get::<_, Option<f64>>(at))?,
                FieldKind::Text => map.serialize_entry(name, &self.0.get::<_, Option<&str>>(at))?,
                FieldKind::Time => {
                    let time: Option<DateTime<Utc>> = self.0.get(at);
                    map.serialize_entry(name, &time.map(crate::domain::time::format_rfc3339))?;
                }
            }
        }
        map.end()
    }
}

/// A `timestamptz` as it comes: microseconds since 2000.
struct Micros(i64);

const DAY: i64 = 86_400_000_000;

impl Micros {
    /// RFC 3339 in UTC with as few fractional digits as the instant needs, as [`crate::domain::time::format_rfc3339`].
    fn write_json(&self, out: &mut Vec<u8>) {
        let (day, of_day) = (self.0.div_euclid(DAY), self.0.rem_euclid(DAY));
        let (year, month, day) = civil(day);
        let (seconds, micros) = (of_day / 1_000_000, of_day % 1_000_000);
        let mut text = *b"\"0000-00-00T00:00:00.000000";
        for (at, digits, value) in [
            (1, 4, year),
            (6, 2, month),
            (9, 2, day),
            (12, 2, seconds / 3600),
            (15, 2, seconds / 60 % 60),
            (18, 2, seconds % 60),
            (21, 6, micros),
        ] {
            digits_into(&mut text[at..at + digits], value);
        }
        let mut end = text.len();
        while text[end - 1] == b'0' && end > 20 {
            end -= 1;
        }
        if end == 21 {
            end = 20; // the point
        }
        out.extend_from_slice(&text[..end]);
        out.extend_from_slice(b"Z\"");
    }
}

fn digits_into(place: &mut [u8], mut value: i64) {
    for digit in place.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8; // one digit: the years that the service takes are positive
        value /= 10;
    }
}

/// Year, month and day of a day since 2000-01-01, by the Gregorian calendar: years are counted from March, so that the leap day
/// is the last of its year.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 730_425; // since 0000-03-01
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::{format_rfc3339, parse_rfc3339};

    #[test]
    fn times_are_written_as_elsewhere() {
        let epoch = parse_rfc3339("2000-01-01T00:00:00Z").expect("a time");
        for text in [
            "2000-01-01T00:00:00Z",
            "1999-12-31T23:59:59.999999Z",
            "2024-02-29T12:00:00.1Z",
            "2025-11-01T10:00:07.2Z",
            "2026-03-01T00:00:00.00001Z",
            "1970-01-01T00:00:10Z",
            "2100-12-31T20:30:40.000001Z",
            "9999-12-31T23:59:59Z",
        ] {
            let time = parse_rfc3339(text).expect(text);
            let micros = (time - epoch).num_microseconds().expect("in range");
            let mut out = Vec::new();
            Micros(micros).write_json(&mut out);
            assert_eq!(String::from_utf8(out).expect("text"), format!("\"{}\"", format_rfc3339(time)));
        }
    }
}
