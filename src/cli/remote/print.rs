//! How answers look: tables that fit a terminal, aligned columns in a pipe, JSON or YAML.

use crate::cli::{CommandError, say};
use crate::telemetry::wants_colours;
use crate::visible::visible;
use chrono::{DateTime, SecondsFormat};
use comfy_table::{Attribute, Cell, Color, ColumnConstraint, ContentArrangement, Table, presets};
use data_storage_actors::domain::time::system_clock;
use serde_json::Value;
use std::io::{self, IsTerminal};

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum OutputFormat {
    Table,
    Json,
    Yaml,
}

/// A column of a table.
#[derive(Clone, Copy)]
pub struct Column {
    head: &'static str,
    /// What an entry has there.
    pub cell: fn(&Value) -> String,
    /// Left out where a terminal is narrow.
    is_wide: bool,
}

pub const fn column(head: &'static str, cell: fn(&Value) -> String) -> Column {
    Column { head, cell, is_wide: false }
}

/// A column that a narrow terminal does without.
pub const fn wide(head: &'static str, cell: fn(&Value) -> String) -> Column {
    Column { head, cell, is_wide: true }
}

/// From so many characters on a terminal is wide.
const WIDE: u16 = 120;

/// A cell of so many characters at most stands in one line.
const SHORT: usize = 12;

/// Prints the answer as it is, unless it is to be a table.
pub fn print(format: OutputFormat, answer: &Value, table: impl FnOnce() -> String) -> Result<(), CommandError> {
    let text = match format {
        OutputFormat::Table => table(),
        OutputFormat::Json => format!("{answer:#}"),
        OutputFormat::Yaml => serde_saphyr::to_string(answer)?.trim_end().to_owned(),
    };
    say(text.trim_end().to_owned() + "\n")
}

/// Entries as a table. On a terminal it is as wide as that at most, and long cells are folded; in a pipe each entry is a line.
pub fn table(columns: &[Column], entries: &[Value]) -> String {
    let is_terminal = io::stdout().is_terminal();
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    if is_terminal {
        table.set_content_arrangement(ContentArrangement::Dynamic);
    } else {
        table.set_content_arrangement(ContentArrangement::Disabled);
    }
    if wants_colours(&io::stdout()) {
        table.enforce_styling();
    } else {
        table.force_no_tty();
    }
    let is_narrow = is_terminal && table.width().is_some_and(|width| width < WIDE);
    let columns: Vec<&Column> = columns.iter().filter(|column| !(is_narrow && column.is_wide)).collect();
    table.set_header(columns.iter().map(|column| Cell::new(column.head).add_attribute(Attribute::Bold)));
    let mut longest: Vec<usize> = columns.iter().map(|column| column.head.len()).collect();
    for entry in entries {
        let cells: Vec<String> = columns.iter().map(|column| one_line(&(column.cell)(entry))).collect();
        for (longest, cell) in longest.iter_mut().zip(&cells) {
            *longest = cell.chars().count().max(*longest);
        }
        table.add_row(cells.iter().map(|cell| coloured(cell)));
    }
    for (column, longest) in table.column_iter_mut().zip(longest) {
        if longest <= SHORT {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
    if let Some(first) = table.column_mut(0) {
        first.set_padding((0, 1));
    }
    let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n")
}

fn coloured(text: &str) -> Cell {
    let colour = match text {
        "completed" => Some(Color::Green),
        "failed" | "rolled_back" | "critical" => Some(Color::Red),
        "recurred" | "high" => Some(Color::Yellow),
        _ => None,
    };
    colour.map_or_else(|| Cell::new(text), |colour| Cell::new(text).fg(colour))
}

/// In one line, without what a terminal acts on: texts are others'.
pub fn one_line(text: &str) -> String {
    visible(&text.replace(['\n', '\t'], " "))
}

/// The value of a field as text; nothing where it is not known.
pub fn text(entry: &Value, field: &str) -> String {
    match &entry[field] {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A time to the second; for people how long ago that was, as far as one unit tells it.
pub fn time(entry: &Value, field: &str) -> String {
    let time = text(entry, field);
    let Ok(at) = DateTime::parse_from_rfc3339(&time) else { return time };
    let seconds = system_clock()().signed_duration_since(at).num_seconds();
    match seconds {
        0.. if io::stdout().is_terminal() => format!("{} ago", age(seconds)),
        _ => at.to_utc().to_rfc3339_opts(SecondsFormat::Secs, true),
    }
}

fn age(seconds: i64) -> String {
    match seconds {
        ..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3_600),
        172_800.. => format!("{}d", seconds / 86_400),
    }
}

/// Milliseconds as a span.
pub fn span(entry: &Value, field: &str) -> String {
    let Some(millis) = entry[field].as_f64() else { return String::new() };
    match millis {
        ..1_000.0 => format!("{millis:.0}ms"),
        ..60_000.0 => format!("{:.1}s", millis / 1e3),
        ..3_600_000.0 => format!("{:.1}m", millis / 6e4),
        _ => format!("{:.1}h", millis / 3.6e6),
    }
}

pub fn entries(answer: &Value) -> &[Value] {
    answer["data"].as_array().map_or(&[], Vec::as_slice)
}

/// What stands below a table, for people: how much there is, and how to go on.
pub fn below(answer: &Value) -> String {
    let shown = entries(answer).len();
    let of = answer["pagination"]["total"].as_i64().map(|total| format!(" of {total}")).unwrap_or_default();
    let next = answer["pagination"]["next_cursor"].as_str();
    let next = next.map(|cursor| format!("; go on with --cursor {cursor}, or --all")).unwrap_or_default();
    if io::stdout().is_terminal() { format!("\n\n{shown}{of}{next}") } else { String::new() }
}
