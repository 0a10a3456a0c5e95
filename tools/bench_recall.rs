//! Recall of each embedder beside BM25: mean reciprocal rank, recall@10 and nDCG@10 over four tasks. On the corpora of tests/data, or on
//! files of the form of unseen.tsv that are given (of pairs.tsv or copies.tsv, if their names say so). `make bench-recall`; minilm needs the feature and MINILM_PATH, http EMBEDDER_URL and
//! EMBEDDER_MODEL.
#![allow(clippy::disallowed_methods)] // a tool: the environment is its only settings

#[path = "../tests/recall/corpus.rs"]
#[allow(dead_code)] // the tests look at more of it
mod corpus;
#[path = "../tests/recall/pairs.rs"]
mod pairs;

use corpus::{Bm25, Corpus, EmbedTexts, Ranker, Searcher, TASKS, measure};
use data_storage_actors::domain::audit_text::AuditText;
use data_storage_actors::embedder::{Embedding, EngineSettings, HttpSettings};

fn main() {
    let files: Vec<String> = std::env::args().skip(1).collect();
    let engines: Vec<EngineSettings> = [minilm(), http()].into_iter().flatten().collect();
    if files.is_empty() {
        print_pairs(include_str!("../tests/data/pairs.tsv"));
        print_patterns("copies.tsv", include_str!("../tests/data/copies.tsv"));
        print("recall.tsv", &Corpus::known(), &engines);
        print("reworded.tsv", &Corpus::reworded(), &engines);
        print("unseen.tsv", &Corpus::unseen(), &engines);
        for (name, text) in [
            ("families.de.tsv", include_str!("../tests/data/families.de.tsv")),
            ("families.es.tsv", include_str!("../tests/data/families.es.tsv")),
            ("families.fr.tsv", include_str!("../tests/data/families.fr.tsv")),
            ("families.ru.tsv", include_str!("../tests/data/families.ru.tsv")),
            ("families.zh.tsv", include_str!("../tests/data/families.zh.tsv")),
            ("families.ja.tsv", include_str!("../tests/data/families.ja.tsv")),
        ] {
            print(name, &Corpus::parse(text), &engines);
        }
    }
    for file in files {
        let text = std::fs::read_to_string(&file).expect("a file");
        if file.contains("pairs") {
            print_pairs(&text);
            continue;
        }
        if file.contains("copies") || file.contains("logs") {
            print_patterns(&file, &text);
            continue;
        }
        print(&file, &Corpus::parse(&text), &engines);
    }
}

/// Texts that an embedder is asked for at once.
const AT_ONCE: usize = 16;

fn minilm() -> Option<EngineSettings> {
    let folder = std::env::var_os("MINILM_PATH").filter(|_| cfg!(feature = "minilm"))?;
    Some(EngineSettings::MiniLm(folder.into()))
}

fn http() -> Option<EngineSettings> {
    let (url, model) = (std::env::var("EMBEDDER_URL").ok()?, std::env::var("EMBEDDER_MODEL").ok()?);
    Some(EngineSettings::Http(HttpSettings { url, model, key: None }))
}

fn print(name: &str, corpus: &Corpus, engines: &[EngineSettings]) {
    println!("\n{name}: {} families, {} documents\n", corpus.families.len(), corpus.documents.len());
    println!("| ranker | task | MRR | recall@10 | nDCG@10 | hard negatives above |\n|---|---|---|---|---|---|");
    print_ranker("BM25", corpus, &Bm25::new(corpus));
    print_ranker("BM25, words repeated", corpus, &Bm25::repeated(corpus));
    print_ranker("builtin-2, vectors", corpus, &Searcher::builtin(corpus).vectors_only());
    print_ranker("builtin-2", corpus, &Searcher::builtin(corpus));
    let first = |texts: &[AuditText]| -> Vec<Option<Embedding>> {
        let embedder = data_storage_actors::embedder::Builtin::default();
        texts.iter().map(|text| embedder.embed_first(text)).collect()
    };
    print_ranker("builtin-1", corpus, &Searcher::new(corpus, &first, &data_storage_actors::embedder::Space::builtin()));
    for engine in engines {
        let embed = |texts: &[AuditText]| -> Vec<Option<Embedding>> {
            let parts = texts.chunks(AT_ONCE);
            parts.flat_map(|part| engine.embed_here(part).expect("an embedder that answers")).map(Some).collect()
        };
        let (space, embed): (_, &EmbedTexts) = (engine.space(), &embed);
        print_ranker(&space.id, corpus, &Searcher::new(corpus, embed, &space));
    }
}

fn print_pairs(text: &str) {
    let pairs = pairs::parse(text);
    let store = pairs::store(&pairs);
    let (by_kind, wrong) = pairs::measure(&pairs, &Searcher::builtin(&store));
    for (kind, (right, of)) in by_kind {
        println!("| {kind} | {right} of {of} |");
    }
    for pair in wrong {
        println!("{} | {} | {:?}", pair.kind, pair.query, pair.texts);
    }
}

/// How many patterns texts have that differ in what a machine made up: lines of a group and a text.
fn print_patterns(name: &str, text: &str) {
    let embedder = data_storage_actors::embedder::Builtin::default();
    let mut groups: std::collections::BTreeMap<&str, std::collections::BTreeMap<uuid::Uuid, Vec<String>>> =
        Default::default();
    let mut all = std::collections::BTreeSet::new();
    for (group, told) in text.lines().filter_map(|line| line.split_once('\t')) {
        let asked = AuditText { reasoning: Some(told.to_owned()), ..AuditText::default() };
        let made =
            if std::env::var_os("FIRST").is_some() { embedder.embed_first(&asked) } else { embedder.embed(&asked) };
        if let Some(made) = made {
            all.insert(made.pattern);
            groups.entry(group).or_default().entry(made.pattern).or_default().push(made.features.terms.join(" "));
        }
    }
    println!("{name}: {} groups, {} patterns", groups.len(), all.len());
    if std::env::var_os("SHOW").is_some() {
        for (group, patterns) in groups.iter().filter(|(_, patterns)| patterns.len() > 1) {
            println!("{group}");
            for terms in patterns.values() {
                println!("   {}", terms[0]);
            }
        }
    }
}

fn print_ranker(name: &str, corpus: &Corpus, ranker: &dyn Ranker) {
    for task in TASKS {
        let m = measure(corpus, ranker, task);
        let (task, above) = (task.name(), m.negatives_above);
        println!("| {name} | {task} | {:.3} | {:.3} | {:.3} | {above:.3} |", m.mrr, m.recall_at_10, m.ndcg_at_10);
    }
}
