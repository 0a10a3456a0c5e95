//! What statistics can be grouped by.

use super::invalid::Invalid;
use chrono::{DateTime, Datelike, DurationRound, Months, NaiveTime, TimeDelta, Utc};

/// Something that the incidents of a group have in common.
#[derive(Debug, PartialEq, Eq)]
pub struct Dimension {
    /// In a query and in the answer.
    pub name: &'static str,
    /// Of an incident `t`.
    pub expression: &'static str,
    pub kind: DimensionKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DimensionKind {
    Text,
    /// The start of a period, in UTC.
    Time,
}

const fn text(name: &'static str, expression: &'static str) -> Dimension {
    Dimension { name, expression, kind: DimensionKind::Text }
}

const fn time(name: &'static str, expression: &'static str) -> Dimension {
    Dimension { name, expression, kind: DimensionKind::Time }
}

/// In the contract's order. Weeks begin on Monday.
static DIMENSIONS: [Dimension; 11] = [
    text("alert_name", "t.alert_name"),
    text("action_type", "t.action_type"),
    text("severity", "t.alert_severity"),
    text("namespace", "t.namespace"),
    text("cluster", "t.cluster_name"),
    text("environment", "t.environment"),
    text("model_used", "t.model_used"),
    text("target", "t.workload"),
    time("day", "date_trunc('day', t.action_timestamp, 'UTC')"),
    time("week", "date_trunc('week', t.action_timestamp, 'UTC')"),
    time("month", "date_trunc('month', t.action_timestamp, 'UTC')"),
];

pub static HOUR: Dimension = time("hour", "date_trunc('hour', t.action_timestamp, 'UTC')");

/// What counts over time are told apart by.
pub static STATUS: Dimension = text("status", "t.execution_status");

/// Dimensions of one question, at most.
pub const MOST: usize = 3;

impl Dimension {
    /// The column of an incident whose text it is; `None` of a period.
    pub fn column(&self) -> Option<&'static str> {
        self.expression.strip_prefix("t.")
    }

    /// Whether one of them is this column of an incident.
    pub fn is_of(column: &str) -> bool {
        DIMENSIONS.iter().any(|dimension| dimension.column() == Some(column))
    }

    /// The start of the period that a time is in. What is not a period is the time itself.
    pub fn start(&self, time: DateTime<Utc>) -> DateTime<Utc> {
        let day = time.date_naive();
        let day = match self.name {
            "hour" => return time.duration_trunc(TimeDelta::hours(1)).unwrap_or(time),
            "week" => day - TimeDelta::days(day.weekday().num_days_from_monday().into()),
            "month" => day.with_day(1).unwrap_or(day),
            _ => day,
        };
        day.and_time(NaiveTime::MIN).and_utc()
    }

    /// The end of the period that starts then.
    pub fn end(&self, start: DateTime<Utc>) -> DateTime<Utc> {
        match self.name {
            "hour" => start + TimeDelta::hours(1),
            "week" => start + TimeDelta::weeks(1),
            "month" => start.checked_add_months(Months::new(1)).unwrap_or(DateTime::<Utc>::MAX_UTC),
            _ => start + TimeDelta::days(1),
        }
    }

    /// A list of names with commas, up to three, of dimensions that `allowed` lets through.
    ///
    /// # Errors
    /// What is wrong with `group_by`.
    pub fn parse_list(list: &str, allowed: fn(&Dimension) -> bool) -> Result<Vec<&'static Dimension>, Invalid> {
        let mut dimensions: Vec<&'static Dimension> = Vec::new();
        for name in list.split(',').map(str::trim) {
            match DIMENSIONS.iter().find(|known| known.name == name && allowed(known)) {
                // It groups by itself already.
                Some(dimension) if dimensions.contains(&dimension) => {}
                Some(dimension) => dimensions.push(dimension),
                None => {
                    let known: Vec<&str> =
                        DIMENSIONS.iter().filter(|known| allowed(known)).map(|known| known.name).collect();
                    let known = format!("must be a list of these: {}", known.join(", "));
                    return Err(Invalid::wrong("group_by", known));
                }
            }
        }
        match dimensions.len() > MOST {
            true => Err(Invalid::wrong("group_by", format_args!("may have {MOST} dimensions"))),
            false => Ok(dimensions),
        }
    }

    /// The period of counts over time.
    ///
    /// # Errors
    /// What is wrong with `interval`.
    pub fn parse_interval(name: &str) -> Result<&'static Self, Invalid> {
        let periods = DIMENSIONS.iter().chain([&HOUR]).filter(|known| known.kind == DimensionKind::Time);
        let period = periods.into_iter().find(|known| known.name == name);
        period.ok_or_else(|| Invalid::wrong("interval", "must be hour, day, week or month"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_to_three_different_dimensions() {
        let any = |_: &Dimension| true;
        let names =
            |list: &str| Dimension::parse_list(list, any).map(|list| list.iter().map(|d| d.name).collect::<Vec<_>>());
        assert_eq!(names("target, day,target"), Ok(vec!["target", "day"]));
        for wrong in ["", "status", "day,week,month,target", "alert_name,"] {
            assert!(names(wrong).is_err(), "{wrong}");
        }
        assert!(Dimension::parse_list("day", |known| known.kind == DimensionKind::Text).is_err());
        assert!(Dimension::parse_interval("hour").is_ok() && Dimension::parse_interval("target").is_err());
    }
}
