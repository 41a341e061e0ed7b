//! Which server it is, and how that one wants to be told what answers look like.

use serde_json::{Map, Value as Json, json};

use super::pattern::{MOST_LISTED, Pattern, json_schema, pattern};
use super::{Guidance, ServerError};
use crate::conversation::AnswerTemplate;
use crate::domain::Schema;

/// Servers that are told apart, by what `/v1/models` says of the models' owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavour {
    /// vLLM; whether it is older than `structured_outputs` (0.11).
    Vllm(bool),
    /// SGLang.
    Sglang,
    /// llama.cpp's own server.
    LlamaCpp,
    /// Any other.
    Other,
}

impl Flavour {
    /// By a model's `owned_by`, and vLLM's own version.
    pub(super) fn new(owner: &str, version: Option<&str>) -> Self {
        match owner {
            "vllm" => Self::Vllm(version.is_some_and(|version| number(version) < (0, 11))),
            "sglang" => Self::Sglang,
            "llamacpp" => Self::LlamaCpp,
            _ => Self::Other,
        }
    }

    /// What a person calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Vllm(_) => "vLLM",
            Self::Sglang => "SGLang",
            Self::LlamaCpp => "llama.cpp",
            Self::Other => "OpenAI-compatible",
        }
    }
}

fn number(version: &str) -> (u32, u32) {
    let mut parts = version.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}

/// What a request says about the format of its answer.
#[derive(Debug, Clone)]
pub(super) struct Told {
    /// What it is: the setting that asks for it by name.
    pub(super) guidance: Guidance,
    /// The keys of the request.
    pub(super) keys: Map<String, Json>,
}

/// What to say on this server; with [`Guidance::Auto`], the pattern of the trained answer text in the server's own words.
pub(super) fn told(schema: &Schema, template: &AnswerTemplate, flavour: Flavour, wanted: Guidance) -> Result<Told, ServerError> {
    let pattern =
        pattern(schema, template).ok_or_else(|| ServerError::Schema("the rules between the fields leave no answer".to_owned()))?;
    let chosen = match (wanted, flavour) {
        // llama.cpp knows no expressions and lists, SGLang no lists; their own forms say the same.
        (Guidance::Auto, Flavour::Vllm(_)) | (Guidance::Auto | Guidance::Choice, Flavour::Sglang) => Guidance::Regex,
        (Guidance::Auto | Guidance::Regex | Guidance::Choice, Flavour::LlamaCpp) => Guidance::Grammar,
        (Guidance::Auto, Flavour::Other) => Guidance::None,
        (wanted, _) => wanted,
    };
    let keys = match (chosen, flavour) {
        (Guidance::Auto | Guidance::None, _) => json!({}),
        (Guidance::Regex, Flavour::Vllm(true)) => json!({ "guided_regex": pattern.regex() }),
        (Guidance::Regex, Flavour::Sglang) => json!({ "regex": pattern.regex() }),
        (Guidance::Regex, _) => json!({ "structured_outputs": { "regex": pattern.regex() } }),
        (Guidance::Grammar, Flavour::Vllm(true)) => json!({ "guided_grammar": pattern.gbnf() }),
        (Guidance::Grammar, Flavour::Vllm(false)) => json!({ "structured_outputs": { "grammar": pattern.gbnf() } }),
        (Guidance::Grammar, Flavour::Sglang) => json!({ "ebnf": pattern.gbnf() }),
        (Guidance::Grammar, _) => json!({ "grammar": pattern.gbnf() }),
        (Guidance::Choice, Flavour::Vllm(true)) => json!({ "guided_choice": listed(&pattern)? }),
        (Guidance::Choice, _) => json!({ "structured_outputs": { "choice": listed(&pattern)? } }),
        (Guidance::JsonSchema, _) => {
            let schema = json!({ "name": "answer", "strict": true, "schema": json_schema(template) });
            json!({ "response_format": { "type": "json_schema", "json_schema": schema } })
        }
    };
    let Json::Object(keys) = keys else { return Err(ServerError::Schema("no keys".to_owned())) };
    Ok(Told { guidance: chosen, keys })
}

fn listed(pattern: &Pattern) -> Result<Vec<String>, ServerError> {
    pattern.listed().ok_or_else(|| {
        ServerError::Schema(format!("there are more than {MOST_LISTED} allowed answers; set guidance to \"regex\" instead of \"choice\""))
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::model::server::testing::pins;

    #[test]
    fn each_server_is_told_in_its_own_words() {
        let (schema, template) = pins();
        let keys = |owner: &str, version: Option<&str>, wanted| {
            let said = told(&schema, &template, Flavour::new(owner, version), wanted).unwrap();
            (said.keys.keys().next().cloned().unwrap_or_default(), said.guidance)
        };
        assert_eq!(keys("vllm", Some("0.12.0"), Guidance::Auto), ("structured_outputs".to_owned(), Guidance::Regex));
        assert_eq!(keys("vllm", Some("0.10.2"), Guidance::Auto), ("guided_regex".to_owned(), Guidance::Regex));
        assert_eq!(keys("sglang", None, Guidance::Choice), ("regex".to_owned(), Guidance::Regex));
        assert_eq!(keys("llamacpp", None, Guidance::Auto), ("grammar".to_owned(), Guidance::Grammar));
        assert_eq!(keys("me", None, Guidance::Auto), (String::new(), Guidance::None));
        assert_eq!(keys("me", None, Guidance::JsonSchema), ("response_format".to_owned(), Guidance::JsonSchema));
        assert!(told(&schema, &template, Flavour::Vllm(false), Guidance::Choice).unwrap_err().to_string().contains("regex"));
    }
}
