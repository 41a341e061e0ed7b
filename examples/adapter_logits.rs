//! Writes the logits of a checkpoint with an adapter for one question, for `check_peft.py` to compare with peft's.
//!
//! `adapter_logits CHECKPOINT ADAPTER IMAGE TEXT OUT.safetensors`: the file holds `ids` `[tokens]`, `grid` `[2]` (rows and
//! columns of patches), and in f32 `base` and `adapted` `[tokens, vocab]`.

use std::collections::HashMap;
use std::error::Error;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use mekiki::conversation::{ImagePart, ImageRole, Part, Role, Turn};
use mekiki::domain::{ImageRef, RelativePath};
use mekiki::model::adapter::{Adapter, Merged};
use mekiki::model::checkpoint::Checkpoint;
use mekiki::model::processor::Processor;
use mekiki::model::qwen_vl::{Model, Segment};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [base, adapter, picture, text, out] = arguments.as_slice() else {
        return Err("adapter_logits CHECKPOINT ADAPTER IMAGE TEXT OUT.safetensors".into());
    };
    let (base, device) = (Path::new(base), Device::Cpu);
    let checkpoint = Checkpoint::open(base)?;
    let config = checkpoint.config()?;
    let adapter = Adapter::load(Path::new(adapter))?;
    let plain = Model::new(&config, &checkpoint, &device, DType::F32)?;
    let adapted = Model::new(&config, &Merged { base: &checkpoint, adapter: &adapter }, &device, DType::F32)?;
    adapter.finish()?;
    let processor = Processor::load(base, &config)?;
    let patches = processor.images.patches_of_rgb(&image::open(picture)?.to_rgb8())?;
    let image = ImagePart { role: ImageRole::Query, image: ImageRef { folder: 0, path: RelativePath::new("query.png")? } };
    let turn = Turn { role: Role::User, parts: vec![Part::Text(text.clone()), Part::Image(image)] };
    let prompt = processor.prompt(&[turn], &[patches.grid], true)?;
    let logits = |model: &Model| -> Result<Tensor, Box<dyn Error>> {
        let segment = Segment { ids: prompt.ids.clone(), images: model.embed_images(std::slice::from_ref(&patches))? };
        Ok(model.logits(&model.forward_whole(&[segment])?.squeeze(0)?)?)
    };
    let grid = [patches.grid.height as u32, patches.grid.width as u32];
    let tensors = HashMap::from([
        ("ids", Tensor::new(prompt.ids.as_slice(), &device)?),
        ("grid", Tensor::new(&grid, &device)?),
        ("base", logits(&plain)?),
        ("adapted", logits(&adapted)?),
    ]);
    candle_core::safetensors::save(&tensors, out)?;
    Ok(())
}
