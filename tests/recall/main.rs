//! Recall of the built-in embedder on alert families and paraphrases (tests/data/recall.tsv): a change that makes it worse is seen.

mod corpus;

use corpus::{Bm25, Corpus, Lexical, TASKS, Task, measure};

#[test]
fn the_corpus_is_what_it_says() {
    let corpus = Corpus::load();
    assert!(corpus.families.len() >= 40);
    for family in &corpus.families {
        assert!(family.negatives().len() >= 3, "{}", family.name);
        for negative in family.negatives() {
            assert!(corpus.families.iter().any(|other| other.name == *negative), "{negative}");
        }
    }
}

#[test]
fn it_finds_what_bm25_finds_and_more() {
    let corpus = Corpus::load();
    let (bm25, builtin) = (Bm25::new(&corpus), Lexical::new(&corpus));
    for task in TASKS {
        let (theirs, ours) = (measure(&corpus, &bm25, task), measure(&corpus, &builtin, task));
        assert!(ours.mrr > theirs.mrr - 0.02, "{}: {} to {}", task.name(), ours.mrr, theirs.mrr);
    }
    for (task, least) in [(Task::Failure, 0.84), (Task::Mitigation, 0.95), (Task::Name, 0.97), (Task::Both, 0.99)] {
        let measured = measure(&corpus, &builtin, task);
        assert!(measured.mrr >= least, "{}: {measured:?}", task.name());
        assert!(measured.ndcg_at_10 >= 0.88 && measured.recall_at_10 >= 0.94, "{}: {measured:?}", task.name());
    }
    // The vectors alone must bring the right ones among the candidates.
    for task in TASKS {
        assert!(measure(&corpus, &Lexical::vectors_only(&corpus), task).recall_at_10 >= 0.93, "{}", task.name());
    }
}
