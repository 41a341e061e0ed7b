//! What a model is told: versioned text per image type, and for the exemplar.

/// One version of the instructions in one language, for one image type or for all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstructionText {
    /// The version it belongs to.
    pub version: String,
    /// The language, for example `en` or `ja`.
    pub language: String,
    /// The image type it is for; every type without an own text, when absent.
    pub image_type: Option<String>,
    /// What is said with reference and query.
    pub query: String,
    /// What is said with the exemplar.
    pub exemplar: String,
}

/// All versions, and the one in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instructions {
    /// The version in use.
    pub version: String,
    /// The language in use.
    pub language: String,
    /// Every text.
    pub texts: Vec<InstructionText>,
}

impl Instructions {
    /// The text in use for an image type: its own, else the one for all types.
    pub fn for_type(&self, image_type: &str) -> Option<&InstructionText> {
        let in_use = |text: &&InstructionText| text.version == self.version && text.language == self.language;
        let own = self.texts.iter().filter(in_use).find(|text| text.image_type.as_deref() == Some(image_type));
        own.or_else(|| self.texts.iter().filter(in_use).find(|text| text.image_type.is_none()))
    }

    /// What identifies the instructions in use in predictions and provenance, for example `2/en`.
    pub fn identity(&self) -> String {
        format!("{}/{}", self.version, self.language)
    }
}
