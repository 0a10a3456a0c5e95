//! Recall of each embedder beside BM25 on the corpus of tests/data: mean reciprocal rank, recall@10 and nDCG@10 over four tasks.
//! `make bench-recall`.

#[path = "../tests/recall/corpus.rs"]
#[allow(dead_code)] // the tests look at more of it
mod corpus;

use corpus::{Bm25, Corpus, Lexical, Ranker, TASKS, measure};

fn main() {
    let corpus = Corpus::load();
    println!("{} families, {} documents", corpus.families.len(), corpus.documents.len());
    println!("| ranker | task | MRR | recall@10 | nDCG@10 | hard negatives above |\n|---|---|---|---|---|---|");
    let (bm25, lexical, hashed) = (Bm25::new(&corpus), Lexical::new(&corpus), Lexical::vectors_only(&corpus));
    let rankers: [(&str, &dyn Ranker); 3] = [("BM25", &bm25), ("builtin-1, vectors", &hashed), ("builtin-1", &lexical)];
    for (name, ranker) in rankers {
        for task in TASKS {
            let m = measure(&corpus, ranker, task);
            println!(
                "| {name} | {} | {:.3} | {:.3} | {:.3} | {:.3} |",
                task.name(),
                m.mrr,
                m.recall_at_10,
                m.ndcg_at_10,
                m.negatives_above
            );
        }
    }
}
