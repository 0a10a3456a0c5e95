//! Runs all-MiniLM-L6-v2 on this machine. A vector has the model's 384 numbers and 384 numbers of hashed words. The
//! model's part is 0.8 of the vector's square, the words' part is 0.2.

use super::engine::{Engine, embedding, of_length_one, told};
use super::{Builtin, Embedding, VECTOR_LENGTH};
use crate::domain::audit_text::AuditText;
use crate::error::EngineFault;
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::bert::{BertModel, Config};
use std::path::Path;
use tokenizers::{PaddingParams, Tokenizer, TruncationParams};

/// Most tokens of a text. The model was trained with no more.
const TOKENS: usize = 256;
/// Most texts of one pass through the model.
const AT_ONCE: usize = 8;
const HALF: usize = VECTOR_LENGTH / 2;
const MODEL_SHARE: f32 = 0.8;

pub(super) struct MiniLm {
    model: BertModel,
    tokenizer: Tokenizer,
}

impl MiniLm {
    pub fn load(folder: &Path) -> Result<Self, String> {
        let read = |name: &str| {
            let path = folder.join(name);
            std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))
        };
        let named = |name: &str, error: &dyn std::fmt::Display| format!("{}: {error}", folder.join(name).display());
        let config: Config = serde_json::from_slice(&read("config.json")?).map_err(|e| named("config.json", &e))?;
        if config.hidden_size != HALF {
            return Err(named("config.json", &format!("a model of {} numbers, {HALF} are needed", config.hidden_size)));
        }
        let weights = read("model.safetensors")?;
        let model = VarBuilder::from_buffered_safetensors(weights, DType::F32, &Device::Cpu)
            .and_then(|weights| BertModel::load(weights, &config))
            .map_err(|error| named("model.safetensors", &error))?;
        let mut tokenizer =
            Tokenizer::from_bytes(read("tokenizer.json")?).map_err(|error| named("tokenizer.json", &error))?;
        tokenizer.with_padding(Some(PaddingParams::default()));
        let truncation = TruncationParams { max_length: TOKENS, ..TruncationParams::default() };
        tokenizer.with_truncation(Some(truncation)).map_err(|error| named("tokenizer.json", &error))?;
        Ok(MiniLm { model, tokenizer })
    }

    /// The mean of the last layer over the tokens of a text, without the padding, brought to length 1.
    fn encode(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, candle_core::Error> {
        let encodings = self.tokenizer.encode_batch(texts.to_vec(), true).map_err(candle_core::Error::wrap)?;
        let rows = |of: fn(&tokenizers::Encoding) -> &[u32]| {
            let rows: Result<Vec<Tensor>, _> =
                encodings.iter().map(|encoding| Tensor::new(of(encoding), &Device::Cpu)).collect();
            Tensor::stack(&rows?, 0)
        };
        let (ids, mask) = (rows(tokenizers::Encoding::get_ids)?, rows(tokenizers::Encoding::get_attention_mask)?);
        let states = self.model.forward(&ids, &ids.zeros_like()?, Some(&mask))?;
        let mask = mask.to_dtype(DType::F32)?.unsqueeze(2)?;
        let sum = states.broadcast_mul(&mask)?.sum(1)?;
        let mean = sum.broadcast_div(&mask.sum(1)?)?;
        Ok(mean.to_vec2::<f32>()?.into_iter().map(of_length_one).collect())
    }
}

impl Engine for MiniLm {
    fn embed(&mut self, texts: &[AuditText], words: &Builtin) -> Result<Vec<Embedding>, EngineFault> {
        let mut embeddings = Vec::with_capacity(texts.len());
        for part in texts.chunks(AT_ONCE) {
            let told: Vec<String> = part.iter().map(|text| told(text, false)).collect();
            let encoded = self.encode(&told).map_err(|error| EngineFault::Refused(error.to_string()))?;
            for ((text, told), model) in part.iter().zip(&told).zip(encoded) {
                let known = words.embed(text);
                embeddings.push(embedding(both(&model, known.as_ref()), told, known));
            }
        }
        Ok(embeddings)
    }
}

/// The model's numbers, then as many numbers of hashed words. The vector of the words has twice as many, so its two
/// halves are added.
fn both(model: &[f32], words: Option<&Embedding>) -> Vec<f32> {
    let hashed = words.map_or_else(
        || vec![0.0; HALF],
        |words| of_length_one((0..HALF).map(|at| words.vector[at] + words.vector[at + HALF]).collect()),
    );
    let scaled = |vector: &[f32], share: f32| vector.iter().map(|x| x * share.sqrt()).collect::<Vec<_>>();
    [scaled(model, MODEL_SHARE), scaled(&hashed, 1.0 - MODEL_SHARE)].concat()
}
