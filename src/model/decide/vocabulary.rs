//! What the grammar needs to know of a tokenizer.

use tokenizers::Tokenizer;

/// A tokenizer whose tokens spell their text byte by byte.
pub trait Vocabulary {
    /// The tokens of a text, special tokens in it recognised, nothing added around it.
    fn encode(&self, text: &str) -> Result<Vec<u32>, String>;
    /// The bytes that a token stands for; `None` for an id that is none.
    fn bytes(&self, token: u32) -> Option<&[u8]>;
    /// Whether the token is matched as a whole before the text is taken apart, such as `<|im_end|>`.
    fn is_added(&self, token: u32) -> bool;
    /// One more than the largest id.
    fn len(&self) -> u32;
    /// Whether there is no token at all.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A `tokenizer.json` of the byte-level kind, as the Qwen family has.
#[derive(Debug, Clone)]
pub struct HfVocabulary {
    tokenizer: Tokenizer,
    bytes: Vec<Option<Box<[u8]>>>,
    added: Vec<bool>,
}

/// Larger ids are those of no known tokenizer, and would take memory by the table.
const MOST_TOKENS: u32 = 1 << 22;

impl HfVocabulary {
    /// Lists the tokens' bytes.
    pub fn new(tokenizer: Tokenizer) -> Self {
        let listed = tokenizer.get_vocab(true);
        let len = listed.values().filter(|id| **id < MOST_TOKENS).max().map_or(0, |id| *id as usize + 1);
        let (mut bytes, mut added) = (vec![None; len], vec![false; len]);
        let specials = tokenizer.get_added_tokens_decoder();
        for (token, id) in listed {
            let (Some(place), Some(is_added)) = (bytes.get_mut(id as usize), added.get_mut(id as usize)) else { continue };
            *is_added = specials.contains_key(&id);
            let spelled = if *is_added { None } else { token.chars().map(byte_of).collect::<Option<Vec<u8>>>() };
            *place = Some(spelled.unwrap_or_else(|| token.into_bytes()).into_boxed_slice());
        }
        Self { tokenizer, bytes, added }
    }

    /// The tokenizer itself.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }
}

impl Vocabulary for HfVocabulary {
    fn encode(&self, text: &str) -> Result<Vec<u32>, String> {
        self.tokenizer.encode_fast(text, false).map(|encoding| encoding.get_ids().to_vec()).map_err(|error| error.to_string())
    }

    fn bytes(&self, token: u32) -> Option<&[u8]> {
        self.bytes.get(token as usize)?.as_deref()
    }

    fn is_added(&self, token: u32) -> bool {
        self.added.get(token as usize).copied().unwrap_or(false)
    }

    fn len(&self) -> u32 {
        self.bytes.len() as u32
    }
}

/// The byte that a character of the byte-level alphabet stands for: printable ones for themselves, the other 68 in
/// ascending order from U+0100.
fn byte_of(c: char) -> Option<u8> {
    let itself = |b: u8| matches!(b, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    match u32::from(c) {
        code @ 0..=0xff => u8::try_from(code).ok().filter(|b| itself(*b)),
        code @ 0x100..=0x143 => (0..=255_u8).filter(|b| !itself(*b)).nth((code - 0x100) as usize),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use tokenizers::pre_tokenizers::byte_level::ByteLevel;

    use super::byte_of;

    #[test]
    fn the_byte_alphabet_is_the_tokenizers() {
        let alphabet = ByteLevel::alphabet();
        let bytes: BTreeSet<u8> = alphabet.iter().filter_map(|c| byte_of(*c)).collect();
        assert_eq!((alphabet.len(), bytes.len()), (256, 256));
        assert_eq!((byte_of('Ġ'), byte_of('Ċ'), byte_of('a'), byte_of('あ')), (Some(b' '), Some(b'\n'), Some(b'a'), None));
    }
}
