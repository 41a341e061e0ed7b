//! What the stages of a prediction take, each alone, and the operations that they are made of.

use std::path::Path;
use std::time::Instant;

use candle_core::{DType, Device, Tensor};
use candle_nn::{Module as _, ops};
use mekiki::model::ModelError;
use mekiki::model::processor::PixelPatches;
use mekiki::model::qwen_vl::{Cache, ImageEmbedding, Run, Segment};
use rayon::prelude::*;

use crate::pictures::picture;
use crate::{dtype, load, median, ms, project};

type Done = Result<(), ModelError>;

/// Times work that ends on the device: median and fastest of a few runs after one to warm up.
fn time(device: &Device, name: &str, mut work: impl FnMut() -> Done) {
    let mut once = || -> Result<(f64, f64), ModelError> {
        device.synchronize()?;
        let start = Instant::now();
        work()?;
        let asked = ms(start);
        device.synchronize()?;
        Ok((ms(start), asked))
    };
    let times = once().and_then(|_| (0..5).map(|_| once()).collect::<Result<Vec<_>, _>>());
    match times {
        Ok(times) => {
            let (all, asked) = times.into_iter().unzip();
            println!("  {name:44} {:9.3} ms, asked for in {:.3}", median(all), median(asked));
        }
        Err(error) => println!("  {name:44} failed: {error}"),
    }
}

pub(crate) fn run(dir: &Path, device: &Device, batches: &[usize]) {
    if !device.is_cpu() {
        operations(device);
    }
    let predictor = load(dir, device, dtype(device), &project(dir), false);
    let (model, processor) = (predictor.model(), predictor.processor());
    for batch in batches.iter().copied() {
        println!("batch {batch}");
        let pictures: Vec<_> = (0..batch as u32).map(|seed| picture(seed + 5000)).collect();
        let start = Instant::now();
        let pixels: Vec<PixelPatches> = pictures.par_iter().map(|picture| processor.images.patches_of_rgb(picture).unwrap()).collect();
        println!("  {:44} {:9.3} ms", "resize and patches, all threads", ms(start));
        let values = pixels.iter().map(|pixels| pixels.values.len()).sum::<usize>();
        time(device, "pixels: one vector, upload, cast", || {
            let mut all = Vec::with_capacity(values);
            for pixels in &pixels {
                all.extend_from_slice(&pixels.values);
            }
            Tensor::from_vec(all, values, device)?.to_dtype(dtype(device))?;
            Ok(())
        });
        let start = Instant::now();
        let placed: Vec<_> = pixels.par_iter().map(|pixels| model.place(pixels.clone()).unwrap()).collect();
        device.synchronize().unwrap();
        println!("  {:44} {:9.3} ms", "pixels brought to the device, all threads", ms(start));
        time(device, "tower", || model.embed_placed(&placed).map(drop));
        let Ok(seen) = model.embed_placed(&placed) else { continue };
        if let Err(error) = text(&predictor, batch, &seen, device) {
            println!("  failed: {error}");
        }
    }
}

fn ids(count: usize, seed: u32) -> Vec<u32> {
    (0..count as u32).map(|i| 300 + (i * 37 + seed * 101) % 300).collect()
}

fn text(predictor: &mekiki::model::predictor::Predictor, batch: usize, seen: &[ImageEmbedding], device: &Device) -> Done {
    let model = predictor.model();
    let image = |seen: &ImageEmbedding| [vec![model.config().image_token; seen.main.dim(0).unwrap()], ids(1, 9)].concat();
    let shared = Segment { ids: [ids(150, 1), image(&seen[0]), ids(180, 2), image(&seen[0])].concat(), images: vec![seen[0].clone(); 2] };
    let mut prefix = model.cache(1, shared.ids.len())?;
    time(device, &format!("a prefix of {} tokens", shared.ids.len()), || {
        prefix.truncate(0);
        model.forward(&mut prefix, std::slice::from_ref(&shared)).map(drop)
    });
    let queries: Vec<Segment> =
        seen.iter().map(|seen| Segment { ids: [image(seen), ids(6, 3)].concat(), images: vec![seen.clone()] }).collect();
    let (used, more) = (prefix.len(), queries[0].ids.len());
    let rows: Vec<(&Cache, usize)> = vec![(&prefix, 0); batch];
    time(device, "prefixes laid out for the batch", || Cache::join(&rows, used + more + 96).map(drop));
    let mut cache = Cache::join(&rows, used + more + 96)?;
    time(device, &format!("queries of {more} tokens"), || {
        cache.truncate(used);
        model.forward(&mut cache, &queries).map(drop)
    });
    for (branches, tokens) in [(1, 1), (1, 4), (4, 4), (1, 45), (8, 4)] {
        time(device, &format!("a step of {branches} branches of {tokens} tokens"), || {
            cache.truncate(used + more);
            let run = Run { ids: ids(tokens, 4), sees: std::iter::once(0..used + more).collect(), position: 900 };
            model.forward_runs(&mut cache, &vec![vec![run; branches]; batch]).map(drop)
        });
    }
    let hidden = Tensor::randn(0_f32, 1.0, (batch, model.config().text.hidden), device)?.to_dtype(model.dtype())?;
    time(device, "logits of a token each", || model.logits(&hidden).map(drop));
    time(device, "log of the sum of the exponentials", || {
        model.logits(&hidden)?.log_sum_exp(candle_core::D::Minus1)?;
        Ok(())
    });
    let some: Vec<u32> = (0..60).collect();
    time(device, "60 candidates' logits in f32", || model.logits_of(&hidden, &some).map(drop));
    Ok(())
}

/// Single operations at the sizes of the tower with 32 images, and of the text model with 32 queries.
fn operations(device: &Device) {
    println!("operations, bf16");
    let random = |shape: &[usize]| Tensor::randn(0_f32, 1.0, shape, device).and_then(|x| x.to_dtype(DType::BF16)).unwrap();
    let images = 32;
    let rows = images * 784;
    let (x, wide, inner) = (random(&[rows, 1024]), random(&[rows, 3072]), random(&[rows, 4096]));
    let (weight, bias, bias4) = (random(&[1024]), random(&[1024]), random(&[4096]));
    let (to_wide, to_inner, from_inner) = (random(&[3072, 1024]), random(&[4096, 1024]), random(&[1024, 4096]));
    let op = |name: &str, work: &dyn Fn() -> candle_core::Result<Tensor>| {
        time(device, name, || {
            work()?;
            Ok(())
        });
    };
    op("tower: layer norm", &|| ops::layer_norm(&x, &weight, &bias, 1e-6));
    op("tower: 1024 to 3072", &|| x.matmul(&to_wide.t()?));
    op("tower: 1024 to 4096", &|| x.matmul(&to_inner.t()?));
    op("tower: 4096 to 1024", &|| inner.matmul(&from_inner.t()?));
    op("tower: bias of 4096", &|| inner.broadcast_add(&bias4));
    op("tower: gelu (tanh) of 4096", &|| candle_nn::Activation::GeluPytorchTanh.forward(&inner));
    op("tower: gelu (candle's) of 4096", &|| inner.gelu());
    op("tower: sum of 1024", &|| &x + &x);
    let apart = || wide.reshape((images, 784, 3, 16, 64))?.permute((2, 0, 3, 1, 4))?.contiguous();
    op("tower: queries, keys, values apart", &apart);
    let apart = apart().unwrap();
    let (cos, sin) = (random(&[784, 32]), random(&[784, 32]));
    op("tower: rotation", &|| candle_nn::rotary_emb::rope(&apart.narrow(0, 0, 2)?.reshape((64, 16, 784, 64))?, &cos, &sin));
    let (query, key) = (apart.get(0).unwrap(), apart.get(1).unwrap());
    op("tower: scale of queries", &|| &query * 0.125);
    op("tower: scores", &|| query.matmul(&key.t()?));
    let scores = query.matmul(&key.t().unwrap()).unwrap();
    op("tower: softmax", &|| ops::softmax_last_dim(&scores));
    op("tower: values", &|| scores.matmul(&key));
    op("tower: heads together", &|| query.transpose(1, 2)?.reshape((rows, 1024)));
    drop(scores);
    let rows = images * 202;
    let (x, inner) = (random(&[rows, 2048]), random(&[rows, 6144]));
    let (to_inner, from_inner, square) = (random(&[6144, 2048]), random(&[2048, 6144]), random(&[2048, 2048]));
    let weight = random(&[2048]);
    op("text: norm", &|| ops::rms_norm(&x, &weight, 1e-6));
    op("text: 2048 to 2048", &|| x.matmul(&square.t()?));
    op("text: 2048 to 6144", &|| x.matmul(&to_inner.t()?));
    op("text: 6144 to 2048", &|| inner.matmul(&from_inner.t()?));
    op("text: silu of 6144", &|| inner.silu());
    op("text: product of 6144", &|| &inner * &inner);
    let heads = x.reshape((images, 202, 16, 128)).unwrap();
    op("text: heads apart", &|| heads.transpose(1, 2)?.contiguous());
    let query = heads.transpose(1, 2).unwrap().contiguous().unwrap();
    let keys = random(&[images, 8, 1020, 128]);
    let keys = keys.narrow(2, 0, 950).unwrap();
    let grouped = query.reshape((images, 8, 404, 128)).unwrap();
    op("text: scores", &|| grouped.matmul(&keys.transpose(2, 3)?));
    let scores = grouped.matmul(&keys.transpose(2, 3).unwrap()).unwrap();
    let mask = random(&[1, 1, 202, 950]);
    op("text: mask", &|| scores.reshape((images, 16, 202, 950))?.broadcast_add(&mask));
    op("text: softmax", &|| ops::softmax_last_dim(&scores));
    op("text: values", &|| scores.matmul(&keys));
    let tiny = random(&[8, 128]);
    time(device, "1000 launches of a small sum", || {
        for _ in 0..1000 {
            let _ = (&tiny + &tiny)?;
        }
        Ok(())
    });
}
