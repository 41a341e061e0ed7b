//! Blocks that are computed again for their gradients give the loss and the gradients of those that keep everything, to the
//! last bit where sums have one order.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor, Var};
use image::RgbImage;
use mekiki::model::checkpoint::Checkpoint;
use mekiki::model::processor::ImageProcessor;
use mekiki::model::qwen_vl::{Config, Pictures, Whole, WholeRow, cross_entropy};
use mekiki::train::{Full, Lora, LoraPlan, Trainable};

fn folder(family: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/model").join(family)
}

fn picture(width: u32, height: u32, seed: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| image::Rgb([(x * 9 + seed * 31) as u8, (y * 17 + seed) as u8, (x * y + 3 * seed) as u8]))
}

/// Conversations about pictures, of which one is shown twice.
struct Talk {
    pictures: Pictures,
    whole: Whole,
    places: Vec<u32>,
    targets: Tensor,
    weights: Tensor,
}

impl Talk {
    fn of(base: &Path, config: &Config, third: (u32, u32)) -> Self {
        let processor = ImageProcessor::load(base, config).unwrap();
        let side = (config.vision.patch * config.vision.merge) as u32;
        let images = [picture(6 * side, 4 * side, 1), picture(6 * side, 4 * side, 2), picture(third.0 * side, third.1 * side, 3)];
        let images: Vec<RgbImage> = images.iter().map(|image| processor.resized(image).unwrap()).collect();
        let pictures = Pictures::new(&processor, &images.iter().collect::<Vec<_>>()).unwrap();
        let tokens: Vec<usize> = pictures.grids().iter().map(|grid| grid.patches() / (config.vision.merge * config.vision.merge)).collect();
        let row = |shown: &[usize], text: &[u32]| {
            let mut ids = vec![1, 2];
            for image in shown {
                ids.resize(ids.len() + tokens[*image], config.image_token);
                ids.push(3);
            }
            ids.extend(text);
            WholeRow { ids, images: shown.to_vec() }
        };
        let rows = [row(&[0, 1], &[4, 5, 6, 7, 8]), row(&[2, 0], &[9, 4, 3])];
        let whole = Whole::new(config, &rows, pictures.grids().to_vec(), 16).unwrap();
        let ends = rows.iter().enumerate().map(|(nth, row)| nth * whole.tokens() + row.ids.len());
        let places: Vec<u32> = ends.flat_map(|end| (end - 4..end - 1).map(|at| at as u32)).collect();
        let targets = Tensor::new(vec![5_u32, 6, 7, 8, 4, 3], &Device::Cpu).unwrap();
        let weights = Tensor::new(vec![0.1_f32, 0.2, 0.3, 0.15, 0.05, 0.2], &Device::Cpu).unwrap();
        Self { pictures, whole, places, targets, weights }
    }

    /// The loss, and each variable's gradient where it has one.
    fn learn(&self, trainable: &dyn Trainable, again: bool) -> (f32, Vec<Option<Vec<f32>>>) {
        let mut model = trainable.network(Some(3)).unwrap();
        if again {
            model.compute_again(trainable.variables().iter().map(|(_, var)| var)).unwrap();
        }
        let hidden = model.read(&self.whole, &model.features(&self.pictures).unwrap()).unwrap();
        let logits = model.logits(&model.pick(&hidden, &self.places).unwrap()).unwrap();
        let loss = cross_entropy(&logits, &self.targets, &self.weights).unwrap();
        let gradients = model.backward(&loss).unwrap();
        let flat = |tensor: &Tensor| tensor.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1().unwrap();
        let each = trainable.variables().iter().map(|(_, var)| gradients.get(var).map(flat));
        (loss.to_scalar().unwrap(), each.collect())
    }
}

/// Factors at their start have a B of zeros, which would give A no gradient.
fn draw(variables: &[(String, Var)]) {
    for (nth, (_, var)) in variables.iter().enumerate().filter(|(_, (name, _))| name.contains(".lora_")) {
        let values = (0..var.elem_count()).map(|at| ((at * 7 + nth * 13) as f32 * 0.61).sin() * 0.2);
        var.set(&Tensor::from_iter(values, &Device::Cpu).unwrap().reshape(var.shape()).unwrap()).unwrap();
    }
}

#[test]
fn what_is_computed_again_is_the_same() {
    for family in ["qwen2", "qwen2_5", "qwen3"] {
        let base = folder(family);
        let config = Checkpoint::open(&base).unwrap().config().unwrap();
        // Pictures of several sizes go through the tower one size after the other. What each adds to a gradient is then summed in
        // f32, and in bf16 where everything is kept: the same in f32 alone.
        let talks = [(DType::F32, Talk::of(&base, &config, (5, 5))), (DType::BF16, Talk::of(&base, &config, (6, 4)))];
        let some = LoraPlan { rank: 4, ..LoraPlan::default() };
        let plans = [
            None,
            Some(some.clone()),
            Some(LoraPlan { vision: true, dropout: 0.3, ..some.clone() }),
            Some(LoraPlan { targets: vec!["v_proj".to_owned()], whole: vec!["merger".to_owned()], ..some }),
        ];
        for lora in plans {
            for (dtype, talk) in &talks {
                let trainable: Box<dyn Trainable> = match &lora {
                    None => Box::new(Full::load(&base, &Device::Cpu, *dtype).unwrap()),
                    Some(lora) => Box::new(Lora::new(&base, lora, 1, &Device::Cpu, *dtype).unwrap()),
                };
                draw(trainable.variables());
                let (loss, kept) = talk.learn(trainable.as_ref(), false);
                let (same, again) = talk.learn(trainable.as_ref(), true);
                assert_eq!(loss.to_bits(), same.to_bits(), "{family} {lora:?} {dtype:?}");
                for ((name, _), (kept, again)) in trainable.variables().iter().zip(kept.iter().zip(&again)) {
                    let what = format!("{family} {lora:?} {dtype:?}: {name}");
                    let (kept, again) = (kept.as_ref().expect(&what), again.as_ref().expect(&what));
                    // Features added behind the last layer reach no answer.
                    let reaches = !name.contains("deepstack_merger_list.1");
                    assert!(!reaches || kept.iter().any(|value| *value != 0.0), "{what}: no gradient");
                    // What a block of this tower makes goes to the next block, beside it and to a merger: three gradients,
                    // which are summed in another order.
                    let allowed = match (family, name.contains("visual."), dtype) {
                        ("qwen3", true, DType::F32) => 1e-5,
                        ("qwen3", true, _) => 0.05,
                        _ => 0.0,
                    };
                    let most = kept.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
                    let apart = kept.iter().zip(again).fold(0.0_f32, |most, (one, other)| most.max((one - other).abs()));
                    assert!(apart <= allowed * most && apart.is_finite(), "{what}: another gradient, {apart} of {most} away");
                }
            }
        }
    }
}
