//! Reading what servers send: untrusted, so that only what is expected is taken, and all text is made safe before anybody
//! reads it.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::Value as Json;

use super::confidence::Token;
use crate::conversation::AnswerTemplate;
use crate::domain::{Field, Value, printable};

/// The most characters of a server's words that are shown.
const MOST_SHOWN: usize = 300;
/// The most models that are listed.
const MOST_MODELS: usize = 1000;
/// The most tokens of an answer that are looked at.
const MOST_TOKENS: usize = 100_000;

#[derive(Deserialize)]
struct RawCompletion {
    choices: Vec<RawChoice>,
}

#[derive(Deserialize)]
struct RawChoice {
    message: RawMessage,
    finish_reason: Option<String>,
    /// Read apart: an answer counts, whatever is told of its tokens.
    logprobs: Option<Json>,
}

#[derive(Deserialize)]
struct RawMessage {
    content: Option<String>,
    refusal: Option<String>,
}

#[derive(Deserialize)]
struct RawLogprobs {
    content: Vec<RawToken>,
}

#[derive(Deserialize)]
struct RawToken {
    token: String,
    bytes: Option<Vec<u8>>,
    logprob: f32,
    #[serde(default)]
    top_logprobs: Vec<RawOther>,
}

#[derive(Deserialize)]
struct RawOther {
    token: String,
    bytes: Option<Vec<u8>>,
    logprob: f32,
}

/// What a model said.
#[derive(Debug, PartialEq)]
pub(super) struct Completion {
    /// Its text, as it came.
    pub(super) text: String,
    /// Its tokens, where they were told.
    pub(super) tokens: Vec<Token>,
    /// Whether it was cut off.
    pub(super) cut: bool,
}

/// Reads a chat completion; fails with what is wrong with it.
pub(super) fn completion(bytes: &[u8]) -> Result<Completion, String> {
    let raw: RawCompletion = serde_json::from_slice(bytes).map_err(|error| shown(&error.to_string()))?;
    let choice = raw.choices.into_iter().next().ok_or("it has no choices")?;
    let text = choice.message.content.or(choice.message.refusal).unwrap_or_default();
    let logprobs = choice.logprobs.and_then(|logprobs| serde_json::from_value::<RawLogprobs>(logprobs).ok());
    let bytes_of = |bytes: Option<Vec<u8>>, token: String| bytes.unwrap_or_else(|| token.into_bytes());
    let token = |raw: RawToken| Token {
        bytes: bytes_of(raw.bytes, raw.token),
        log: raw.logprob,
        others: raw.top_logprobs.into_iter().map(|other| (bytes_of(other.bytes, other.token), other.logprob)).collect(),
    };
    let tokens = logprobs.into_iter().flat_map(|logprobs| logprobs.content).take(MOST_TOKENS).map(token).collect();
    Ok(Completion { text, tokens, cut: choice.finish_reason.as_deref() == Some("length") })
}

#[derive(Deserialize)]
struct RawModels {
    data: Vec<RawModel>,
}

#[derive(Deserialize)]
struct RawModel {
    id: String,
    #[serde(default)]
    owned_by: Option<String>,
}

/// Reads a list of models: names, made safe, and the first one's owner.
pub(super) fn models(bytes: &[u8]) -> Option<(Vec<String>, String)> {
    let raw: RawModels = serde_json::from_slice(bytes).ok()?;
    let owner = raw.data.first().and_then(|model| model.owned_by.clone()).unwrap_or_default();
    Some((raw.data.into_iter().take(MOST_MODELS).map(|model| shown(&model.id)).collect(), owner))
}

/// vLLM's version.
pub(super) fn version(bytes: &[u8]) -> Option<String> {
    let said: Json = serde_json::from_slice(bytes).ok()?;
    Some(shown(said.get("version")?.as_str()?))
}

/// What an error's body says: its message where it has one, else its text.
pub(super) fn said(bytes: &[u8]) -> String {
    let json: Option<Json> = serde_json::from_slice(bytes).ok();
    let message = json.as_ref().and_then(|body| {
        let inner = body.get("error").unwrap_or(body);
        ["message", "detail"].iter().find_map(|key| inner.get(key)).or(Some(inner))
    });
    match message {
        Some(Json::String(text)) => shown(text),
        Some(other) => shown(&other.to_string()),
        None => shown(&String::from_utf8_lossy(&bytes[..bytes.len().min(4 * MOST_SHOWN)])),
    }
}

/// A server's words made safe for a terminal, on one line and short.
pub(super) fn shown(text: &str) -> String {
    let line = text.trim().replace(['\n', '\r', '\t'], " ");
    let mut short: String = line.chars().take(MOST_SHOWN).collect();
    if short.len() < line.len() {
        short.push('…');
    }
    printable(&short).into_owned()
}

/// An answer in JSON, as [`Guidance::JsonSchema`](super::Guidance) asks for, written as the template would; `None` where the text is
/// no JSON object.
pub(super) fn from_json(template: &AnswerTemplate, text: &str) -> Option<Vec<(String, String)>> {
    let Json::Object(said) = serde_json::from_str(text.trim()).ok()? else { return None };
    let text_of = |field: &Field, value: &Json| match value {
        Json::String(text) => text.clone(),
        Json::Array(values) if values.is_empty() => field.render(&Value::Choices(BTreeSet::new())),
        Json::Array(values) => values.iter().filter_map(Json::as_str).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    };
    Some(template.fields().filter_map(|field| Some((field.id.to_string(), text_of(field, said.get(field.id.as_str())?)))).collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_servers_send() {
        let body = r#"{"id":"x","choices":[{"index":0,"message":{"role":"assistant","content":"ab"},"finish_reason":"stop",
            "logprobs":{"content":[{"token":"a","logprob":-0.5,"top_logprobs":[{"token":"a","bytes":[97],"logprob":-0.5}]},
            {"token":"?","bytes":[98],"logprob":-0.1,"top_logprobs":[]}]}}]}"#;
        let read = completion(body.as_bytes()).unwrap();
        assert_eq!((read.text.as_str(), read.cut, read.tokens.len()), ("ab", false, 2));
        assert_eq!(read.tokens[1].bytes, b"b");
        let odd = r#"{"choices":[{"message":{"content":"x"},"logprobs":{"tokens":["x"]},"finish_reason":"length"}]}"#;
        assert_eq!(completion(odd.as_bytes()).unwrap(), Completion { text: "x".to_owned(), tokens: Vec::new(), cut: true });
        for wrong in ["", "[]", "{\"choices\":[]}", "{\"choices\":1}", "<html>"] {
            assert!(completion(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn words_are_made_safe_and_short() {
        assert_eq!(said(br#"{"error":{"message":"no \u001b]0;x\u0007 model"}}"#), "no \u{fffd}]0;x\u{fffd} model");
        assert_eq!(said(br#"{"detail":"gone"}"#), "gone");
        assert_eq!(said(b"<h1>\nBad</h1>"), "<h1> Bad</h1>");
        assert_eq!(said(&[b'x'; 5000]).chars().count(), MOST_SHOWN + 1);
        assert_eq!(models(br#"{"data":[{"id":"m\u001b","owned_by":"vllm"}]}"#).unwrap(), (vec!["m\u{fffd}".to_owned()], "vllm".to_owned()));
        assert_eq!(version(br#"{"version":"0.12.0"}"#).as_deref(), Some("0.12.0"));
    }
}
