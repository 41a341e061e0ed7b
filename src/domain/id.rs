//! Names that come from outside, checked once where they enter.

use std::borrow::Borrow;
use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a name was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdError {
    /// What a good name looks like.
    pub expected: &'static str,
    /// The name that was given.
    pub got: String,
}

impl fmt::Display for IdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {}, got {:?}", self.expected, self.got)
    }
}

impl std::error::Error for IdError {}

macro_rules! checked_name {
    ($(#[$doc:meta])* $name:ident, $expected:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks and takes the name.
            pub fn new(name: impl Into<String>) -> Result<Self, IdError> {
                let name = name.into();
                let check: fn(&str) -> bool = $check;
                if check(&name) {
                    Ok(Self(name))
                } else {
                    Err(IdError { expected: $expected, got: name })
                }
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(name: String) -> Result<Self, IdError> {
                Self::new(name)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

checked_name!(
    /// The id of a field, for example `defect_mode`.
    FieldId,
    "a field id of 1 to 40 letters a-z, digits and '_', starting with a letter",
    |name| {
        name.len() <= 40
            && name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    }
);

checked_name!(
    /// The id of a sample, unique in its project. Any printable text without spaces at its ends.
    SampleId,
    "a sample id of 1 to 200 printable characters without spaces at its ends",
    |name| !name.is_empty() && name.chars().count() <= 200 && name.trim() == name && !has_control(name)
);

checked_name!(
    /// Who decides.
    ReviewerName,
    "a reviewer name of 1 to 80 printable characters without spaces at its ends",
    |name| !name.is_empty() && name.chars().count() <= 80 && name.trim() == name && !has_control(name)
);

checked_name!(
    /// A path below a known folder, with `/` between its parts and no way out: not absolute, no `..`, no empty part.
    RelativePath,
    "a relative path of at most 1,000 characters, without '..', empty parts, backslashes or control characters",
    |path| {
        path.len() <= 4000
            && path.chars().count() <= 1000
            && !has_control(path)
            && !path.contains('\\')
            && path.split('/').all(|part| !part.is_empty() && part != "." && part != "..")
    }
);

fn has_control(text: &str) -> bool {
    text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_cannot_leave_their_folder() {
        for good in ["a.png", "images/a b.png", "写真/良品 1.png", "..a/b.."] {
            assert!(RelativePath::new(good).is_ok(), "{good}");
        }
        for bad in ["", "/etc/passwd", "../a", "a/../b", "a//b", "a/", "./a", "a\\b", "a\u{1b}[2J"] {
            assert!(RelativePath::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn ids_carry_no_control_characters() {
        assert!(SampleId::new("基板-01").is_ok());
        for bad in ["", " a", "a ", "a\nb", "\u{9b}31m"] {
            assert!(SampleId::new(bad).is_err(), "{bad:?}");
        }
        assert!(FieldId::new("defect_mode").is_ok());
        for bad in ["", "Defect", "1st", "a-b"] {
            assert!(FieldId::new(bad).is_err(), "{bad:?}");
        }
    }
}
