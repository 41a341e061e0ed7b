//! A byte-level BPE tokenizer as the Qwen family has it, learnt from the project's texts.

use serde_json::{Value, json};
use tokenizers::models::bpe::{BPE, BpeTrainerBuilder};
use tokenizers::normalizers::NFC;
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{AddedToken, SplitDelimiterBehavior, Tokenizer, TokenizerBuilder};

/// How the family takes text apart before merging.
const WORDS: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// The most tokens that are learnt, special ones included.
const MOST: usize = 4096;
/// The bytes' own tokens.
const BYTES: usize = 256;

/// The family's special tokens.
const SPECIAL: [&str; 14] = [
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|object_ref_start|>",
    "<|object_ref_end|>",
    "<|box_start|>",
    "<|box_end|>",
    "<|quad_start|>",
    "<|quad_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
];

/// Special tokens that a `config.json` names by their ids.
pub(super) const IN_CONFIG: [(&str, &str); 4] = [
    ("image_token_id", "<|image_pad|>"),
    ("video_token_id", "<|video_pad|>"),
    ("vision_start_token_id", "<|vision_start|>"),
    ("vision_end_token_id", "<|vision_end|>"),
];

/// A `tokenizer.json`, and the ids of its special tokens.
pub(super) type Learnt = (String, Vec<(&'static str, u32)>);

/// The text of a `tokenizer.json` of at most `vocabulary` tokens, and the ids of the special ones, which stand last.
pub(super) fn learn(texts: &[String], vocabulary: usize) -> Result<Learnt, String> {
    let fewest = BYTES + SPECIAL.len();
    if vocabulary < fewest {
        return Err(format!("expected a vocabulary of at least {fewest} tokens, got {vocabulary}"));
    }
    let told = |error: tokenizers::Error| format!("no tokenizer could be made: {error}");
    let words = Split::new(SplitPattern::Regex(WORDS.to_owned()), SplitDelimiterBehavior::Isolated, false).map_err(told)?;
    let bytes = ByteLevel::new(false, false, false);
    let mut trainer = BpeTrainerBuilder::new()
        .show_progress(false)
        .vocab_size(vocabulary.min(MOST) - SPECIAL.len())
        .min_frequency(1)
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .build();
    let mut built = TokenizerBuilder::<BPE, NFC, Sequence, ByteLevel, ByteLevel>::new()
        .with_model(BPE::default())
        .with_normalizer(Some(NFC))
        .with_pre_tokenizer(Some(Sequence::new(vec![PreTokenizerWrapper::Split(words), PreTokenizerWrapper::ByteLevel(bytes)])))
        .with_post_processor(Some(bytes))
        .with_decoder(Some(bytes))
        .build()
        .map_err(told)?;
    built.train(&mut trainer, texts.iter()).map_err(told)?;
    let mut tokenizer = Tokenizer::from_bytes(built.to_string(false).map_err(told)?).map_err(told)?;
    tokenizer.add_special_tokens(SPECIAL.map(|name| AddedToken::from(name, true))).map_err(told)?;
    let ids = SPECIAL.iter().filter_map(|name| Some((*name, tokenizer.token_to_id(name)?))).collect();
    Ok((tokenizer.to_string(true).map_err(told)?, ids))
}

/// The `tokenizer_config.json`.
pub(super) fn settings() -> Value {
    json!({
        "tokenizer_class": "Qwen2Tokenizer", "processor_class": "Qwen3VLProcessor",
        "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "bos_token": null, "unk_token": null,
        "add_bos_token": false, "add_prefix_space": false, "clean_up_tokenization_spaces": false, "model_max_length": 32_768,
    })
}
