//! Alert families, the documents and queries that they make, and rankers that are measured on them.

use data_storage_actors::domain::audit_text::AuditText;
use data_storage_actors::embedder::{Builtin, Embedding, Space, split_words};
use data_storage_actors::similarity::{Frequencies, Profile, Query, StoreTerms, added_terms, expanded, score};
use std::collections::{HashMap, HashSet};

/// One kind of alert, and what is asked about it.
pub struct Family {
    pub name: String,
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

#[derive(Default)]
pub struct Corpus {
    pub families: Vec<Family>,
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

    pub fn query(self, family: &Family) -> String {
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
    /// The families that the built-in embedder was made with, three documents each: as different analyses would have told it.
    pub fn known() -> Self {
        let mut corpus = Corpus::default();
        for [name, cause_and_fix, failure, fix, negatives] in lines(include_str!("../data/recall.tsv")) {
            for (app, place) in PLACES {
                let reasoning = format!("{cause_and_fix} Affected: {app}-7d9f8b6c5-x2lp9 in {place}.");
                corpus.add_document(name, &reasoning, "");
            }
            corpus.add_family(name, failure, fix, negatives.split(' ').map(str::to_owned).collect());
        }
        corpus
    }

    /// Families by another hand in far-off words, two documents each, of which the second has no error text.
    pub fn reworded() -> Self {
        Self::parse(include_str!("../data/reworded.tsv"))
    }

    /// The same, whose words the list of concepts was not made for.
    pub fn unseen() -> Self {
        Self::parse(include_str!("../data/unseen.tsv"))
    }

    /// From lines of name, reasoning, error text, the same in other words, failure, fix.
    pub fn parse(text: &str) -> Self {
        let mut corpus = Corpus::default();
        for [name, reasoning, error, otherwise, failure, fix] in lines(text) {
            corpus.add_document(name, reasoning, error);
            if !otherwise.is_empty() {
                corpus.add_document(name, otherwise, "");
            }
            corpus.add_family(name, failure, fix, Vec::new());
        }
        corpus
    }

    fn add_document(&mut self, name: &str, reasoning: &str, error: &str) {
        let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let text = AuditText {
            alert_name: given(name),
            reasoning: given(reasoning),
            error_message: given(error),
            ..AuditText::default()
        };
        self.documents.push(Document { family: self.families.len(), text });
    }

    /// A document that tells what an analysis says, and has no name.
    pub fn add_text(&mut self, text: &str) {
        let text = AuditText { reasoning: Some(text.to_owned()), ..AuditText::default() };
        self.documents.push(Document { family: self.documents.len(), text });
    }

    fn add_family(&mut self, name: &str, failure: &str, fix: &str, negatives: Vec<String>) {
        let (name, failure, fix) = (name.to_owned(), failure.to_owned(), fix.to_owned());
        self.families.push(Family { name, failure, fix, negatives });
    }

    fn documents_of(&self, family: usize) -> usize {
        self.documents.iter().filter(|document| document.family == family).count()
    }
}

fn lines<const N: usize>(text: &str) -> impl Iterator<Item = [&str; N]> {
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines.map(|line| {
        let fields: Vec<&str> = line.split('\t').collect();
        fields.try_into().unwrap_or_else(|fields: Vec<&str>| panic!("{} fields instead of {N}: {line}", fields.len()))
    })
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
    let mut asked = 0;
    for (family, told) in corpus.families.iter().enumerate() {
        let (query, documents) = (task.query(told), corpus.documents_of(family));
        if query.is_empty() {
            continue;
        }
        asked += 1;
        let scores = ranker.scores(&query);
        let mut order: Vec<usize> = (0..scores.len()).collect();
        order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
        // A document without any likeness is not found, wherever it stands.
        let found: Vec<bool> =
            order.iter().map(|at| scores[*at] > 0.0 && corpus.documents[*at].family == family).collect();
        let first = found.iter().position(|found| *found);
        measured.mrr += first.map_or(0.0, |rank| 1.0 / (rank as f64 + 1.0));
        let gain = |rank: usize| 1.0 / (rank as f64 + 2.0).log2();
        let within = found.iter().take(10).enumerate().filter(|(_, found)| **found);
        measured.recall_at_10 += within.clone().count() as f64 / documents as f64;
        let best: f64 = (0..documents).map(gain).sum();
        measured.ndcg_at_10 += within.map(|(rank, _)| gain(rank)).sum::<f64>() / best;
        let negatives: HashSet<&str> = told.negatives.iter().map(String::as_str).collect();
        let before = &order[..first.unwrap_or(order.len())];
        let above =
            before.iter().any(|at| negatives.contains(corpus.families[corpus.documents[*at].family].name.as_str()));
        measured.negatives_above += f64::from(u8::from(above));
    }
    let n = f64::from(asked);
    Measured {
        mrr: measured.mrr / n,
        recall_at_10: measured.recall_at_10 / n,
        ndcg_at_10: measured.ndcg_at_10 / n,
        negatives_above: measured.negatives_above / n,
    }
}

/// Embeds texts; `None` for one without any feature.
pub type EmbedTexts<'a> = dyn Fn(&[AuditText]) -> Vec<Option<Embedding>> + 'a;

pub fn builtin(texts: &[AuditText]) -> Vec<Option<Embedding>> {
    let embedder = Builtin::default();
    texts.iter().map(|text| embedder.embed(text)).collect()
}

/// What the service does: what is similar enough is put in order by the likeness of vectors and of words.
pub struct Searcher<'a> {
    embed: &'a EmbedTexts<'a>,
    embeddings: Vec<(Embedding, Profile)>,
    frequencies: Frequencies,
    terms: StoreTerms,
    words: Builtin,
    min_similarity: f64,
    hashed: bool,
    vectors_only: bool,
}

impl<'a> Searcher<'a> {
    pub fn new(corpus: &Corpus, embed: &'a EmbedTexts<'a>, space: &Space) -> Self {
        let texts: Vec<AuditText> = corpus.documents.iter().map(|document| document.text.clone()).collect();
        let embeddings: Vec<Embedding> = embed(&texts).into_iter().map(|made| made.expect("features")).collect();
        let mut frequencies = Frequencies::default();
        let mut patterns = HashSet::new();
        for embedding in embeddings.iter().filter(|embedding| patterns.insert(embedding.pattern)) {
            frequencies.patterns += 1;
            for term in &embedding.features.terms {
                *frequencies.by_term.entry(term.clone()).or_default() += 1;
            }
        }
        let profiled = |made: Embedding| {
            let profile = Profile::new(made.features.hashed());
            (made, profile)
        };
        let embeddings = embeddings.into_iter().map(profiled).collect();
        let (min_similarity, hashed) = (space.min_similarity, space.sparse);
        let terms = StoreTerms::new(frequencies.by_term.iter().map(|(term, patterns)| (term.as_str(), *patterns)));
        let words = Builtin::default();
        Searcher { embed, embeddings, frequencies, terms, words, min_similarity, hashed, vectors_only: false }
    }

    /// With the default embedder.
    pub fn builtin(corpus: &Corpus) -> Self {
        Self::new(corpus, &builtin, &Space::builtin())
    }

    /// The vectors alone, whatever their likeness.
    pub fn vectors_only(self) -> Self {
        Searcher { vectors_only: true, min_similarity: 0.0, ..self }
    }
}

impl Ranker for Searcher<'_> {
    fn scores(&self, query: &str) -> Vec<f64> {
        let text = AuditText { reasoning: Some(query.to_owned()), ..AuditText::default() };
        let asked = (self.embed)(std::slice::from_ref(&text)).pop().flatten();
        let added = added_terms(&self.words.written(&text), &self.frequencies, Some(&self.terms));
        let Some(asked) = expanded(asked.as_ref(), &added, self.hashed) else {
            return vec![0.0; self.embeddings.len()];
        };
        let query = Query::new(&asked.features, &self.frequencies);
        let of = |(embedding, profile): &(Embedding, Profile)| -> f64 {
            let products = asked.vector.iter().zip(&embedding.vector).map(|(a, b)| f64::from(a * b));
            let similarity = products.sum::<f64>().max(0.0);
            match similarity {
                similarity if similarity < self.min_similarity => 0.0,
                similarity if self.vectors_only => similarity,
                similarity => score(&query.compare(profile), similarity, self.hashed),
            }
        };
        self.embeddings.iter().map(of).collect()
    }
}

/// BM25 (k1 = 1.2, b = 0.75) over stemmed words with names split, each word of the query once.
pub struct Bm25 {
    documents: Vec<(HashMap<String, f64>, f64)>,
    with: HashMap<String, f64>,
    mean: f64,
    repeated: bool,
}

impl Bm25 {
    /// A word of the query counts as often as it comes, as some have it.
    pub fn repeated(corpus: &Corpus) -> Self {
        Bm25 { repeated: true, ..Self::new(corpus) }
    }

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
        Bm25 { documents, with, mean, repeated: false }
    }
}

impl Ranker for Bm25 {
    fn scores(&self, query: &str) -> Vec<f64> {
        const K1: f64 = 1.2;
        const B: f64 = 0.75;
        let mut words: HashMap<String, f64> = HashMap::new();
        for word in split_words(query) {
            let count = words.entry(word).or_default();
            *count = if self.repeated { *count + 1.0 } else { 1.0 };
        }
        let n = self.documents.len() as f64;
        let score = |(counts, length): &(HashMap<String, f64>, f64)| {
            let of = |(word, asked): (&String, &f64)| {
                let count = counts.get(word)?;
                let with = self.with.get(word).copied().unwrap_or(0.0);
                let idf = (1.0 + (n - with + 0.5) / (with + 0.5)).ln();
                Some(asked * idf * count * (K1 + 1.0) / (count + K1 * (1.0 - B + B * length / self.mean)))
            };
            words.iter().filter_map(of).sum()
        };
        self.documents.iter().map(score).collect()
    }
}
