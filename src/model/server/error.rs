//! What can go wrong with a server, said so that a person knows what to do.

use crate::imaging::ImageError;

/// Why a server gave no prediction. No text here holds a key, an address or a control character.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The variable of the key is not set.
    #[error(
        "the server {alias} needs the key in {variable}, which is not set or no text; set it ('export {variable}=…') or change servers.{alias}.key_env"
    )]
    NoKey {
        /// The server.
        alias: String,
        /// The environment variable.
        variable: String,
    },
    /// Nobody answers.
    #[error(
        "the server {alias} cannot be reached: {reason}; check that it runs, that servers.{alias}.url in your settings names its host and port, and that the way there (tunnel, proxy, firewall) is open"
    )]
    Unreachable {
        /// The server.
        alias: String,
        /// What the system says.
        reason: String,
    },
    /// It does not answer in time.
    #[error(
        "the server {alias} gave no whole answer within {seconds} s, {attempts} times; raise servers.{alias}.timeout_s or lower its concurrency"
    )]
    TimedOut {
        /// The server.
        alias: String,
        /// How long one request may take.
        seconds: u64,
        /// How often it was asked.
        attempts: u32,
    },
    /// The key is wrong or missing.
    #[error("the server {alias} refuses access ({status}): {}", .variable.as_ref().map_or_else(|| format!("it wants a key; name the variable that holds it with servers.{alias}.key_env"), |variable| format!("check the key in {variable}")))]
    Unauthorised {
        /// The server.
        alias: String,
        /// 401 or 403.
        status: u16,
        /// The variable that the key came from.
        variable: Option<String>,
    },
    /// It does not have the model.
    #[error("the server {alias} has no model {model}{}; name one with servers.{alias}.model or --model", has(.known))]
    NoModel {
        /// The server.
        alias: String,
        /// The model that was asked for.
        model: String,
        /// Those that it has.
        known: Vec<String>,
    },
    /// No model is named, and it has none or several.
    #[error("no model is named for the server {alias}{}; name one with servers.{alias}.model or --model", has(.known))]
    WhichModel {
        /// The server.
        alias: String,
        /// Those that it has.
        known: Vec<String>,
    },
    /// It says no.
    #[error("the server {alias} answered {status}: {said}")]
    Refused {
        /// The server.
        alias: String,
        /// The HTTP status.
        status: u16,
        /// What it said, made safe and short.
        said: String,
    },
    /// It sends more than any answer needs.
    #[error("the server {alias} sent more than {limit} bytes for one answer; is it the right one?")]
    TooLong {
        /// The server.
        alias: String,
        /// The most that is read.
        limit: usize,
    },
    /// What it sent is no chat completion.
    #[error("the server {alias} sent no chat completion: {reason}; does servers.{alias}.url end with /v1?")]
    Reply {
        /// The server.
        alias: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The model's answer cannot be read.
    #[error("the answer cannot be read: {problems}; it was {said:?}")]
    Answer {
        /// Field by field.
        problems: String,
        /// The answer, made safe and short.
        said: String,
    },
    /// Answer after answer failed.
    #[error("{count} samples in a row had no reply; the last time: {last}")]
    GaveUp {
        /// How many.
        count: usize,
        /// What was wrong with the last.
        last: String,
    },
    /// An image of the conversation cannot be used.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// An image is too large to send.
    #[error("{path}: expected an image of at most {limit} bytes as it is sent, got {got}; make it smaller")]
    LargeImage {
        /// The file.
        path: std::path::PathBuf,
        /// The most that is sent.
        limit: usize,
        /// What it takes.
        got: usize,
    },
    /// The fields cannot be asked for at all.
    #[error("{0}")]
    Schema(String),
    /// This machine could not do its part.
    #[error("the connection could not be prepared: {0}")]
    Local(String),
}

impl ServerError {
    /// Whether no other sample would fare better.
    pub fn stops(&self) -> bool {
        matches!(
            self,
            Self::NoKey { .. }
                | Self::Unreachable { .. }
                | Self::Unauthorised { .. }
                | Self::NoModel { .. }
                | Self::WhichModel { .. }
                | Self::GaveUp { .. }
                | Self::Schema(_)
        )
    }

    /// What went wrong in a word or two, with nothing of what was sent or came back.
    pub(super) fn kind(&self) -> String {
        match self {
            Self::NoKey { .. } => "no key".to_owned(),
            Self::Unreachable { reason, .. } => format!("unreachable: {reason}"),
            Self::TimedOut { seconds, .. } => format!("no answer in {seconds} s"),
            Self::Unauthorised { status, .. } | Self::Refused { status, .. } => format!("status {status}"),
            Self::NoModel { .. } | Self::WhichModel { .. } => "no such model".to_owned(),
            Self::TooLong { .. } => "too long a reply".to_owned(),
            Self::Reply { .. } => "no chat completion".to_owned(),
            Self::Answer { .. } => "an answer that cannot be read".to_owned(),
            Self::GaveUp { count, .. } => format!("{count} samples without a reply"),
            Self::Image(_) | Self::LargeImage { .. } => "an image that cannot be used".to_owned(),
            Self::Schema(_) => "fields that cannot be asked for".to_owned(),
            Self::Local(_) => "this machine's own part".to_owned(),
        }
    }

    /// Whether it was the server that failed, and not the sample or the model's answer.
    pub(super) fn is_of_server(&self) -> bool {
        !matches!(self, Self::Answer { .. } | Self::Image(_) | Self::LargeImage { .. })
    }
}

fn has(known: &[String]) -> String {
    const MOST: usize = 8;
    match known.len() {
        0 => String::new(),
        count => {
            let more = if count > MOST { format!(" and {} more", count - MOST) } else { String::new() };
            format!("; it has {}{more}", known[..count.min(MOST)].join(", "))
        }
    }
}
