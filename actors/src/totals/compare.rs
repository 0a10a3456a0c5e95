//! Compares the counts with the incidents, mends them beside live traffic, and counts what was there before them.

use super::block::HourCounts;
use super::changes::{changes_of, values};
use super::combinations::Combinations;
use super::fold::is_whole;
use super::hours::{bucket_of, ids_of, write_blocks};
use crate::db::connection::Connection;
use crate::db::locks::Lock;
use crate::db::pool::Pool;
use crate::db::sqlstate::{DatabaseError, DatabaseFault};
use crate::db::template::sql;
use crate::db::transaction::Transaction;
use crate::db::{CommandError, DatabaseConfig};
use crate::domain::facts::COUNTED;
use crate::domain::totals::{MINUTES_OF_AN_HOUR, Values, start_of};
use chrono::{DateTime, Utc};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;
use tokio_postgres::Error;

/// By how much one count is off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deviation {
    /// The start of the minute, or of the hour where that is counted as a whole.
    pub time: DateTime<Utc>,
    /// Of the counted facts, in their order.
    pub values: [Option<String>; COUNTED],
    /// Incidents that the counts lack; negative where they have too many.
    pub missing: i64,
}

/// All incidents are read.
const LIMIT: Duration = Duration::from_secs(3600);
const HOURS_OF_A_DAY: i32 = 24;

/// Compares, in one snapshot. Empty when every count is exact, and where totals are still counted from the incidents themselves.
///
/// # Errors
/// When the database cannot be reached.
pub async fn compare(database: &DatabaseConfig) -> Result<Vec<Deviation>, CommandError> {
    let mut connection = Connection::alone(database).await?;
    let deviations = connection
        .transaction("totals.compare", LIMIT, async |tx| {
            tx.client().batch_execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
            if !is_whole(tx).await? {
                return Ok(Vec::new());
            }
            let mut deviations = Vec::new();
            let mut look = Comparison::begin(tx).await?;
            for day in look.days.clone() {
                let hours = look.hours_of(tx, day).await?;
                for (hour, counts) in hours {
                    look.note(hour, &counts, &mut deviations);
                }
            }
            Ok(deviations)
        })
        .await?;
    Ok(deviations)
}

/// Makes every block anew that is not exact. Writers go on meanwhile.
///
/// # Errors
/// When the database cannot be reached or changed; then nothing is changed.
pub async fn repair(database: &DatabaseConfig) -> Result<(), CommandError> {
    Ok(repair_on(&mut Connection::alone(database).await?).await?)
}

/// HourCounts the incidents that were there before the counts were. Says whether all are counted.
pub(crate) async fn count_all(pool: &Pool) -> bool {
    match count_on(pool).await {
        Ok(()) => true,
        // Before the migration there are no counts.
        Err(error) if error.fault == DatabaseFault::Schema => false,
        Err(error) => {
            error.log("the incidents from before the counts are not counted; the next turn tries again");
            false
        }
    }
}

async fn count_on(pool: &Pool) -> Result<(), DatabaseError> {
    let whole = async |connection: &mut Connection| {
        connection.autocommit("totals.is_whole", LIMIT, async |tx| is_whole(tx).await).await
    };
    if whole(&mut *pool.get().await?).await? {
        return Ok(());
    }
    // The lock is held as long as the connection lives.
    let mut connection = pool.dedicated().await?;
    connection
        .autocommit("totals.no_timeout", LIMIT, async |tx| tx.client().batch_execute("SET statement_timeout = 0").await)
        .await?;
    repair_on(&mut connection).await?;
    tracing::info!("all incidents are counted");
    Ok(())
}

async fn repair_on(connection: &mut Connection) -> Result<(), DatabaseError> {
    // Nobody folds meanwhile. A lock within the transaction would come after its snapshot.
    connection.lock_for_good(Lock::Totals, LIMIT).await?;
    connection
        .transaction("totals.repair", LIMIT, async |tx| {
            tx.client().batch_execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ").await?;
            if tx.is_distributed() {
                // Its snapshot is not that of all nodes: writers wait until it is done.
                tx.client().batch_execute("-- totals.hold_writers\nLOCK TABLE count_changes IN SHARE MODE").await?;
            }
            let mut look = Comparison::begin(tx).await?;
            for day in look.days.clone() {
                let hours = look.hours_of(tx, day).await?;
                let wrong = hours.into_iter().filter(|(_, counts)| counts.wanted != counts.kept);
                let blocks: Vec<(i32, Vec<u8>)> = wrong.map(|(hour, counts)| (hour, counts.wanted.bytes())).collect();
                if !blocks.is_empty() {
                    write_blocks(tx, &blocks).await?;
                }
            }
            let ended = "-- totals.end_repair\nUPDATE count_state SET generation = generation + 1, is_whole = true WHERE bucket = 0";
            tx.client().execute(ended, &[]).await.map(|_| ())
        })
        .await
}

/// What is compared, in the snapshot of a transaction.
struct Comparison {
    /// In hours from 1970.
    days: Vec<i32>,
    combinations: Combinations,
    /// What is not folded, by hour.
    pending: BTreeMap<i32, Vec<(u8, u32, i64)>>,
    /// Combinations that are not in the database, where nothing is to be written.
    is_read_only: bool,
}

/// The first hours of the days that have anything: incidents, blocks, or these hours.
async fn days(tx: &mut Transaction<'_>, hours: impl Iterator<Item = i32>) -> Result<Vec<i32>, Error> {
    let client = tx.client();
    let blocks = client.query("-- totals.list_hours\nSELECT b.hour FROM count_blocks AS b", &[]).await?;
    let day = |hour: i32| hour - hour.rem_euclid(HOURS_OF_A_DAY);
    let mut days: BTreeSet<i32> = blocks.iter().map(|row| row.get("hour")).chain(hours).map(day).collect();
    let next = tx.prepare(include_str!("find_next_hour.sql")).await?;
    let mut after = start_of(i32::MIN);
    while let Some(hour) = client.query_one(&next, &[&after]).await?.get::<_, Option<i32>>("hour") {
        days.insert(day(hour));
        after = start_of((day(hour) + HOURS_OF_A_DAY) * MINUTES_OF_AN_HOUR);
    }
    Ok(days.into_iter().collect())
}

/// The counts of an hour.
struct Compared {
    /// What the block should have: what there is, without what is to be folded into it.
    wanted: HourCounts,
    kept: HourCounts,
}

impl Comparison {
    async fn begin(tx: &mut Transaction<'_>) -> Result<Self, Error> {
        let client = tx.client();
        let is_read_only: String =
            client.query_one("SELECT current_setting('transaction_read_only')", &[]).await?.get(0);
        let mut look = Comparison {
            days: Vec::new(),
            combinations: Combinations::default(),
            pending: BTreeMap::new(),
            is_read_only: is_read_only == "on",
        };
        for row in client.query(sql!("read_combinations.sql"), &[&0]).await? {
            look.combinations.add(row.get::<_, i32>("id").unsigned_abs(), &values(&row));
        }
        let changes = match tx.is_distributed() {
            false => client.query(sql!("read_changes.sql"), &[]).await?,
            true => {
                let generation = "-- totals.read_generation\nSELECT generation FROM count_state WHERE bucket = 0";
                let generation: i64 = client.query_one(generation, &[]).await?.get(0);
                client.query(sql!("read_unfolded.sql"), &[&generation]).await?
            }
        };
        let mut of_rows = Vec::new();
        for row in &changes {
            changes_of(row, |change| of_rows.push(change));
        }
        let combinations: Vec<Values<&str>> = of_rows.iter().map(|change| change.values).collect();
        let ids = look.ids(tx, &combinations).await?;
        for (change, id) in of_rows.iter().zip(ids) {
            let minute = u8::try_from(change.minute.rem_euclid(MINUTES_OF_AN_HOUR)).unwrap_or(0); // below 60
            let hour = change.minute.div_euclid(MINUTES_OF_AN_HOUR);
            look.pending.entry(hour).or_default().push((minute, id, change.delta.into()));
        }
        look.days = days(tx, look.pending.keys().copied()).await?;
        Ok(look)
    }

    /// The ids of combinations. Those that are new are written, where that is allowed.
    async fn ids(&mut self, tx: &mut Transaction<'_>, combinations: &[Values<&str>]) -> Result<Vec<u32>, Error> {
        let new: HashSet<Values<&str>> =
            combinations.iter().filter(|values| self.combinations.id(values).is_none()).copied().collect();
        let new: Vec<Values<&str>> = new.into_iter().collect();
        let ids = match new.is_empty() || self.is_read_only {
            true => (self.combinations.last().unsigned_abs() + 1..).take(new.len()).collect(),
            false => ids_of(tx, &new).await?,
        };
        for (values, id) in new.iter().zip(ids) {
            self.combinations.add(id, values);
        }
        Ok(combinations.iter().filter_map(|values| self.combinations.id(values)).collect())
    }

    /// The hours of a day that have anything.
    async fn hours_of(&mut self, tx: &mut Transaction<'_>, day: i32) -> Result<BTreeMap<i32, Compared>, Error> {
        let (client, end) = (tx.client(), day + HOURS_OF_A_DAY);
        let times = [day, end].map(|hour| start_of(hour * MINUTES_OF_AN_HOUR));
        let rows = client.query(sql!("count_day.sql"), &[&times[0], &times[1]]).await?;
        let hours: Vec<i32> = (day..end).collect();
        let buckets: Vec<i32> = hours.iter().map(|hour| bucket_of(*hour)).collect();
        let blocks = client.query(include_str!("find_blocks.sql"), &[&buckets, &hours]).await?;
        let mut compared: BTreeMap<i32, Compared> = BTreeMap::new();
        for row in &blocks {
            let kept = HourCounts::of(row.get("entries"));
            let wanted = HourCounts { step: kept.step, ..HourCounts::default() };
            compared.insert(row.get("hour"), Compared { wanted, kept });
        }
        let combinations: Vec<Values<&str>> = rows.iter().map(values).collect();
        let ids = self.ids(tx, &combinations).await?;
        let add = |compared: &mut BTreeMap<i32, Compared>, hour: i32, minute: u8, id: u32, count: i64| {
            let of_hour = compared
                .entry(hour)
                .or_insert_with(|| Compared { wanted: HourCounts::default(), kept: HourCounts::default() });
            of_hour.wanted.add(minute, id, count);
        };
        for (row, id) in rows.iter().zip(ids) {
            let minute: i32 = row.get("minute");
            let of_hour = u8::try_from(minute.rem_euclid(MINUTES_OF_AN_HOUR)).unwrap_or(0); // below 60
            add(&mut compared, minute.div_euclid(MINUTES_OF_AN_HOUR), of_hour, id, row.get("n"));
        }
        for (hour, changes) in self.pending.range(day..end) {
            for (minute, id, delta) in changes {
                add(&mut compared, *hour, *minute, *id, -delta);
            }
        }
        Ok(compared)
    }

    fn note(&self, hour: i32, counts: &Compared, deviations: &mut Vec<Deviation>) {
        let mut missing: HashMap<(u8, u32), i64> = HashMap::new();
        for (place, count) in &counts.wanted.entries {
            *missing.entry(*place).or_default() += count;
        }
        for (place, count) in &counts.kept.entries {
            *missing.entry(*place).or_default() -= count;
        }
        let mut missing: Vec<((u8, u32), i64)> = missing.into_iter().filter(|(_, missing)| *missing != 0).collect();
        missing.sort_unstable();
        deviations.extend(missing.into_iter().map(|((minute, id), missing)| Deviation {
            time: start_of(hour * MINUTES_OF_AN_HOUR + i32::from(minute)),
            values: std::array::from_fn(|fact| self.combinations.text(id, fact).map(str::to_owned)),
            missing,
        }));
    }
}
