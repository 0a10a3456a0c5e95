//! Recall of the built-in embedder on alert families and paraphrases (tests/data): a change that makes it worse is seen.
#![allow(clippy::disallowed_methods)] // a test reads the time and its own settings where it needs them

mod corpus;

use corpus::{Bm25, Corpus, Searcher, TASKS, measure};

#[test]
fn the_corpus_is_what_it_says() {
    let corpus = Corpus::known();
    assert!(corpus.families.len() >= 40);
    for family in &corpus.families {
        assert!(family.negatives().len() >= 3, "{}", family.name);
        for negative in family.negatives() {
            assert!(corpus.families.iter().any(|other| other.name == *negative), "{negative}");
        }
    }
    assert!(Corpus::unseen().families.len() >= 40 && Corpus::reworded().families.len() >= 40);
}

#[test]
fn it_finds_what_bm25_finds_and_more() {
    let corpora = [
        (Corpus::known(), [0.89, 0.96, 0.98, 0.99]),
        (Corpus::reworded(), [0.86, 0.89, 0.98, 0.93]),
        (Corpus::unseen(), [0.97, 0.98, 0.96, 0.99]),
    ];
    for (corpus, least) in corpora {
        let builtin = Searcher::builtin(&corpus);
        for (task, least) in TASKS.into_iter().zip(least) {
            let ours = measure(&corpus, &builtin, task);
            for bm25 in [Bm25::new(&corpus), Bm25::repeated(&corpus)] {
                let theirs = measure(&corpus, &bm25, task);
                assert!(ours.mrr > theirs.mrr - 0.005, "{}: {} to {}", task.name(), ours.mrr, theirs.mrr);
                assert!(ours.ndcg_at_10 > theirs.ndcg_at_10 - 0.01, "{}: {ours:?} to {theirs:?}", task.name());
            }
            assert!(ours.mrr >= least && ours.recall_at_10 >= 0.83, "{}: {ours:?}", task.name());
        }
        // The vectors alone must bring the right ones among the candidates.
        let vectors = Searcher::builtin(&corpus).vectors_only();
        for task in TASKS {
            assert!(measure(&corpus, &vectors, task).recall_at_10 >= 0.82, "{}", task.name());
        }
    }
}
