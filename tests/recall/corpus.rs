//! Alert families, the documents and queries that they make, and rankers that are measured on them.

use data_storage_actors::domain::audit_text::AuditText;
use data_storage_actors::embedder::{Builtin, Embedding, split_words};
use data_storage_actors::similarity::{Frequencies, Query};
use std::collections::{HashMap, HashSet};

/// One line of the corpus.
pub struct Family {
    pub name: String,
    cause_and_fix: String,
    failure: String,
    fix: String,
    negatives: Vec<String>,
}

impl Family {
    pub fn negatives(&self) -> &[String] {
        &self.negatives
    }
}

pub struct Document {
    pub family: usize,
    pub text: AuditText,
}

pub struct Corpus {
    pub families: Vec<Family>,
    /// Three of each family: as different analyses would have told it, with names of their own.
    pub documents: Vec<Document>,
}

/// What is asked with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// The failure in other words, without the alert's name.
    Failure,
    /// The fix alone, in other words.
    Mitigation,
    /// The alert's name alone.
    Name,
    /// Failure and fix.
    Both,
}

pub const TASKS: [Task; 4] = [Task::Failure, Task::Mitigation, Task::Name, Task::Both];

impl Task {
    pub fn name(self) -> &'static str {
        match self {
            Task::Failure => "failure, paraphrased",
            Task::Mitigation => "mitigation only",
            Task::Name => "alert name only",
            Task::Both => "failure and mitigation",
        }
    }

    fn query(self, family: &Family) -> String {
        match self {
            Task::Failure => family.failure.clone(),
            Task::Mitigation => family.fix.clone(),
            Task::Name => family.name.clone(),
            Task::Both => format!("{}. {}", family.failure, family.fix),
        }
    }
}

const PLACES: [(&str, &str); 3] =
    [("checkout", "prod-eu-1"), ("billing-worker", "prod-us-2"), ("search-api", "staging-3")];

impl Corpus {
    pub fn load() -> Self {
        let families: Vec<Family> = include_str!("../data/recall.tsv")
            .lines()
            .filter(|line| !line.starts_with('#') && !line.is_empty())
            .map(|line| {
                let fields: Vec<&str> = line.split('\t').collect();
                let [name, cause_and_fix, failure, fix, negatives] = fields[..] else { panic!("five fields: {line}") };
                Family {
                    name: name.to_owned(),
                    cause_and_fix: cause_and_fix.to_owned(),
                    failure: failure.to_owned(),
                    fix: fix.to_owned(),
                    negatives: negatives.split(' ').map(str::to_owned).collect(),
                }
            })
            .collect();
        let documents = families.iter().enumerate().flat_map(|(family, told)| {
            PLACES.iter().map(move |(app, place)| Document {
                family,
                text: AuditText {
                    alert_name: Some(told.name.clone()),
                    reasoning: Some(format!("{} Affected: {app}-7d9f8b6c5-x2lp9 in {place}.", told.cause_and_fix)),
                    error_message: None,
                },
            })
        });
        let documents = documents.collect();
        Corpus { families, documents }
    }
}

/// Gives each document a score for a query.
pub trait Ranker {
    fn scores(&self, query: &str) -> Vec<f64>;
}

#[derive(Debug, Default)]
pub struct Measured {
    pub mrr: f64,
    pub recall_at_10: f64,
    pub ndcg_at_10: f64,
    /// Share of queries with one of the family's hard negatives before the family itself.
    pub negatives_above: f64,
}

pub fn measure(corpus: &Corpus, ranker: &dyn Ranker, task: Task) -> Measured {
    let mut measured = Measured::default();
    for (family, told) in corpus.families.iter().enumerate() {
        let scores = ranker.scores(&task.query(told));
        let mut order: Vec<usize> = (0..scores.len()).collect();
        order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
        // A document without any likeness is not found, wherever it stands.
        let found: Vec<bool> =
            order.iter().map(|at| scores[*at] > 0.0 && corpus.documents[*at].family == family).collect();
        let first = found.iter().position(|found| *found);
        measured.mrr += first.map_or(0.0, |rank| 1.0 / (rank as f64 + 1.0));
        let gain = |rank: usize| 1.0 / (rank as f64 + 2.0).log2();
        let within = found.iter().take(10).enumerate().filter(|(_, found)| **found);
        measured.recall_at_10 += within.clone().count() as f64 / PLACES.len() as f64;
        let best: f64 = (0..PLACES.len()).map(gain).sum();
        measured.ndcg_at_10 += within.map(|(rank, _)| gain(rank)).sum::<f64>() / best;
        let negatives: HashSet<&str> = told.negatives.iter().map(String::as_str).collect();
        let before = &order[..first.unwrap_or(order.len())];
        let above =
            before.iter().any(|at| negatives.contains(corpus.families[corpus.documents[*at].family].name.as_str()));
        measured.negatives_above += f64::from(u8::from(above));
    }
    let n = corpus.families.len() as f64;
    Measured {
        mrr: measured.mrr / n,
        recall_at_10: measured.recall_at_10 / n,
        ndcg_at_10: measured.ndcg_at_10 / n,
        negatives_above: measured.negatives_above / n,
    }
}

/// What the service does: vectors find candidates, the exact cosine of the words orders them.
pub struct Lexical {
    embeddings: Vec<Embedding>,
    frequencies: Frequencies,
    exact: bool,
}

impl Lexical {
    pub fn new(corpus: &Corpus) -> Self {
        let embedder = Builtin::default();
        let embeddings: Vec<Embedding> =
            corpus.documents.iter().map(|document| embedder.embed(&document.text).expect("features")).collect();
        let mut frequencies = Frequencies::default();
        let mut patterns = HashSet::new();
        for embedding in embeddings.iter().filter(|embedding| patterns.insert(embedding.pattern)) {
            frequencies.patterns += 1;
            for term in &embedding.features.terms {
                *frequencies.by_term.entry(term.clone()).or_default() += 1;
            }
        }
        Lexical { embeddings, frequencies, exact: true }
    }

    pub fn vectors_only(corpus: &Corpus) -> Self {
        Lexical { exact: false, ..Self::new(corpus) }
    }
}

impl Ranker for Lexical {
    fn scores(&self, query: &str) -> Vec<f64> {
        let text = AuditText { reasoning: Some(query.to_owned()), ..AuditText::default() };
        let Some(asked) = Builtin::default().embed(&text) else { return vec![0.0; self.embeddings.len()] };
        let query = Query::new(&asked.features, &self.frequencies);
        let cosine = |embedding: &Embedding| -> f64 {
            let products = asked.vector.iter().zip(&embedding.vector).map(|(a, b)| f64::from(a * b));
            products.sum::<f64>().max(0.0)
        };
        let exact = |embedding: &Embedding| query.compare(&embedding.features).share;
        self.embeddings.iter().map(|e| if self.exact { exact(e) } else { cosine(e) }).collect()
    }
}

/// BM25 (k1 = 1.2, b = 0.75) over stemmed words with names split.
pub struct Bm25 {
    documents: Vec<(HashMap<String, f64>, f64)>,
    with: HashMap<String, f64>,
    mean: f64,
}

impl Bm25 {
    pub fn new(corpus: &Corpus) -> Self {
        let mut with: HashMap<String, f64> = HashMap::new();
        let mut documents = Vec::new();
        for document in &corpus.documents {
            let text = [&document.text.alert_name, &document.text.reasoning, &document.text.error_message];
            let mut counts: HashMap<String, f64> = HashMap::new();
            for word in text.iter().filter_map(|part| part.as_deref()).flat_map(split_words) {
                *counts.entry(word).or_default() += 1.0;
            }
            for word in counts.keys() {
                *with.entry(word.clone()).or_default() += 1.0;
            }
            let length = counts.values().sum();
            documents.push((counts, length));
        }
        let mean = documents.iter().map(|(_, length)| length).sum::<f64>() / documents.len() as f64;
        Bm25 { documents, with, mean }
    }
}

impl Ranker for Bm25 {
    fn scores(&self, query: &str) -> Vec<f64> {
        const K1: f64 = 1.2;
        const B: f64 = 0.75;
        let words: HashSet<String> = split_words(query).collect();
        let n = self.documents.len() as f64;
        let score = |(counts, length): &(HashMap<String, f64>, f64)| {
            let of = |word: &String| {
                let count = counts.get(word)?;
                let with = self.with.get(word).copied().unwrap_or(0.0);
                let idf = (1.0 + (n - with + 0.5) / (with + 0.5)).ln();
                Some(idf * count * (K1 + 1.0) / (count + K1 * (1.0 - B + B * length / self.mean)))
            };
            words.iter().filter_map(of).sum()
        };
        self.documents.iter().map(score).collect()
    }
}
