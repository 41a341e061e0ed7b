//! Training goes through the same code: nothing is silently left out of it.

use std::collections::HashMap;

use candle_core::{DType, Device, Tensor, Var};
use mekiki::model::checkpoint::{Checkpoint, Source};
use mekiki::model::qwen_vl::{LowRank, Mode, Model, parameters};
use mekiki::model::{ModelError, qwen_vl};

use crate::{FAMILIES, Fixture, difference, folder};

#[test]
fn every_parameter_gets_a_gradient() {
    for family in FAMILIES {
        let fixture = Fixture::load(family);
        let checkpoint = Checkpoint::open(&folder(family)).unwrap();
        let config = checkpoint.config().unwrap();
        let wanted = parameters(&config).unwrap();
        let variables: HashMap<String, Var> = wanted
            .iter()
            .map(|(name, shape)| (name.clone(), Var::from_tensor(&checkpoint.tensor(name, shape).unwrap()).unwrap()))
            .collect();
        let tensors: HashMap<String, Tensor> = variables.iter().map(|(name, var)| (name.clone(), var.as_tensor().clone())).collect();
        let mut model = Model::new(&config, &tensors, &Device::Cpu, DType::F32).unwrap();
        model.set_mode(Mode::Train);
        let (_, talk) = &fixture.talks[1];
        let segment = qwen_vl::Segment { ids: talk.ids(), images: model.embed_images(&fixture.patches(talk)).unwrap() };
        let hidden = model.forward_whole(&[segment]).unwrap().squeeze(0).unwrap();
        let log_probabilities = candle_nn::ops::log_softmax(&model.logits(&hidden).unwrap(), 1).unwrap();
        let loss = log_probabilities.narrow(1, 3, 1).unwrap().mean_all().unwrap().neg().unwrap();
        let gradients = loss.backward().unwrap();
        for (name, var) in &variables {
            let gradient = gradients.get(var).unwrap_or_else(|| panic!("{family}: {name} has no gradient"));
            let size: f32 = gradient.abs().unwrap().max_all().unwrap().to_scalar().unwrap();
            // A bias of the keys moves all scores of a query alike, which the softmax takes away.
            let nothing = name.ends_with("k_proj.bias");
            assert!(size.is_finite() && (nothing || size > 1e-9), "{family}: {name} has the gradient {size}");
        }
        // The names and shapes are those of the checkpoint, all of them.
        let there: Vec<(String, Vec<usize>)> = checkpoint.tensors().map(|(name, shape)| (name.to_owned(), shape.to_vec())).collect();
        let mut wanted = wanted;
        wanted.sort();
        assert_eq!(wanted, there);
    }
}

/// A checkpoint with factors beside some weights, or with their product added.
struct Adapted<'a> {
    base: &'a Checkpoint,
    merged: bool,
}

impl Adapted<'_> {
    fn factors(name: &str) -> Option<LowRank> {
        let (rows, columns) = match name {
            "model.language_model.layers.1.self_attn.q_proj.weight" => (64, 48),
            "model.visual.blocks.0.attn.qkv.weight" => (72, 24),
            _ => return None,
        };
        let wave = |n: usize| (0..n).map(|i| (i as f32 * 0.7).sin() * 0.3).collect::<Vec<f32>>();
        let a = Tensor::from_vec(wave(3 * columns), (3, columns), &Device::Cpu).unwrap();
        let b = Tensor::from_vec(wave(rows * 3), (rows, 3), &Device::Cpu).unwrap();
        Some(LowRank { a, b, scale: 0.5, dropout: None })
    }
}

impl Source for Adapted<'_> {
    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Tensor, ModelError> {
        let weight = self.base.tensor(name, shape)?;
        match Self::factors(name).filter(|_| self.merged) {
            Some(LowRank { a, b, scale, .. }) => Ok((weight + (b.matmul(&a)? * scale)?)?),
            None => Ok(weight),
        }
    }

    fn low_rank(&self, name: &str) -> Result<Option<LowRank>, ModelError> {
        Ok(Self::factors(name).filter(|_| !self.merged))
    }
}

#[test]
fn low_rank_factors_at_run_time_are_as_good_as_merged() {
    let fixture = Fixture::load("qwen3");
    let base = Checkpoint::open(&folder("qwen3")).unwrap();
    let (_, talk) = &fixture.talks[0];
    let logits: Vec<Vec<Vec<f32>>> = [true, false]
        .into_iter()
        .map(|merged| {
            let model = Model::new(fixture.model.config(), &Adapted { base: &base, merged }, &Device::Cpu, DType::F32).unwrap();
            let segment = qwen_vl::Segment { ids: talk.ids(), images: model.embed_images(&fixture.patches(talk)).unwrap() };
            fixture.logits_of(&model.forward_whole(&[segment]).unwrap())
        })
        .collect();
    assert!(difference(&logits[0], &logits[1]) <= 2e-5);
    let plain = fixture.logits_of(&fixture.model.forward_whole(&[fixture.segment(talk)]).unwrap());
    assert!(difference(&logits[0], &plain) > 0.1);
}
