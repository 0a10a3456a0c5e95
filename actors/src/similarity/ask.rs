//! What is asked for, made ready to be compared with the patterns of the store.

use super::Parts;
use super::coverage::StoreCounts;
use super::expand::{added_terms, expanded, unknown};
use super::plan::LIMIT;
use super::score::Frequencies;
use super::spelling::{MOST_TERMS, StoreTerms};
use crate::db::connection::Connection;
use crate::db::pool::Pool;
use crate::db::sqlstate::DatabaseError;
use crate::domain::audit_text::AuditText;
use crate::domain::bucket::Bucket;
use crate::domain::search::{About, Search};
use crate::embedder::{AddedTerm, EmbedQuery, Embedding, FIRST_ID, QueryWords, Space, is_plain};
use crate::error::ActorError;
use crate::query::{DescribeIncident, IncidentDescription};
use chrono::{DateTime, Utc};
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

pub(super) struct Question {
    /// The id of the embedder.
    pub space: String,
    pub description: IncidentDescription,
    pub as_of: Option<DateTime<Utc>>,
    /// With the terms that were added; `None` where the text says nothing.
    pub embedding: Option<Arc<Embedding>>,
    pub frequencies: Frequencies,
    words: QueryWords,
    added: Vec<AddedTerm>,
}

impl Question {
    /// How many words the text has that say something, and how many of these any pattern has. A number that the store has as a code is one.
    pub fn known_terms(&self) -> (usize, usize) {
        let is_there = |term: &str| self.frequencies.by_term.get(term).is_some_and(|patterns| *patterns > 0);
        let known = self.words.terms.iter().filter(|term| is_there(term)).count();
        let numbers = self.added.iter().filter(|added| added.form_of.is_none() && !is_plain(&added.term));
        let numbers: HashSet<&str> =
            numbers.filter(|added| !added.term.starts_with('!')).map(|added| added.written.as_str()).collect();
        (self.words.terms.len() + numbers.len(), known + numbers.len())
    }

    /// These terms as the text has them written, each word once.
    pub fn written(&self, terms: Vec<String>) -> Vec<String> {
        let mut written: Vec<String> = Vec::with_capacity(terms.len());
        for term in terms {
            let added = || self.added.iter().find(|added| added.term == term).map(|added| &added.written);
            let word = self.words.words.get(&term).or_else(added).cloned();
            let word = word.unwrap_or_else(|| term.trim_start_matches('=').to_owned());
            if !written.contains(&word) {
                written.push(word);
            }
        }
        written
    }
}

impl Parts {
    pub(super) async fn ask(
        &self,
        pool: &Pool,
        space: &Space,
        search: &Search,
        counts: &StoreCounts,
    ) -> Result<Question, ActorError> {
        let description = self.describe(&search.about, search.as_of).await?;
        let query = EmbedQuery { space: space.id.clone(), text: description.text.clone() };
        let embedded = self.embedder.call(query).await?;
        let terms = embedded.embedding.iter().flat_map(|embedding| embedding.features.terms.iter().cloned());
        let terms: Vec<String> = terms.chain(embedded.written.loose.iter().map(|loose| loose.term.clone())).collect();
        let mut connection = pool.get().await.map_err(ActorError::VectorStore)?;
        let mut frequencies = Frequencies { patterns: counts.patterns, by_term: HashMap::new() };
        add_frequencies(&mut connection, &space.id, &terms, &mut frequencies).await.map_err(ActorError::VectorStore)?;
        // The vectors of the first embedder have words of another kind.
        let added = if space.id == FIRST_ID {
            Vec::new()
        } else {
            let is_typed = matches!(search.about, About::Text(_));
            let store = match is_typed && !unknown(&embedded.written, &frequencies).is_empty() {
                true => Some(self.store_terms(&mut connection, space, counts).await.map_err(ActorError::VectorStore)?),
                false => None,
            };
            added_terms(&embedded.written, &frequencies, store.as_deref())
        };
        let asked: HashSet<&String> = terms.iter().collect();
        let new: Vec<String> =
            added.iter().filter(|added| !asked.contains(&added.term)).map(|added| added.term.clone()).collect();
        add_frequencies(&mut connection, &space.id, &new, &mut frequencies).await.map_err(ActorError::VectorStore)?;
        let embedding = match added.is_empty() {
            true => embedded.embedding,
            false => expanded(embedded.embedding.as_deref(), &added, space.sparse).map(Arc::new),
        };
        let (space, as_of) = (space.id.clone(), search.as_of);
        Ok(Question { space, description, as_of, embedding, frequencies, words: embedded.written, added })
    }

    async fn describe(&self, about: &About, as_of: Option<DateTime<Utc>>) -> Result<IncidentDescription, ActorError> {
        match about {
            About::Incident(id) => self.query.read(DescribeIncident { id: *id, as_of }).await,
            About::Text(text) => Ok(IncidentDescription {
                text: AuditText { reasoning: Some(text.clone()), ..AuditText::default() },
                ..IncidentDescription::default()
            }),
        }
    }

    /// The terms of the store; read anew when there are other patterns, unless that was a moment ago.
    async fn store_terms(
        &self,
        connection: &mut Connection,
        space: &Space,
        counts: &StoreCounts,
    ) -> Result<Rc<StoreTerms>, DatabaseError> {
        if let Some(terms) = self.terms.borrow().fresh(&space.id, counts.patterns) {
            return Ok(terms);
        }
        let started = Instant::now();
        let read = connection.autocommit("similarity.read_terms", LIMIT, async |tx| {
            let statement = tx.prepare(include_str!("read_terms.sql")).await?;
            tx.client().query(&statement, &[&space.id, &MOST_TERMS]).await
        });
        let rows = read.await?;
        let terms = rows.iter().map(|row| (row.get::<_, &str>("term"), row.get::<_, i64>("patterns")));
        let terms = Rc::new(StoreTerms::new(terms));
        let (embedder, patterns, until) =
            (space.id.clone(), counts.patterns, Instant::now() + SHARE * started.elapsed());
        *self.terms.borrow_mut() = KnownTerms { embedder, patterns, until: Some(until), terms: terms.clone() };
        Ok(terms)
    }
}

/// The terms of a store, as they were read last.
#[derive(Default)]
pub(super) struct KnownTerms {
    embedder: String,
    /// How many patterns the store had.
    patterns: i64,
    /// They are not read again before that.
    until: Option<Instant>,
    terms: Rc<StoreTerms>,
}

/// Reading the terms may take a twentieth of the time.
const SHARE: u32 = 20;

impl KnownTerms {
    fn fresh(&self, embedder: &str, patterns: i64) -> Option<Rc<StoreTerms>> {
        let is_fresh = self.patterns == patterns || self.until.is_some_and(|until| Instant::now() < until);
        (self.embedder == embedder && is_fresh).then(|| self.terms.clone())
    }
}

/// Reads how many patterns have each of these terms.
async fn add_frequencies(
    connection: &mut Connection,
    embedder: &str,
    terms: &[String],
    frequencies: &mut Frequencies,
) -> Result<(), DatabaseError> {
    if terms.is_empty() {
        return Ok(());
    }
    let buckets: Vec<i32> = terms.iter().map(|term| Bucket::of(term).get()).collect();
    let read = connection.autocommit("similarity.read_frequencies", LIMIT, async |tx| {
        let statement = tx.prepare(include_str!("read_frequencies.sql")).await?;
        tx.client().query(&statement, &[&buckets, &embedder, &terms]).await
    });
    let rows = read.await?;
    frequencies.by_term.extend(rows.iter().map(|row| (row.get::<_, String>("term"), row.get("patterns"))));
    Ok(())
}
