//! The user's own settings, `settings.toml` in the user's folder for settings: where servers are and which variable holds
//! a key. A project names a server by its alias only, so that a project from elsewhere cannot send pictures anywhere.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use reqwest::Url;
use serde::Deserialize;

use super::build::Problems;
use super::place::{Places, Step::Key, line_at};
use super::{ConfigError, ConfigProblem};
use crate::conversation::Guidance;

/// What an alias may be, for messages.
pub(super) const ALIAS: &str = "an alias of 1 to 64 letters, digits, '-', '_' and '.'";
/// The largest settings file that is read, in bytes.
const MOST_BYTES: u64 = 1 << 20;
/// The most samples that are asked about at once.
const MOST_AT_ONCE: i64 = 1024;
/// The longest time-out, in seconds.
const LONGEST: i64 = 24 * 3600;
/// The most alternatives that servers tell of each token.
const MOST_LOGPROBS: i64 = 20;

/// The user's settings.
#[derive(Debug, Clone, Default)]
pub struct UserSettings {
    /// Servers by alias.
    pub servers: BTreeMap<String, ServerSettings>,
}

/// A server that speaks OpenAI's chat interface.
#[derive(Debug, Clone)]
pub struct ServerSettings {
    /// Its address up to and with `/v1`, without user name, password and query.
    pub url: Url,
    /// The model that is asked; where none is named, the only one that the server has.
    pub model: Option<String>,
    /// The environment variable that holds the key.
    pub key_env: Option<String>,
    /// How many samples are asked about at once.
    pub concurrency: usize,
    /// How long one request may take.
    pub timeout: Duration,
    /// How answers are kept to their format.
    pub guidance: Guidance,
    /// How many alternatives are asked for at each token, 0 to 20; with 0 there are no confidences.
    pub logprobs: u8,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSettings {
    #[serde(default)]
    servers: BTreeMap<String, RawServer>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawServer {
    url: String,
    model: Option<String>,
    key_env: Option<String>,
    concurrency: Option<i64>,
    timeout_s: Option<i64>,
    guidance: Option<String>,
    logprobs: Option<i64>,
}

impl UserSettings {
    /// Reads a settings file; without one nothing is set.
    pub fn load(file: &Path) -> Result<Self, ConfigError> {
        let io = |source| ConfigError::Io { path: file.to_owned(), source };
        let about = match std::fs::metadata(file) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            about => about.map_err(io)?,
        };
        if about.len() > MOST_BYTES {
            let message = format!("expected at most {MOST_BYTES} bytes, got {}", about.len());
            return Err(ConfigError::Problems(vec![ConfigProblem { file: file.to_owned(), line: 1, key: String::new(), message }]));
        }
        Self::parse(&std::fs::read_to_string(file).map_err(io)?, file)
    }

    /// Reads the text of a settings file; `file` is for messages.
    pub fn parse(text: &str, file: &Path) -> Result<Self, ConfigError> {
        let wrong = |found: Vec<(usize, String, String)>| {
            let named = |(line, key, message)| ConfigProblem { file: file.to_owned(), line, key, message };
            ConfigError::Problems(found.into_iter().map(named).collect())
        };
        let places = Places::new(text).map_err(|(line, message)| wrong(vec![(line, String::new(), message)]))?;
        let raw: RawSettings = toml::from_str(text).map_err(|error| {
            let offset = error.span().map_or(0, |span| span.start);
            wrong(vec![(line_at(text, offset), places.key_at(offset), error.message().to_owned())])
        })?;
        let mut problems = Problems { places, found: Vec::new() };
        let mut servers = BTreeMap::new();
        for (alias, raw) in raw.servers {
            if let Some(server) = server(&alias, raw, &mut problems) {
                servers.insert(alias, server);
            }
        }
        if problems.found.is_empty() { Ok(Self { servers }) } else { Err(wrong(problems.found)) }
    }
}

/// Whether a server can be called so.
pub(super) fn is_alias(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

fn server(alias: &str, raw: RawServer, problems: &mut Problems) -> Option<ServerSettings> {
    let before = problems.found.len();
    let mut say = |key: Option<&str>, expected: &str, got: String| {
        let path: Vec<_> = [Some("servers"), Some(alias), key].into_iter().flatten().map(Key).collect();
        problems.say(&path, expected, got);
    };
    if !is_alias(alias) {
        say(None, ALIAS, format!("{alias:?}"));
    }
    let url = address(&raw.url).map_err(|(expected, got)| say(Some("url"), expected, got)).ok();
    if let Some(model) = raw.model.as_ref().filter(|model| model.trim().is_empty() || model.chars().any(char::is_control)) {
        say(Some("model"), "the name of a model", format!("{model:?}"));
    }
    let variable = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if raw.key_env.as_deref().is_some_and(|name| !variable(name)) {
        // It may be the key itself, which nobody should read on a screen.
        say(Some("key_env"), "the name of an environment variable: letters, digits and '_'", "something else (not shown)".to_owned());
    }
    let mut within = |key: &'static str, given: Option<i64>, usual: i64, least: i64, most: i64| {
        let value = given.unwrap_or(usual);
        if !(least..=most).contains(&value) {
            say(Some(key), &format!("{least} to {most}"), value.to_string());
        }
        value.unsigned_abs()
    };
    let concurrency = within("concurrency", raw.concurrency, 8, 1, MOST_AT_ONCE) as usize;
    let timeout = Duration::from_secs(within("timeout_s", raw.timeout_s, 120, 1, LONGEST));
    let logprobs = within("logprobs", raw.logprobs, MOST_LOGPROBS, 0, MOST_LOGPROBS) as u8;
    let guidance = match raw.guidance.as_deref().map(Guidance::parse) {
        None => Guidance::default(),
        Some(Some(guidance)) => guidance,
        Some(None) => {
            let known = Guidance::ALL.map(Guidance::name).join(", ");
            say(Some("guidance"), &format!("one of {known}"), format!("{:?}", raw.guidance.unwrap_or_default()));
            Guidance::None
        }
    };
    let url = url.filter(|_| problems.found.len() == before)?;
    Some(ServerSettings { url, model: raw.model, key_env: raw.key_env, concurrency, timeout, guidance, logprobs })
}

/// An address, with `/v1` where it ends at the host. Fails with what was expected and what is there.
fn address(text: &str) -> Result<Url, (&'static str, String)> {
    let expected = "an address such as http://gpu-2:8000/v1";
    let mut url = Url::parse(text).map_err(|error| (expected, format!("one that cannot be read: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(("an address that begins with http:// or https://", format!("{:?}", url.scheme())));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(("an address without user name and password; a key stands in the variable that key_env names", "one with".to_owned()));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err((expected, "one with ? or #".to_owned()));
    }
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(if path.is_empty() { "/v1" } else { &path });
    Ok(url)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<UserSettings, String> {
        UserSettings::parse(text, Path::new("settings.toml")).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_not_said_is_usual() {
        let settings = parse("[servers.lab]\nurl = \"http://gpu-2:8000\"\n").unwrap();
        let lab = &settings.servers["lab"];
        assert_eq!((lab.url.as_str(), lab.concurrency, lab.logprobs), ("http://gpu-2:8000/v1", 8, 20));
        assert_eq!((lab.timeout, lab.guidance), (Duration::from_secs(120), Guidance::Auto));
        let settings = parse("[servers.lab]\nurl = \"https://x/openai/v1/\"\nguidance = \"json_schema\"").unwrap();
        assert_eq!((settings.servers["lab"].url.path(), settings.servers["lab"].guidance), ("/openai/v1", Guidance::JsonSchema));
        assert!(UserSettings::load(Path::new("/nowhere/settings.toml")).unwrap().servers.is_empty());
    }

    #[test]
    fn every_problem_names_its_line() {
        let text = "[servers.lab]\nurl = \"ftp://x\"\nconcurrency = 0\nguidance = \"hope\"\nkey_env = \"sk-secret\"\n";
        let said = parse(text).unwrap_err();
        for part in
            ["settings.toml:2: servers.lab.url: ", ":3: servers.lab.concurrency: ", ":4: servers.lab.guidance: ", "one of auto, regex"]
        {
            assert!(said.contains(part), "{said}");
        }
        assert!(!said.contains("sk-secret"), "{said}");
        let said = parse("[servers.lab]\nurl = \"http://me:hunter2@x/v1\"\n").unwrap_err();
        assert!(said.contains("key_env") && !said.contains("hunter2"), "{said}");
        assert!(parse("[servers.lab]\nurl = \"http://x\"\nkey = \"k\"\n").unwrap_err().contains(":3: servers.lab.key"));
        assert!(parse("[servers.\"a b\"]\nurl = \"http://x\"\n").unwrap_err().contains("an alias of"));
    }
}
