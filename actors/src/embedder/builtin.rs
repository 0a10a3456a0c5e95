//! The built-in embedder: it hashes words. It is deterministic, keeps no state, and needs no model file.
//!
//! Each field of an audit's text becomes a vector of length 1; these are weighted and summed. So a long error text does not drown a short
//! alert name. Which features a text has is told in `text/`.

use super::feature::hash_feature;
use super::first::FirstReader;
use super::text::{CODE, DETAIL, Kind, TURNED, TextReader, one_form};
use super::{Embedding, Features, VECTOR_LENGTH};
use crate::domain::audit_text::AuditText;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap, HashSet};
use uuid::Uuid;

/// The id of this embedder's space. It must change whenever a text would get another vector.
pub const ID: &str = "builtin-2";

/// The fields: alert name, reasoning, error text, workload, attributes. Each has its weight in the vector, its weight in the exact comparison,
/// and its usual length in words.
const FIELDS: [Field; 5] = [
    Field { in_vector: 0.5, in_comparison: 1.0, usual: 3.0, is_aside: false },
    Field { in_vector: 1.0, in_comparison: 1.0, usual: 25.0, is_aside: false },
    Field { in_vector: 0.3, in_comparison: 0.3, usual: 20.0, is_aside: false },
    Field { in_vector: 0.25, in_comparison: 0.15, usual: 3.0, is_aside: true },
    Field { in_vector: 0.25, in_comparison: 0.15, usual: 20.0, is_aside: true },
];
/// Constants of BM25: how soon a repeated word stops counting more (`K1`), and how much less a word counts in a long
/// text (`B`).
const K1: f32 = 1.2;
const B: f32 = 0.4;
/// Most features of a text. If a text has more, the weightiest are kept.
const MOST_FEATURES: usize = 400;

struct Field {
    in_vector: f32,
    in_comparison: f32,
    usual: f32,
    /// Whether it stands aside of what is told: a workload, attributes.
    is_aside: bool,
}

impl Kind {
    fn in_vector(self) -> f32 {
        match self {
            Kind::Concept | Kind::Form => 0.5,
            Kind::Compound | Kind::Word => 1.0,
        }
    }

    /// Concepts, forms and compounds count less here than in a vector. A vector only has to find candidates; the comparison looks at all
    /// words of a text.
    fn in_comparison(self) -> f32 {
        match self {
            Kind::Concept | Kind::Form => 0.4,
            Kind::Compound => 0.7,
            Kind::Word => 1.0,
        }
    }
}

/// The weight of each feature. The map is sorted, so that equal features always give equal sums.
type Weights = BTreeMap<String, f32>;

/// Embeds a text by its words.
#[derive(Default)]
pub struct Builtin {
    reader: TextReader,
    first: FirstReader,
}

/// How often a field has each feature, and how many words the field has.
#[derive(Default)]
struct Counts {
    features: BTreeMap<String, (u32, Kind)>,
    words: u32,
}

/// A query in words.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct QueryWords {
    /// How each word is written that a term stands for; for a concept, the first of its words.
    pub words: HashMap<String, String>,
    /// The terms of words that count by themselves: no concepts, no compounds, no other forms of words.
    pub terms: Vec<String>,
    /// Terms that count if a store knows them: numbers that may be codes, and forms of words in languages that the query may be in.
    pub loose: Vec<AddedTerm>,
}

/// A term that is added to a query.
#[derive(Debug, Clone, PartialEq)]
pub struct AddedTerm {
    pub term: String,
    /// In the comparison; a word that is there once weighs 1.
    pub weight: f32,
    pub written: String,
    /// The usual term of the word, if this is another form of it: it counts only if that one is no word that operators use.
    pub form_of: Option<String>,
}

impl Builtin {
    /// The embedding of a text; `None` if the text has no feature.
    pub fn embed(&self, text: &AuditText) -> Option<Embedding> {
        embedding(text.parts().map(|part| {
            let part = one_form(part);
            self.reader.read(&part).into_iter().map(|feature| (feature.term, feature.kind)).collect()
        }))
    }

    /// The embedding that `builtin-1` made of a text.
    pub fn embed_first(&self, text: &AuditText) -> Option<Embedding> {
        embedding(text.parts().into_iter().take(3).map(|part| self.first.read(part)))
    }

    /// The words of a query.
    pub fn written(&self, text: &AuditText) -> QueryWords {
        let mut written = QueryWords::default();
        let mut terms = HashSet::new();
        for part in text.parts() {
            let part = one_form(part);
            for feature in self.reader.read(&part) {
                if feature.kind == Kind::Word && terms.insert(feature.term.clone()) {
                    written.terms.push(feature.term.clone());
                }
                written.words.entry(feature.term).or_insert_with(|| feature.written.to_owned());
            }
            let loose = self.reader.read_loose(&part).into_iter();
            written.loose.extend(loose.map(|feature| AddedTerm {
                weight: feature.kind.in_comparison(),
                form_of: (feature.kind == Kind::Form).then(|| self.reader.usual_stem(feature.written)),
                term: feature.term,
                written: feature.written.to_owned(),
            }));
        }
        written
    }
}

/// The embedding of the fields with these features.
fn embedding(fields: impl IntoIterator<Item = Vec<(String, Kind)>>) -> Option<Embedding> {
    let (mut for_vector, mut compared) = (Weights::new(), Weights::new());
    for (features, field) in fields.into_iter().zip(&FIELDS) {
        let counts = Counts::of(features);
        add(&mut for_vector, counts.of_length_one(), field.in_vector, field.is_aside);
        add(&mut compared, counts.saturated(field.usual), field.in_comparison, field.is_aside);
    }
    let for_vector = weightiest(for_vector);
    let mut vector = vec![0f32; VECTOR_LENGTH];
    for (feature, value) in &for_vector {
        let (at, sign) = place(hash_feature(feature));
        vector[at] += sign * value;
    }
    let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    // The features may cancel each other out. Then the sum has no direction.
    if length < 1e-6 {
        return None;
    }
    vector.iter_mut().for_each(|x| *x /= length);
    let pattern = pattern(&for_vector);
    compared.retain(|feature, _| for_vector.contains_key(feature));
    let (terms, weights) = compared.into_iter().unzip();
    Some(Embedding { vector, features: Features { terms, weights }, pattern })
}

/// Adds the features of a field. What stands aside adds nothing to a feature that the text itself has.
fn add(sum: &mut Weights, features: Weights, part: f32, is_aside: bool) {
    for (feature, weight) in features {
        let known = sum.entry(feature).or_default();
        if !is_aside || *known == 0.0 {
            *known += part * weight;
        }
    }
}

/// The number of a vector that a feature adds to, and its sign there, by the feature's hash.
pub fn place(hash: u64) -> (usize, f32) {
    let sign = if hash >> 63 == 0 { 1.0 } else { -1.0 };
    ((hash % VECTOR_LENGTH as u64) as usize, sign) // below VECTOR_LENGTH
}

impl Embedding {
    /// What a text without features has.
    pub fn empty() -> Self {
        Embedding { vector: vec![0.0; VECTOR_LENGTH], features: Features::default(), pattern: Uuid::nil() }
    }

    /// The embedding of a query with more terms; those that it has already keep their weight. `is_hashed`: the vector has the words' hashes.
    pub fn with_terms(&self, added: &[AddedTerm], is_hashed: bool) -> Embedding {
        let mut made = self.clone();
        let mut terms: BTreeMap<String, f32> =
            self.features.iter().map(|(term, weight)| (term.to_owned(), weight)).collect();
        // In a vector of length 1, what a word has on the average.
        let usual = 1.0 / (terms.len().max(1) as f32).sqrt(); // far below 2^24
        for added in added {
            if terms.contains_key(&added.term) {
                continue;
            }
            terms.insert(added.term.clone(), added.weight);
            if is_hashed {
                let (at, sign) = place(hash_feature(&added.term));
                made.vector[at] += sign * added.weight * usual;
            }
        }
        let length = made.vector.iter().map(|x| x * x).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
        made.vector.iter_mut().for_each(|x| *x /= length);
        let (terms, weights) = terms.into_iter().unzip();
        made.features = Features { terms, weights };
        made
    }
}

impl Counts {
    fn of(features: Vec<(String, Kind)>) -> Self {
        let mut counts = Counts::default();
        for (feature, kind) in features {
            counts.words += u32::from(kind == Kind::Word);
            let entry = counts.features.entry(feature).or_insert((0, kind));
            entry.0 += 1;
            entry.1 = entry.1.max(kind);
        }
        counts
    }

    /// The weight of each feature times 1 + ln(count), scaled so that all of them together have length 1.
    fn of_length_one(&self) -> Weights {
        let weighted = self.features.iter().map(|(feature, (count, kind))| {
            (feature.clone(), kind.in_vector() * (1.0 + (*count as f32).ln())) // far below 2^24
        });
        let mut weights: Weights = weighted.collect();
        let length = weights.values().map(|x| x * x).sum::<f32>().sqrt();
        weights.values_mut().for_each(|x| *x /= length);
        weights
    }

    /// The weight of each feature, as BM25 weighs a term in a document. A word that appears once in a field of the
    /// usual length weighs 1.
    fn saturated(&self, usual: f32) -> Weights {
        let long = K1 * (1.0 - B + B * self.words as f32 / usual); // far below 2^24
        let weigh = |count: u32| count as f32 * (K1 + 1.0) / (count as f32 + long); // as above
        let weighted = self
            .features
            .iter()
            .map(|(feature, (count, kind))| (feature.clone(), kind.in_comparison() * weigh(*count)));
        weighted.collect()
    }
}

fn weightiest(features: Weights) -> Weights {
    if features.len() <= MOST_FEATURES {
        return features;
    }
    let mut ranked: Vec<(String, f32)> = features.into_iter().collect();
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    ranked.truncate(MOST_FEATURES);
    ranked.into_iter().collect()
}

/// The words of a text as the comparison uses them: names are split, words are in lower case and stemmed, and stop words are left out.
pub fn split_words(text: &str) -> Vec<String> {
    thread_local!(static READER: TextReader = TextReader::default());
    READER.with(|reader| reader.words(&one_form(text)))
}

/// The terms of the known words that a word is made of, at least two; none if other letters would be left.
pub fn split_known(word: &str, is_known: impl Fn(&str) -> bool) -> Vec<String> {
    thread_local!(static READER: TextReader = TextReader::default());
    READER.with(|reader| reader.split(word, is_known))
}

/// Whether a term is a word of a language, and not a code, a version, a limit or a word that is turned.
pub fn is_plain(term: &str) -> bool {
    !term.starts_with([CODE, DETAIL, TURNED, '='])
}

/// The term of a word that a negation turns.
pub fn turned(term: &str) -> String {
    format!("{TURNED}{term}")
}

/// Whether a term is a code.
pub fn is_code(term: &str) -> bool {
    term.starts_with(CODE)
}

/// The id of a pattern. Texts with equal features have equal patterns.
fn pattern(features: &Weights) -> Uuid {
    let mut hash = Sha256::new();
    for (word, value) in features {
        hash.update(word);
        hash.update([0]);
        hash.update(value.to_bits().to_be_bytes());
    }
    let digest = hash.finalize();
    let mut head = [0; 16];
    head.copy_from_slice(&digest[..16]);
    Uuid::from_bytes(head)
}

#[cfg(test)]
mod tests {
    use super::super::concepts::{FIRST, LATER};
    use super::super::first::ID as FIRST_ID;
    use super::*;

    fn text(alert: &str, reasoning: &str) -> AuditText {
        AuditText { alert_name: Some(alert.into()), reasoning: Some(reasoning.into()), ..AuditText::default() }
    }

    fn cosine(a: &AuditText, b: &AuditText) -> f32 {
        let embedder = Builtin::default();
        let (a, b) = (embedder.embed(a).expect("features"), embedder.embed(b).expect("features"));
        a.vector.iter().zip(&b.vector).map(|(a, b)| a * b).sum()
    }

    /// Vectors with the same id are compared with each other for ever. So a change of the vectors needs a new [`ID`],
    /// and a new digest here. The digest covers all concepts and all fields.
    #[test]
    fn the_id_changes_with_the_vectors() {
        let embedder = Builtin::default();
        let digest = |embed: &dyn Fn(&AuditText) -> Option<Embedding>, lines: &[&str]| {
            let mut hash = Sha256::new();
            for line in lines {
                let error_message = Some("exit code, OOMKilled twice twice".into());
                let made = embed(&AuditText { error_message, ..text("KubePodOOM", line) }).expect("features");
                for number in made.vector.iter().chain(&made.features.weights) {
                    hash.update(((number * 1e3).round() as i32).to_be_bytes()); // far below 2^31
                }
                hash.update(made.features.terms.join(" "));
            }
            format!("{:x}", hash.finalize())
        };
        let first = digest(&|text| embedder.embed_first(text), FIRST);
        assert_eq!(
            (FIRST_ID, first.as_str()),
            ("builtin-1", "52e93dcfcce11397623084676c080d4cd13a6f58cfd6fe26c368f8cdbe5c0e9e")
        );
        let told = ["exited with 137, not ready", "Kubernetes 1.29 on arm64: 内存不足", "imagepullbackoff"];
        let lines = [FIRST, LATER, &told].concat();
        let this = digest(&|text| embedder.embed(text), &lines);
        assert_eq!(
            (ID, this.as_str()),
            ("builtin-2", "a73de01377ac0ede6670749f9b1323cbfe6cc0c01aad326ed8f0899006409ee2")
        );
    }

    #[test]
    fn what_is_volatile_makes_no_pattern() {
        let embedder = Builtin::default();
        let of = |pod: &str, n: u32| {
            embedder.embed(&text("KubePodOOMKilled", &format!("pod {pod} restarted {n} times"))).expect("features")
        };
        assert_eq!(of("web-7d9f8b6c5-xk2lp", 3), of("web-5c4b7d9f88-zzqvw", 17));
        assert_ne!(of("web-7d9f8b6c5-xk2lp", 3).pattern, of("db-7d9f8b6c5-xk2lp", 3).pattern);
    }

    /// What stands aside adds nothing to what the text says.
    #[test]
    fn a_workload_named_in_the_text_changes_nothing() {
        let told = text("FlangeDrift", "the flange comparator drifted");
        let workload = |name: &str| AuditText { workload: Some(name.to_owned()), ..told.clone() };
        let embedder = Builtin::default();
        assert_eq!(embedder.embed(&workload("deployment/flange")), embedder.embed(&told));
        assert_ne!(embedder.embed(&workload("deployment/wombat")), embedder.embed(&told));
    }

    #[test]
    fn likeness_follows_the_words() {
        let asked = text("HighMemoryUsage", "memory of the web pods is high, scale up");
        let near = text("KubePodMemoryHigh", "pods used too much memory; scaled");
        let far = text("CertificateExpiry", "renewed the certificate of the ingress");
        assert!((cosine(&asked, &asked) - 1.0).abs() < 1e-5);
        assert!(cosine(&asked, &near) > cosine(&asked, &far) + 0.2);
    }

    #[test]
    fn a_text_without_features_has_no_vector() {
        for empty in ["", "12345 67", "…", "the a of"] {
            assert_eq!(Builtin::default().embed(&text(empty, empty)), None, "{empty}");
        }
    }
}
