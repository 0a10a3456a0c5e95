//! Recall of each embedder beside BM25: mean reciprocal rank, recall@10 and nDCG@10 over four tasks. On the corpora of tests/data, or on
//! files of the form of unseen.tsv that are given. `make bench-recall`; minilm needs the feature and MINILM_PATH, http EMBEDDER_URL and
//! EMBEDDER_MODEL.
#![allow(clippy::disallowed_methods)] // a tool: the environment is its only settings

#[path = "../tests/recall/corpus.rs"]
#[allow(dead_code)] // the tests look at more of it
mod corpus;

use corpus::{Bm25, Corpus, EmbedTexts, Ranker, Searcher, TASKS, measure};
use data_storage_actors::domain::audit_text::AuditText;
use data_storage_actors::embedder::{Embedding, EngineSettings, HttpSettings};

fn main() {
    let files: Vec<String> = std::env::args().skip(1).collect();
    let engines: Vec<EngineSettings> = [minilm(), http()].into_iter().flatten().collect();
    if files.is_empty() {
        print("recall.tsv", &Corpus::known(), &engines);
        print("reworded.tsv", &Corpus::reworded(), &engines);
        print("unseen.tsv", &Corpus::unseen(), &engines);
    }
    for file in files {
        print(&file, &Corpus::parse(&std::fs::read_to_string(&file).expect("a file")), &engines);
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
    print_ranker("builtin-1, vectors", corpus, &Searcher::builtin(corpus).vectors_only());
    print_ranker("builtin-1", corpus, &Searcher::builtin(corpus));
    for engine in engines {
        let embed = |texts: &[AuditText]| -> Vec<Option<Embedding>> {
            let parts = texts.chunks(AT_ONCE);
            parts.flat_map(|part| engine.embed_here(part).expect("an embedder that answers")).map(Some).collect()
        };
        let (space, embed): (_, &EmbedTexts) = (engine.space(), &embed);
        print_ranker(&space.id, corpus, &Searcher::new(corpus, embed, &space));
    }
}

fn print_ranker(name: &str, corpus: &Corpus, ranker: &dyn Ranker) {
    for task in TASKS {
        let m = measure(corpus, ranker, task);
        let (task, above) = (task.name(), m.negatives_above);
        println!("| {name} | {task} | {:.3} | {:.3} | {:.3} | {above:.3} |", m.mrr, m.recall_at_10, m.ndcg_at_10);
    }
}
