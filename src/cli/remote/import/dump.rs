//! Dumps of PostgreSQL in text form: the rows of their COPY blocks.

use flate2::bufread::MultiGzDecoder;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek};
use std::rc::Rc;

/// Where a dump cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum DumpError {
    #[error("line {line}: {reason}")]
    Line { line: u64, reason: String },
    #[error("the dump ends in the middle of table {0}")]
    Cut(String),
    #[error("the dump is not whole: its last line is missing")]
    Incomplete,
    #[error(
        "it has no rows of resource_action_traces or audit_events to copy: is it a dump in text form, and of the right database?"
    )]
    NoTable,
    #[error(
        "it is in PostgreSQL's custom or tar format: turn it into text with pg_restore --data-only --file=dump.sql"
    )]
    BinaryFormat,
    #[error("its rows are INSERT statements: make it without --inserts")]
    Inserts,
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A row of a table.
pub struct Row {
    /// Where it is in the dump.
    pub line: u64,
    columns: Rc<HashMap<String, usize>>,
    values: Vec<Option<String>>,
}

impl Row {
    /// The value of a column; nothing for NULL, an empty text, or where there is no such column.
    pub fn get(&self, column: &str) -> Option<&str> {
        self.values[*self.columns.get(column)?].as_deref().filter(|value| !value.is_empty())
    }

    /// The columns that have a value.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.columns.keys().filter_map(|column| Some((column.as_str(), self.get(column)?)))
    }
}

/// Where a tar archive says that it is one.
const TAR: std::ops::Range<usize> = 257..262;

/// The text of a dump, which may be packed by gzip or zstd.
pub fn open(mut file: File) -> Result<Box<dyn BufRead>, DumpError> {
    file.rewind()?;
    let mut magic = Vec::new();
    (&mut file).take(TAR.end as u64).read_to_end(&mut magic)?; // some hundred
    file.rewind()?;
    if magic.get(TAR).is_some_and(|mark| mark == b"ustar") {
        return Err(DumpError::BinaryFormat);
    }
    let reader = BufReader::with_capacity(1 << 20, file);
    Ok(match magic.as_slice() {
        [0x1f, 0x8b, ..] => Box::new(BufReader::new(MultiGzDecoder::new(reader))),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Box::new(BufReader::new(zstd::Decoder::with_buffer(reader)?)),
        [b'P', b'G', b'D', b'M', b'P', ..] => return Err(DumpError::BinaryFormat),
        _ => Box::new(reader),
    })
}

/// A COPY block that is being read.
struct Block<T> {
    table: String,
    columns: Rc<HashMap<String, usize>>,
    /// What the table is, if it is wanted.
    kind: Option<T>,
}

/// No line of a dump is longer: PostgreSQL has no longer values.
const LONGEST: u64 = 1 << 30;

/// Hands each row of the tables that `wanted` knows to `found`, until that says no.
pub fn read<T: Copy>(
    mut text: impl BufRead,
    wanted: impl Fn(&str) -> Option<T>,
    mut found: impl FnMut(T, Row) -> bool,
) -> Result<(), DumpError> {
    let (mut bytes, mut line) = (Vec::new(), 0);
    let mut block: Option<Block<T>> = None;
    let (mut is_named, mut is_whole) = (false, false);
    loop {
        bytes.clear();
        line += 1;
        if (&mut text).take(LONGEST).read_until(b'\n', &mut bytes)? == 0 {
            return match block {
                Some(block) => Err(DumpError::Cut(block.table)),
                None if is_named && !is_whole => Err(DumpError::Incomplete),
                None => Ok(()),
            };
        }
        let fault = |reason: &str| DumpError::Line { line, reason: reason.to_owned() };
        // The other lines may be in any encoding.
        if bytes.last() == Some(&b'\n') {
            bytes.pop();
        } else if let Some(block) = block {
            return Err(DumpError::Cut(block.table));
        }
        match &block {
            None => {
                let text = String::from_utf8_lossy(&bytes);
                let text = text.trim_end_matches('\r');
                is_named |= text == "-- PostgreSQL database dump";
                is_whole |= text == "-- PostgreSQL database dump complete";
                if let Some((table, columns)) = copied(text) {
                    let columns = columns.into_iter().enumerate().map(|(at, name)| (name, at)).collect();
                    block = Some(Block { kind: wanted(&table), table, columns: Rc::new(columns) });
                } else if text.strip_prefix("INSERT INTO ").is_some_and(|rest| wanted(&last_name(rest)).is_some()) {
                    return Err(DumpError::Inserts);
                }
            }
            Some(_) if bytes == b"\\." => block = None,
            Some(Block { kind: None, .. }) => {}
            Some(Block { kind: Some(kind), table, columns }) => {
                let text = std::str::from_utf8(&bytes).map_err(|_| fault("it is not UTF-8"))?;
                let values: Vec<Option<String>> = text.split('\t').map(value).collect();
                if values.len() != columns.len() {
                    let (found, wanted) = (values.len(), columns.len());
                    return Err(fault(&format!("{table} has {wanted} columns, and the row has {found}")));
                }
                if !found(*kind, Row { line, columns: columns.clone(), values }) {
                    return Ok(());
                }
            }
        }
    }
}

/// The table and the columns of `COPY public.audit_events (event_id, …) FROM stdin;`.
fn copied(line: &str) -> Option<(String, Vec<String>)> {
    let (table, rest) = line.strip_prefix("COPY ")?.split_once(" (")?;
    let columns = rest.strip_suffix(") FROM stdin;")?;
    Some((last_name(table), columns.split(", ").map(unquoted).collect()))
}

/// A table's name without its schema.
fn last_name(text: &str) -> String {
    let name = text.split([' ', '(']).next().unwrap_or_default();
    unquoted(name.rsplit('.').next().unwrap_or_default())
}

fn unquoted(name: &str) -> String {
    name.trim_matches('"').to_owned()
}

/// A value of COPY's text form.
fn value(text: &str) -> Option<String> {
    if text == "\\N" {
        return None;
    }
    if !text.contains('\\') {
        return Some(text.to_owned());
    }
    let (mut plain, mut rest) = (String::with_capacity(text.len()), text.chars());
    while let Some(c) = rest.next() {
        if c != '\\' {
            plain.push(c);
            continue;
        }
        plain.push(match rest.next() {
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('v') => '\u{b}',
            Some(other) => other,
            None => '\\',
        });
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(dump: &str) -> Result<Vec<(u64, Option<String>)>, DumpError> {
        let mut rows = Vec::new();
        let wanted = |table: &str| (table == "t").then_some(());
        read(dump.as_bytes(), wanted, |(), row| {
            rows.push((row.line, row.get("b c").map(str::to_owned)));
            true
        })?;
        Ok(rows)
    }

    #[test]
    fn rows_are_those_of_the_wanted_tables() {
        let dump = "SET x;\nCOPY public.other (a) FROM stdin;\nCOPY t (a, \"b c\")\n\\.\n\nCOPY public.\"t\" (a, \"b c\") FROM stdin;\n\
                    1\ttab\\tline\\nback\\\\slash\n2\t\\N\n3\t\n\\.\n";
        let found = rows(dump).expect("rows");
        assert_eq!(found, [(7, Some("tab\tline\nback\\slash".to_owned())), (8, None), (9, None)]);
    }

    #[test]
    fn what_cannot_be_read_is_told() {
        assert!(matches!(rows("COPY t (a, \"b c\") FROM stdin;\n1\t2\n"), Err(DumpError::Cut(table)) if table == "t"));
        assert!(matches!(rows("COPY t (a, \"b c\") FROM stdin;\n1\t2"), Err(DumpError::Cut(_))));
        assert!(matches!(rows("COPY t (a, \"b c\") FROM stdin;\n1\n"), Err(DumpError::Line { line: 2, .. })));
        let cut = "-- PostgreSQL database dump\nCOPY t (a, \"b c\") FROM stdin;\n1\t2\n\\.\n";
        assert!(matches!(rows(cut), Err(DumpError::Incomplete)));
        assert!(rows(&(cut.to_owned() + "-- PostgreSQL database dump complete\n")).is_ok());
        assert!(matches!(rows("INSERT INTO public.t VALUES (1);\n"), Err(DumpError::Inserts)));
    }
}
