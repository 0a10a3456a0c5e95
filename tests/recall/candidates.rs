//! Whether the texts whose score is estimated to be the highest are those that have it.

use crate::corpus::{Corpus, TASKS};
use data_storage_actors::domain::audit_text::AuditText;
use data_storage_actors::embedder::{Builtin, Embedding, Meaning, PackedMeaning};
use data_storage_actors::similarity::{Frequencies, Profile, Query, score};
use fastrand::Rng;
use std::collections::{HashMap, HashSet};

struct Text {
    vector: Vec<f32>,
    profile: Profile,
    meaning: PackedMeaning,
}

/// Texts that are like no other: four sentences each, drawn from many.
fn texts(embed: &impl Fn(String) -> Option<Embedding>, count: usize) -> (Vec<Text>, HashMap<String, i64>) {
    let sentences: Vec<&str> = include_str!("../../benches/words/sentences.txt").lines().collect();
    let mut random = Rng::with_seed(5);
    let mut by_term: HashMap<String, i64> = HashMap::new();
    let mut texts = Vec::with_capacity(count);
    while texts.len() < count {
        let told: Vec<&str> = (0..4).map(|_| sentences[random.usize(0..sentences.len())]).collect();
        let Some(embedding) = embed(told.join(" ")) else { continue };
        embedding.features.terms.iter().for_each(|term| *by_term.entry(term.clone()).or_default() += 1);
        let profile = Profile::new(embedding.features.hashed());
        let meaning = profile.meaning().map(Meaning::packed).unwrap_or_default();
        texts.push(Text { vector: embedding.vector, profile, meaning });
    }
    (texts, by_term)
}

/// Those with the highest of these values.
fn highest(values: impl Iterator<Item = f64>, count: usize) -> HashSet<usize> {
    let mut ordered: Vec<(usize, f64)> = values.enumerate().collect();
    ordered.sort_by(|a, b| b.1.total_cmp(&a.1));
    ordered.into_iter().take(count).map(|(at, _)| at).collect()
}

fn product(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[test]
fn the_highest_estimates_are_of_the_best_texts() {
    let embedder = Builtin::default();
    let embed = |text| embedder.embed(&AuditText { reasoning: Some(text), ..AuditText::default() });
    let (texts, by_term) = texts(&embed, 2_000);
    let corpus = Corpus::known();
    let (mut by_estimate, mut by_vector, mut by_signs, mut looked_at, mut all) = (0, 0, 0, 0, 0usize);
    for (place, family) in corpus.families.iter().step_by(2).enumerate() {
        // Whole queries, and their first words.
        let words = if place % 2 == 0 { usize::MAX } else { 3 };
        let asked: Vec<String> =
            TASKS.map(|task| task.query(family).split_whitespace().take(words).collect::<Vec<_>>().join(" ")).into();
        for embedding in asked.into_iter().filter_map(embed) {
            let known = embedding.features.terms.iter().filter_map(|term| Some((term.clone(), *by_term.get(term)?)));
            let frequencies = Frequencies { patterns: 2_000, by_term: known.collect() };
            let query = Query::new(&embedding.features, &frequencies);
            let best = highest(texts.iter().map(|text| score(&query.compare(&text.profile), 0.0, true)), 10);
            let estimate = query.estimate();
            let products: Vec<f32> = texts.iter().map(|text| product(&text.vector, &estimate.numbers)).collect();
            let both = texts.iter().zip(&products);
            let estimated: Vec<f64> =
                both.map(|(text, product)| f64::from(estimate.of(*product, Some(&text.meaning)))).collect();
            let near = texts.iter().map(|text| f64::from(product(&text.vector, &embedding.vector)));
            by_estimate += highest(estimated.iter().copied(), 100).intersection(&best).count();
            by_vector += highest(near, 100).intersection(&best).count();
            // The signs of meanings pass over many texts, and over none of the best.
            let mut sorted = estimated;
            sorted.sort_by(|a, b| b.total_cmp(a));
            let may_be = |at: &usize| {
                f64::from(estimate.at_most(products[*at], Some(&texts[*at].meaning.signs()))) >= sorted[99]
            };
            by_signs += best.iter().filter(|at| may_be(at)).count();
            looked_at += (0..texts.len()).filter(may_be).count();
            all += 10;
        }
    }
    let share = |found: usize| found as f64 / all as f64; // far below 2^53
    let (by_estimate, by_vector, by_signs) = (share(by_estimate), share(by_vector), share(by_signs));
    println!("of the ten best among 2,000, the first 100 have {by_estimate:.3} by estimate, {by_vector:.3} by vector");
    assert!(by_estimate > 0.97 && by_estimate > by_vector, "{by_estimate} {by_vector}");
    let looked_at = share(looked_at) * 10.0 / texts.len() as f64; // as above
    println!("the signs leave {by_signs:.3} of the ten best, and {looked_at:.3} of all");
    assert!(by_signs > 0.98 && looked_at < 0.6, "{by_signs} {looked_at}");
}
