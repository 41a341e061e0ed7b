//! How a model elsewhere is kept to the format of answers.

/// The form in which a server is told what an answer may look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Guidance {
    /// What keeps the trained answer text on the server that is found; nothing on an unknown one.
    #[default]
    Auto,
    /// A regular expression of all answers: vLLM, SGLang.
    Regex,
    /// A GBNF grammar of all answers: llama.cpp.
    Grammar,
    /// The list of all answers, where they are few enough.
    Choice,
    /// A JSON schema: the model then answers in JSON, which is not the text that it was trained on.
    JsonSchema,
    /// Nothing: what comes is read with patience.
    None,
}

impl Guidance {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Auto, Self::Regex, Self::Grammar, Self::Choice, Self::JsonSchema, Self::None];

    /// The name in settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Regex => "regex",
            Self::Grammar => "grammar",
            Self::Choice => "choice",
            Self::JsonSchema => "json_schema",
            Self::None => "none",
        }
    }

    /// The guidance of this name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|guidance| guidance.name() == text)
    }
}
