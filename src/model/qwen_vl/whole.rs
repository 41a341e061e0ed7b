//! Whole conversations read at once, as training does: what does not depend on the weights is laid out beforehand, on any
//! thread; an image that several conversations show goes through the tower once.

use std::collections::HashMap;
use std::ops::Range;

use candle_core::{DType, Device, Tensor};
use image::RgbImage;

use super::gradient::known;
use super::positions::{TextAngles, positions};
use super::{Config, Mode, Model};
use crate::model::ModelError;
use crate::model::processor::{Grid, ImageProcessor};

/// A conversation in tokens.
#[derive(Debug, Clone)]
pub struct WholeRow {
    /// Token ids, every image's placeholder repeated once per token of the image.
    pub ids: Vec<u32>,
    /// Which of the batch's images stands at each run of placeholders.
    pub images: Vec<usize>,
}

/// Conversations laid out for one pass; shorter ones are padded at their ends.
#[derive(Debug, Clone)]
pub struct Whole {
    pub(super) rows: usize,
    pub(super) tokens: usize,
    /// `rows · tokens` token ids, 0 at padding.
    pub(super) ids: Vec<u32>,
    /// Tables of cosines and sines, a row of `head_dim / 2` values for each position that occurs.
    pub(super) cos: Vec<f32>,
    pub(super) sin: Vec<f32>,
    /// Which row of the tables each token has.
    pub(super) angles: Vec<u32>,
    /// Grids of the batch's images.
    grids: Vec<Grid>,
    /// Per use of an image: which image, and the first of its places (row · tokens + token).
    uses: Vec<(usize, usize)>,
}

impl Whole {
    /// Lays conversations out; `grids` are those of the batch's images, and rows are as long as the longest conversation,
    /// made up to a multiple of `pad`.
    pub fn new(config: &Config, rows: &[WholeRow], grids: Vec<Grid>, pad: usize) -> Result<Self, ModelError> {
        let merge = config.vision.merge;
        let longest = rows.iter().map(|row| row.ids.len()).max().unwrap_or(0);
        let tokens = longest.next_multiple_of(pad.max(1));
        if tokens == 0 {
            return Err(ModelError::Prompt("conversations without tokens".to_owned()));
        }
        let mut ids = Vec::with_capacity(rows.len() * tokens);
        let mut angles = Vec::with_capacity(rows.len() * tokens);
        let mut uses = Vec::new();
        let (mut cos, mut sin) = (Vec::new(), Vec::new());
        let table = TextAngles::new(&config.text.rotation, config.text.head_dim);
        let mut known: HashMap<[u32; 3], u32> = HashMap::new();
        let mut angle = |position: [u32; 3]| {
            let next = known.len() as u32;
            *known.entry(position).or_insert_with(|| {
                table.push(position, &mut cos, &mut sin);
                next
            })
        };
        for (nth, row) in rows.iter().enumerate() {
            if let Some(id) = row.ids.iter().find(|id| **id as usize >= config.text.vocab) {
                return Err(ModelError::Prompt(format!("token {id} of a vocabulary of {}", config.text.vocab)));
            }
            let shown = row
                .images
                .iter()
                .map(|image| grids.get(*image).copied().ok_or_else(|| ModelError::Prompt(format!("no image {image} of {}", grids.len()))));
            let shown = shown.collect::<Result<Vec<_>, _>>()?;
            let placed = positions(&row.ids, config.image_token, &shown, merge, 0)?;
            angles.extend(placed.each.iter().copied().chain(std::iter::repeat([0; 3])).take(tokens).map(&mut angle));
            let mut at = 0;
            for (image, grid) in row.images.iter().zip(&shown) {
                at += row.ids[at..].iter().take_while(|id| **id != config.image_token).count();
                uses.push((*image, nth * tokens + at));
                at += grid.patches() / (merge * merge);
            }
            ids.extend(row.ids.iter().copied().chain(std::iter::repeat(0)).take(tokens));
        }
        Ok(Self { rows: rows.len(), tokens, ids, cos, sin, angles, grids, uses })
    }

    /// Conversations.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Tokens of each, padding included.
    pub fn tokens(&self) -> usize {
        self.tokens
    }
}

/// Images as bytes on their way to the tower, those of one grid beside each other.
#[derive(Debug, Clone)]
pub struct Pictures {
    grids: Vec<Grid>,
    /// Per grid: the images that have it, and their sRGB bytes `[images, height, width, 3]`.
    groups: Vec<(Grid, Vec<usize>, Vec<u8>)>,
    /// What a byte of each channel is multiplied with, and what is added then.
    scale: [f32; 3],
    offset: [f32; 3],
}

impl Pictures {
    /// Takes images that have the size that the processor brings them to ([`ImageProcessor::resized`]).
    pub fn new(processor: &ImageProcessor, images: &[&RgbImage]) -> Result<Self, ModelError> {
        let mut grids = Vec::with_capacity(images.len());
        let mut groups: Vec<(Grid, Vec<usize>, Vec<u8>)> = Vec::new();
        for (nth, image) in images.iter().enumerate() {
            let (width, height) = image.dimensions();
            if processor.size(width, height)? != (width, height) {
                let reason = "expected one that has been brought to the checkpoint's size".to_owned();
                return Err(ModelError::Image { width, height, reason });
            }
            let grid = processor.grid(width, height)?;
            grids.push(grid);
            match groups.iter_mut().find(|(known, ..)| *known == grid) {
                Some((_, members, bytes)) => {
                    members.push(nth);
                    bytes.extend_from_slice(image.as_raw());
                }
                None => groups.push((grid, vec![nth], image.as_raw().clone())),
            }
        }
        let (scale, offset) = processor.normalisation();
        Ok(Self { grids, groups, scale, offset })
    }

    /// The images' grids, in their order.
    pub fn grids(&self) -> &[Grid] {
        &self.grids
    }
}

/// What the tower made of a batch's images.
#[derive(Debug, Clone)]
pub struct Features {
    /// `[tokens of all images, hidden]`: images of one grid beside each other.
    pub(super) main: Tensor,
    /// Per early layer of the text model, the same for what is added to its output.
    pub(super) deepstack: Vec<Tensor>,
    /// Per image: its tokens' rows.
    places: Vec<Range<usize>>,
}

/// Where features go, as tensors on the device.
#[derive(Debug)]
pub(super) struct Spread {
    /// Per place of the padded batch, the row of `[x; features]` that stands there.
    take: Tensor,
    /// Per place, the row of `[0; features]` that is added there.
    add: Tensor,
    /// Groups of images with equally many tokens.
    groups: Vec<SpreadGroup>,
    /// Per place, the row of `[0; gradient]` that the text's gradient is: none where features stand.
    keep: Tensor,
}

#[derive(Debug, Clone)]
struct SpreadGroup {
    images: usize,
    tokens: usize,
    /// Places at which the group's images stand, use by use.
    places: Tensor,
    /// `[images, uses]`: 1 where a use shows the image.
    members: Tensor,
}

impl Spread {
    fn new(whole: &Whole, features: &Features, device: &Device, dtype: DType) -> Result<Self, ModelError> {
        let places = whole.rows * whole.tokens;
        let mut take: Vec<u32> = (0..places as u32).collect();
        let mut add = vec![0_u32; places];
        let mut keep: Vec<u32> = (1..=places as u32).collect();
        for (image, start) in &whole.uses {
            let rows = features.places[*image].clone();
            for (at, row) in (*start..).zip(rows) {
                take[at] = (places + row) as u32;
                add[at] = row as u32 + 1;
                keep[at] = 0;
            }
        }
        // Images in the order of their rows, cut where the number of tokens changes.
        let mut order: Vec<usize> = (0..features.places.len()).collect();
        order.sort_by_key(|image| features.places[*image].start);
        let mut groups = Vec::new();
        for run in order.chunk_by(|one, other| features.places[*one].len() == features.places[*other].len()) {
            let tokens = features.places[run[0]].len();
            let nth: HashMap<usize, usize> = run.iter().enumerate().map(|(nth, image)| (*image, nth)).collect();
            let uses: Vec<(usize, usize)> = whole.uses.iter().filter_map(|(image, start)| Some((*nth.get(image)?, *start))).collect();
            let mut members = vec![0.0_f32; run.len() * uses.len()];
            for (column, (image, _)) in uses.iter().enumerate() {
                members[image * uses.len() + column] = 1.0;
            }
            let at: Vec<u32> = uses.iter().flat_map(|(_, start)| (*start as u32..).take(tokens)).collect();
            groups.push(SpreadGroup {
                images: run.len(),
                tokens,
                places: Tensor::new(at, device)?,
                members: Tensor::from_vec(members, (run.len(), uses.len()), device)?.to_dtype(dtype)?,
            });
        }
        Ok(Self { take: Tensor::new(take, device)?, add: Tensor::new(add, device)?, groups, keep: Tensor::new(keep, device)? })
    }

    /// `x` with features in the places of images.
    pub(super) fn place(&self, x: &Tensor, features: &Tensor) -> Result<Tensor, ModelError> {
        let value = Tensor::cat(&[x.detach(), features.detach()], 0)?.index_select(&self.take, 0)?;
        let (keep, groups, text, images) = (self.keep.clone(), self.groups.clone(), x.track_op(), features.track_op());
        Ok(known([x, features], value, move |gradient| {
            let kept = if text { Some(with_nothing(gradient)?.index_select(&keep, 0)?) } else { None };
            Ok([kept, if images { Some(gathered(&groups, gradient)?) } else { None }])
        })?)
    }

    /// `x` with features added in the places of images.
    pub(super) fn add(&self, x: &Tensor, features: &Tensor) -> Result<Tensor, ModelError> {
        let added = with_nothing(&features.detach())?.index_select(&self.add, 0)?;
        let value = (x.detach() + added)?;
        let (groups, images) = (self.groups.clone(), features.track_op());
        Ok(known([x, features], value, move |gradient| {
            Ok([Some(gradient.clone()), if images { Some(gathered(&groups, gradient)?) } else { None }])
        })?)
    }
}

/// A row of zeros before the others.
fn with_nothing(x: &Tensor) -> candle_core::Result<Tensor> {
    Tensor::cat(&[&Tensor::zeros((1, x.dim(1)?), x.dtype(), x.device())?, x], 0)
}

/// The features' gradients: those of all places at which they stand, summed.
fn gathered(groups: &[SpreadGroup], gradient: &Tensor) -> candle_core::Result<Tensor> {
    let width = gradient.dim(1)?;
    let parts = groups.iter().map(|group| {
        let shape = (group.images * group.tokens, width);
        if group.members.dim(1)? == 0 {
            return Tensor::zeros(shape, gradient.dtype(), gradient.device());
        }
        let uses = gradient.index_select(&group.places, 0)?.reshape((group.members.dim(1)?, group.tokens * width))?;
        group.members.matmul(&uses)?.reshape(shape)
    });
    let parts = parts.collect::<candle_core::Result<Vec<_>>>()?;
    if let [one] = parts.as_slice() { Ok(one.clone()) } else { Tensor::cat(&parts, 0) }
}

/// Rows of `x`, of which none is taken twice. The gradient goes back by the same way, without the sums of
/// [`Tensor::index_select`], whose kernel adds one row after the other.
pub(super) fn pick(x: &Tensor, rows: &[u32]) -> Result<Tensor, ModelError> {
    let (count, _) = x.dims2()?;
    let value = x.detach().index_select(&Tensor::new(rows, x.device())?, 0)?;
    let mut back = vec![0_u32; count];
    for (nth, row) in rows.iter().enumerate() {
        back[*row as usize] = nth as u32 + 1;
    }
    let back = Tensor::new(back, x.device())?;
    Ok(known([x], value, move |gradient| Ok([Some(with_nothing(gradient)?.index_select(&back, 0)?)]))?)
}

/// Rows of an embedding table. Its gradient is a product with a table of which token stands where, over those tokens only
/// that occur.
pub(super) fn look_up(table: &Tensor, ids: &[u32]) -> Result<Tensor, ModelError> {
    let device = table.device();
    let value = table.detach().index_select(&Tensor::new(ids, device)?, 0)?;
    let vocabulary = table.dim(0)?;
    if !table.track_op() {
        return Ok(value);
    }
    let mut nth = vec![0_u32; vocabulary];
    let mut distinct = 0;
    for id in ids {
        let known = &mut nth[*id as usize];
        if *known == 0 {
            distinct += 1;
            *known = distinct;
        }
    }
    let which: Vec<u32> = ids.iter().map(|id| nth[*id as usize] - 1).collect();
    let which = Tensor::from_vec(which, (1, ids.len()), device)?;
    let nth = Tensor::new(nth, device)?;
    Ok(known([table], value, move |gradient| {
        let each = Tensor::arange(0, distinct, gradient.device())?.reshape((distinct as usize, 1))?;
        let one_hot = which.broadcast_eq(&each)?.to_dtype(gradient.dtype())?;
        let sums = one_hot.matmul(gradient)?;
        Ok([Some(with_nothing(&sums)?.index_select(&nth, 0)?)])
    })?)
}

impl Model {
    /// What the vision tower makes of a batch's images, each computed once; gradients pass.
    pub fn features(&self, pictures: &Pictures) -> Result<Features, ModelError> {
        let mut places = vec![0..0; pictures.grids.len()];
        let (mut main, mut deepstack) = (Vec::new(), Vec::<Vec<Tensor>>::new());
        let again = self.again.as_ref().filter(|_| self.tower_mode == Mode::Train);
        let mut start = 0;
        let merge = self.config.vision.merge;
        for (grid, members, bytes) in &pictures.groups {
            let tokens = grid.patches() / (merge * merge);
            for image in members {
                places[*image] = start..start + tokens;
                start += tokens;
            }
            let patches = self.patches(*grid, members.len(), bytes, pictures)?;
            let (made, levels) = self.vision.features(*grid, members.len(), &patches, self.tower_mode, again)?;
            main.push(made);
            for (nth, level) in levels.into_iter().enumerate() {
                match deepstack.get_mut(nth) {
                    Some(known) => known.push(level),
                    None => deepstack.push(vec![level]),
                }
            }
        }
        let join = |parts: Vec<Tensor>| if let [one] = parts.as_slice() { Ok(one.clone()) } else { Tensor::cat(&parts, 0) };
        Ok(Features { main: join(main)?, deepstack: deepstack.into_iter().map(join).collect::<Result<_, _>>()?, places })
    }

    /// `[images · patches, 3 · patch²]` of one frame, normalised on the device.
    fn patches(&self, grid: Grid, images: usize, bytes: &[u8], pictures: &Pictures) -> Result<Tensor, ModelError> {
        let (merge, patch) = (self.config.vision.merge, self.config.vision.patch);
        let (down, across) = (grid.height / merge, grid.width / merge);
        let pixels = Tensor::from_slice(bytes, vec![images, down, merge, patch, across, merge, patch, 3], &self.device)?;
        let pixels = pixels.permute(vec![0, 1, 4, 2, 5, 7, 3, 6])?.contiguous()?.to_dtype(DType::F32)?;
        let count = images * grid.patches();
        let (scale, offset) = (pictures.scale, pictures.offset);
        let pixels = if scale == [scale[0]; 3] && offset == [offset[0]; 3] {
            pixels.affine(f64::from(scale[0]), f64::from(offset[0]))?
        } else {
            let channel = |values: [f32; 3]| Tensor::new(&values, &self.device)?.reshape((1, 3, 1));
            pixels.reshape((count, 3, patch * patch))?.broadcast_mul(&channel(scale)?)?.broadcast_add(&channel(offset)?)?
        };
        Ok(pixels.reshape((count, 3 * patch * patch))?.to_dtype(self.dtype)?)
    }

    /// Reads whole conversations; returns the normalised hidden states `[rows · tokens, hidden]`.
    pub fn read(&self, whole: &Whole, features: &Features) -> Result<Tensor, ModelError> {
        if whole.grids.len() != features.places.len() {
            return Err(ModelError::Prompt(format!("{} images for {}", features.places.len(), whole.grids.len())));
        }
        let spread = Spread::new(whole, features, &self.device, self.dtype)?;
        self.text.read(whole, features, &spread, self.mode, self.again.as_ref())
    }

    /// Rows of hidden states `[rows · tokens, hidden]` at places (row · tokens + token), of which none occurs twice.
    pub fn pick(&self, hidden: &Tensor, places: &[u32]) -> Result<Tensor, ModelError> {
        if let Some(place) = places.iter().find(|place| **place as usize >= hidden.dims()[0]) {
            return Err(ModelError::Prompt(format!("no place {place} of {}", hidden.dims()[0])));
        }
        pick(hidden, places)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use candle_core::Var;
    use serde_json::json;

    use super::*;
    use crate::model::qwen_vl::{Segment, parameters};

    const IMAGE: u32 = 40;

    fn config() -> Config {
        let text = json!({
            "model_type": "qwen3_vl", "tie_word_embeddings": true, "image_token_id": IMAGE,
            "text_config": {
                "vocab_size": 50, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 3, "num_attention_heads": 4,
                "num_key_value_heads": 2, "head_dim": 8,
                "rope_parameters": { "rope_theta": 10000.0, "mrope_section": [2, 1, 1], "mrope_interleaved": true },
            },
            "vision_config": {
                "depth": 3, "hidden_size": 16, "intermediate_size": 20, "num_heads": 2, "patch_size": 4, "spatial_merge_size": 2,
                "out_hidden_size": 16, "num_position_embeddings": 16, "deepstack_visual_indexes": [0, 1],
            },
        });
        Config::parse(&text.to_string(), Path::new("config.json")).unwrap()
    }

    fn variables(config: &Config) -> HashMap<String, Var> {
        let drawn = |(nth, (name, shape)): (usize, (String, Vec<usize>))| {
            let values = (0..shape.iter().product::<usize>()).map(|at| ((at * 7 + nth * 13) as f32 * 0.61).sin() * 0.4);
            let tensor = Tensor::from_iter(values, &Device::Cpu).unwrap().reshape(shape).unwrap();
            (name, Var::from_tensor(&tensor).unwrap())
        };
        parameters(config).unwrap().into_iter().enumerate().map(drawn).collect()
    }

    fn picture(width: u32, height: u32, seed: u32) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| image::Rgb([(x * 9 + seed * 31) as u8, (y * 17 + seed) as u8, (x * y + 3 * seed) as u8]))
    }

    /// Text with runs of placeholders, one for each image.
    fn ids(before: &[u32], tokens: &[usize], after: &[u32]) -> Vec<u32> {
        let shown = tokens.iter().flat_map(|count| std::iter::repeat_n(IMAGE, *count).chain([7]));
        before.iter().copied().chain(shown).chain(after.iter().copied()).collect()
    }

    #[test]
    fn a_batch_is_read_as_its_conversations_are_one_by_one() {
        let config = config();
        let variables = variables(&config);
        let folder = tempfile::tempdir().unwrap();
        let settings = json!({ "patch_size": 4, "image_mean": [0.5, 0.4, 0.6], "image_std": [0.5, 0.6, 0.4],
            "size": { "shortest_edge": 64, "longest_edge": 4096 } });
        std::fs::write(folder.path().join("preprocessor_config.json"), settings.to_string()).unwrap();
        let processor = ImageProcessor::load(folder.path(), &config).unwrap();
        // Two sizes; the first image is shown three times.
        let images = [picture(24, 16, 1), picture(24, 16, 2), picture(16, 16, 3)];
        let rows = [
            WholeRow { ids: ids(&[1, 2, 3], &[6, 6], &[4, 5, 6, 8]), images: vec![0, 1] },
            WholeRow { ids: ids(&[9], &[4, 6], &[4, 3, 8, 9, 10, 11]), images: vec![2, 0] },
            WholeRow { ids: ids(&[3, 1], &[6], &[2]), images: vec![0] },
        ];
        let tensors: HashMap<String, Tensor> = variables.iter().map(|(name, var)| (name.clone(), var.as_tensor().clone())).collect();
        let mut model = Model::new(&config, &tensors, &Device::Cpu, DType::F32).unwrap();
        model.set_mode(Mode::Train);
        let pictures = Pictures::new(&processor, &images.each_ref()).unwrap();
        let whole = Whole::new(&config, &rows, pictures.grids().to_vec(), 8).unwrap();
        let hidden = model.read(&whole, &model.features(&pictures).unwrap()).unwrap();
        let places: Vec<u32> =
            rows.iter().enumerate().flat_map(|(nth, row)| (0..row.ids.len()).map(move |at| (nth * 24 + at) as u32)).collect();
        assert_eq!((whole.tokens(), hidden.dims2().unwrap()), (24, (72, 16)));
        let together = model.pick(&hidden, &places).unwrap();
        let apart: Vec<Tensor> = rows
            .iter()
            .map(|row| {
                let patches: Vec<_> = row.images.iter().map(|nth| processor.patches_of_rgb(&images[*nth]).unwrap()).collect();
                let segment = Segment { ids: row.ids.clone(), images: model.embed_images(&patches).unwrap() };
                model.forward_whole(&[segment]).unwrap().squeeze(0).unwrap()
            })
            .collect();
        let apart = Tensor::cat(&apart, 0).unwrap();
        let difference =
            |one: &Tensor, other: &Tensor| -> f32 { (one - other).unwrap().abs().unwrap().max_all().unwrap().to_scalar().unwrap() };
        assert!(difference(&together, &apart) < 2e-5, "{}", difference(&together, &apart));
        let way: Vec<f32> = (0..together.elem_count()).map(|at| (at as f32 * 0.43).sin()).collect();
        let way = Tensor::from_vec(way, together.dims(), &Device::Cpu).unwrap();
        let [together, apart] = [together, apart].map(|y| (y * &way).unwrap().sum_all().unwrap().backward().unwrap());
        for (name, var) in &variables {
            let (one, other) = (together.get(var).unwrap(), apart.get(var).unwrap());
            let size: f32 = other.abs().unwrap().max_all().unwrap().to_scalar().unwrap();
            let apart = difference(one, other) / size.max(1e-3);
            assert!(apart < 2e-4, "{name}: {apart}");
        }
        // Looking without learning comes to the same.
        model.set_mode(Mode::Infer);
        let looked = model.read(&whole, &model.features(&pictures).unwrap()).unwrap();
        let picked = |hidden: &Tensor| model.pick(&hidden.detach(), &places).unwrap();
        assert!(difference(&picked(&looked), &picked(&hidden)) < 2e-5);
    }
}
