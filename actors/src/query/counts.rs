use super::QueryActor;
use super::count_incidents::{ask_attempts, is_uncounted};
use super::groups::{behind, columns, key, names, values};
use super::rows::raw_json;
use super::totals::{Rest, place_of};
use crate::attempts::{AttemptTable, GroupCount};
use crate::db::statement::{ComposedStatement, FactSource, SqlValue, conditions, where_all};
use crate::domain::dimension::Dimension;
use crate::domain::filter::IncidentFilter;
use crate::domain::time::serialize;
use crate::domain::totals::{MINUTES_OF_AN_HOUR, Values, minute_of, start_of};
use crate::domain::walk::WalkCursor;
use crate::error::ActorError;
use crate::totals::Fit;
use actix::prelude::*;
use chrono::{DateTime, Utc};
use hashbrown::HashMap;
use serde::Serialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio_postgres::Row;

/// Asks how many incidents there were over time, by status.
#[derive(Message)]
#[rtype(result = "Result<PeriodCounts, ActorError>")]
pub struct GetCounts {
    pub filter: IncidentFilter,
    /// The period of one count.
    pub interval: &'static Dimension,
    pub group_by: Vec<&'static Dimension>,
    /// Entries, the earliest first.
    pub limit: i64,
    /// The entry behind which they begin.
    pub after: Option<WalkCursor>,
}

#[derive(Debug)]
pub struct PeriodCounts {
    pub entries: Vec<PeriodCount>,
    /// Set where there is more.
    pub next: Option<WalkCursor>,
}

/// One group of one period, with at least one incident.
#[derive(Debug, Serialize)]
pub struct PeriodCount {
    /// The start of the period, in UTC.
    #[serde(serialize_with = "serialize")]
    pub time: DateTime<Utc>,
    #[serde(flatten)]
    pub group: serde_json::Map<String, serde_json::Value>,
    /// By status; those without incidents are left out.
    pub counts: Option<Box<RawValue>>,
}

impl Handler<GetCounts> for QueryActor {
    type Result = ResponseFuture<Result<PeriodCounts, ActorError>>;

    fn handle(&mut self, message: GetCounts, _: &mut Self::Context) -> Self::Result {
        let (reader, totals, attempts) = (self.reader(), self.totals.clone(), self.attempts.clone());
        Box::pin(async move {
            let message = Arc::new(message);
            let places: Option<Vec<usize>> =
                message.group_by.iter().map(|dimension| place_of(dimension.column()?)).collect();
            let are_counted = places.is_some() && !is_uncounted(&reader, &message.filter);
            if let Some(places) = places {
                let asked = message.clone();
                let read = move |fit: &Fit<'_>, minutes: (i32, i32), rest: &[Rest<'_>]| {
                    held(&asked, places, fit, minutes, rest)
                };
                if let Some(counts) = totals.read(&reader, &message.filter, read).await? {
                    return Ok(counts);
                }
            }
            let asked = message.clone();
            let read = move |attempts: &AttemptTable, filter: &IncidentFilter| {
                of_attempts(&asked, attempts.count_groups(filter, asked.interval, &asked.group_by))
            };
            if !are_counted && let Some(counts) = ask_attempts(&reader, &attempts, &message.filter, read).await? {
                return Ok(counts);
            }
            reader.read_many("query.counts", "", &*message, statement, answer).await
        })
    }
}

/// The counts of one group by status.
type ByStatus = BTreeMap<String, i64>;
/// The values of a group's dimensions. Those that are not known come last.
type GroupKey = Vec<(bool, Option<String>)>;
/// The start of a period, a group of it, and its counts.
type CountEntry = (DateTime<Utc>, GroupKey, ByStatus);

fn of_attempts(message: &GetCounts, counts: Vec<GroupCount>) -> PeriodCounts {
    let mut entries: BTreeMap<(DateTime<Utc>, GroupKey), ByStatus> = BTreeMap::new();
    for GroupCount { time, values, status, count } in counts {
        *entries.entry((time, walked(&values))).or_default().entry(status.unwrap_or_default()).or_default() += count;
    }
    let entries = entries.into_iter().map(|((time, key), counts)| (time, key, counts));
    page(message, entries.filter(|(time, key, _)| is_behind(message, *time, key)).collect())
}

/// The counts, period by period, until there are enough.
fn held(
    message: &GetCounts,
    places: Vec<usize>,
    fit: &Fit<'_>,
    minutes: (i32, i32),
    rest: &[Rest<'_>],
) -> PeriodCounts {
    let Some(status) = place_of("execution_status") else { return PeriodCounts { entries: Vec::new(), next: None } };
    let key_of = |text: &dyn Fn(usize) -> Option<String>| -> GroupKey {
        places.iter().map(|place| text(*place)).map(|text| (text.is_none(), text)).collect()
    };
    // What is not in the blocks, by its period.
    let mut others: BTreeMap<DateTime<Utc>, Vec<(Values<&str>, i64)>> = BTreeMap::new();
    let pending = fit.pending(minutes).map(|(minute, values, delta)| (start_of(minute), values, delta));
    for (time, values, count) in pending.chain(rest.iter().map(|rest| (rest.time, rest.values, rest.count))) {
        others.entry(message.interval.start(time)).or_default().push((values, count));
    }
    // Groups by the numbers of their texts; each has a name.
    let mut groups: HashMap<Vec<u32>, u32> = HashMap::new();
    let mut names: Vec<(GroupKey, Option<String>)> = Vec::new();
    let ids = fit.ids();
    let mut group_of = vec![0u32; ids.iter().max().map_or(0, |last| *last as usize + 1)];
    let mut codes = Vec::new();
    for id in ids {
        codes.clear();
        codes.extend(places.iter().chain([&status]).map(|place| fit.code(id, *place)));
        group_of[id as usize] = match groups.get(&codes) {
            Some(group) => *group,
            None => {
                let text = |place: usize| fit.text(id, place).map(str::to_owned);
                let group = u32::try_from(names.len()).unwrap_or(u32::MAX);
                names.push((key_of(&text), text(status)));
                groups.insert(codes.clone(), group);
                group
            }
        };
    }
    let limit = usize::try_from(message.limit).unwrap_or(usize::MAX);
    let mut entries: Vec<CountEntry> = Vec::new();
    let mut hour = minutes.0.div_euclid(MINUTES_OF_AN_HOUR);
    if let Some(start) = message.after.as_ref().and_then(|after| DateTime::from_timestamp(after.rank, 0)) {
        hour = hour.max(minute_of(start).div_euclid(MINUTES_OF_AN_HOUR));
        others = others.split_off(&start);
    }
    while entries.len() <= limit {
        let folded = fit.next_hour(hour).map(|hour| message.interval.start(start_of(hour * MINUTES_OF_AN_HOUR)));
        let folded = folded.filter(|start| minute_of(*start) < minutes.1);
        let Some(start) = folded.into_iter().chain(others.keys().next().copied()).min() else { break };
        let end = message.interval.end(start);
        let (from, to) = (minute_of(start).max(minutes.0), minute_of(end).min(minutes.1));
        let mut counts = vec![0i64; names.len()];
        if from < to {
            fit.folded((from, to), &mut |id, count| {
                let group = group_of.get(id as usize).and_then(|group| counts.get_mut(*group as usize));
                if let Some(held) = group {
                    *held += count;
                }
            });
        }
        let mut period: BTreeMap<GroupKey, ByStatus> = BTreeMap::new();
        let mut add = |key: GroupKey, status: Option<&str>, count: i64| {
            *period.entry(key).or_default().entry(status.unwrap_or_default().to_owned()).or_default() += count;
        };
        for (count, (key, status)) in counts.iter().zip(&names).filter(|(count, _)| **count != 0) {
            add(key.clone(), status.as_deref(), *count);
        }
        for (values, count) in others.remove(&start).unwrap_or_default() {
            add(key_of(&|place| values[place].map(str::to_owned)), values[status], count);
        }
        for (key, mut counts) in period {
            counts.retain(|_, count| *count > 0);
            if is_behind(message, start, &key) && !counts.is_empty() {
                entries.push((start, key, counts));
            }
        }
        hour = minute_of(end).div_euclid(MINUTES_OF_AN_HOUR);
    }
    page(message, entries)
}

/// Whether an entry comes after those that a walk has had.
fn is_behind(message: &GetCounts, start: DateTime<Utc>, key: &GroupKey) -> bool {
    message.after.as_ref().is_none_or(|after| (start.timestamp(), key) > (after.rank, &walked(&after.key)))
}

/// The first of these entries, as many as are asked for.
fn page(message: &GetCounts, mut entries: Vec<CountEntry>) -> PeriodCounts {
    let limit = usize::try_from(message.limit).unwrap_or(usize::MAX);
    let more = entries.len() > limit;
    entries.truncate(limit);
    let next = entries.last().filter(|_| more).map(|(time, key, _)| WalkCursor {
        rank: time.timestamp(),
        key: key.iter().map(|(_, text)| text.clone()).collect(),
    });
    let entry = |(time, key, counts): CountEntry| PeriodCount {
        time,
        group: message.group_by.iter().zip(key).map(|(by, (_, text))| (by.name.to_owned(), text.into())).collect(),
        counts: serde_json::value::to_raw_value(&counts).ok(),
    };
    PeriodCounts { entries: entries.into_iter().map(entry).collect(), next }
}

/// The key of a cursor, as groups are ordered by.
fn walked(key: &[Option<String>]) -> GroupKey {
    key.iter().map(|text| (text.is_none(), text.clone())).collect()
}

fn answer(message: &GetCounts, mut rows: Vec<Row>) -> PeriodCounts {
    let limit = usize::try_from(message.limit).unwrap_or(usize::MAX);
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| more).map(|row| WalkCursor { rank: row.get("rank"), key: row.get("key") });
    let entries = rows.iter().map(|row| PeriodCount {
        time: row.get("time"),
        group: values(row, &message.group_by),
        counts: raw_json(row.get("counts")),
    });
    PeriodCounts { entries: entries.collect(), next }
}

fn statement(message: &GetCounts) -> ComposedStatement<'_> {
    let mut values = vec![SqlValue::Number(message.limit + 1)];
    let clauses = conditions(&message.filter, FactSource::OfIncidents, &mut values);
    let after: Vec<String> = message.after.iter().map(|cursor| behind(cursor, "rank", false, &mut values)).collect();
    let (facts, names, key) = (columns(&message.group_by), names(&message.group_by), key(&message.group_by));
    let (conditions, after, time) = (where_all(&clauses), where_all(&after), message.interval.expression);
    let sql = format!(
        "-- query.counts
SELECT g.*
FROM (
    SELECT
        s.time, extract(epoch FROM s.time)::bigint AS rank, {key} AS key{names},
        jsonb_object_agg(s.execution_status, s.n)::text AS counts
    FROM (
        SELECT {time} AS time, t.execution_status, count(*) AS n{facts}
        FROM resource_action_traces AS t{conditions}
        GROUP BY time, t.execution_status{names}
    ) AS s
    GROUP BY s.time{names}
) AS g{after}
ORDER BY rank, key
LIMIT $1"
    );
    ComposedStatement { sql, values }
}
