//! One server over HTTP: asked with patience, read with limits.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Method, StatusCode, Url};
use serde_json::{Map, Value as Json, json};

use super::dialect::{Flavour, Told, told};
use super::message::Messages;
use super::{Endpoint, Guidance, Said, ServerError, confidence, pattern, reply};
use crate::conversation::Recipe;
use crate::domain::{FieldPrediction, Label};
use crate::model::predictor::Item;

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(10);
/// How often a request is sent.
const ATTEMPTS: u32 = 5;
/// The wait behind the first attempt; it doubles.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// The longest wait, unless the server asks for more.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// The longest wait that a server may ask for.
const LONGEST_ASKED: Duration = Duration::from_secs(600);
/// The most bytes that are read of one reply: an answer of 1,000 tokens with 20 alternatives each takes some 2 MB.
const MOST_REPLY: usize = 16 << 20;
/// The most tokens of an answer, however long the schema lets it be.
const MOST_TOKENS: usize = 8192;
/// Tokens that an answer may have beyond the bytes of the longest allowed one: a model may say something around it.
const SPARE_TOKENS: usize = 64;

/// A server that has been found, ready to be asked.
#[derive(Debug)]
pub struct Client {
    pub(super) runtime: tokio::runtime::Runtime,
    pub(super) asker: std::sync::Arc<Asker>,
}

/// What is known of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Which one it is.
    pub flavour: Flavour,
    /// The models that it lists; none where it does not say.
    pub models: Vec<String>,
}

/// Everything that a request needs.
#[derive(Debug)]
pub(super) struct Asker {
    pub(super) endpoint: Endpoint,
    http: reqwest::Client,
    model: String,
    found: Found,
    recipe: Recipe,
    told: Told,
    messages: Messages,
    most_tokens: usize,
    /// The forms of a request, the fullest first, and which of them the server takes.
    forms: Vec<Form>,
    form: AtomicUsize,
    /// Whether an answer came with its tokens' probabilities: some servers pass over what they do not know.
    tells: AtomicBool,
}

/// What a request asks for besides the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Form {
    guidance: bool,
    logprobs: bool,
}

/// Why an attempt failed, and whether another may succeed.
struct Failed {
    error: ServerError,
    again: Again,
}

enum Again {
    No,
    /// After a pause of our own choice.
    Yes,
    /// The same, one time only: whoever is too slow is not helped by more work.
    Once,
    /// After the time that the server asks for.
    After(Duration),
}

impl Client {
    /// Finds the server and its model, and makes the recipe's answers known to it.
    pub fn connect(endpoint: Endpoint, recipe: &Recipe) -> Result<Self, ServerError> {
        let runtime = runtime()?;
        let http = http(&endpoint)?;
        let found = runtime.block_on(find(&http, &endpoint, 2))?;
        let model = match (&endpoint.model, found.models.as_slice()) {
            (Some(named), _) => named.clone(),
            (None, [only]) => only.clone(),
            (None, known) => return Err(ServerError::WhichModel { alias: endpoint.alias.clone(), known: known.to_vec() }),
        };
        let told = told(&recipe.schema, &recipe.answer, found.flavour, endpoint.guidance)?;
        let longest = pattern::pattern(&recipe.schema, &recipe.answer).map_or(0, |pattern| pattern.longest());
        // JSON has names, signs and white space besides the values.
        let longest = if told.guidance == Guidance::JsonSchema { 4 * longest } else { longest };
        let most_tokens = (longest + SPARE_TOKENS).min(MOST_TOKENS);
        let forms = forms(!told.keys.is_empty(), endpoint.guidance != Guidance::Auto, endpoint.logprobs > 0);
        let messages = Messages::new();
        let recipe = recipe.clone();
        let (form, tells) = (AtomicUsize::new(0), AtomicBool::new(false));
        let asker = Asker { endpoint, http, model, found, recipe, told, messages, most_tokens, forms, form, tells };
        Ok(Self { runtime, asker: std::sync::Arc::new(asker) })
    }

    /// Looks whether a server answers, once and for at most the endpoint's time.
    pub fn look(endpoint: &Endpoint) -> Result<Found, ServerError> {
        let http = http(endpoint)?;
        runtime()?.block_on(find(&http, endpoint, 1))
    }

    /// The model that is asked.
    pub fn model(&self) -> &str {
        &self.asker.model
    }

    /// What is known of the server.
    pub fn found(&self) -> &Found {
        &self.asker.found
    }

    /// How answers are kept to their format, as far as the server has taken it.
    pub fn guidance(&self) -> Guidance {
        if self.asker.form().guidance { self.asker.told.guidance } else { Guidance::None }
    }

    /// Whether any answer came with probabilities.
    pub fn tells_confidence(&self) -> bool {
        self.asker.tells.load(Ordering::Relaxed)
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, ServerError> {
    let local = |error: std::io::Error| ServerError::Local(error.to_string());
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().map_err(local)
}

/// The forms to try: without guidance only where the user has not asked for it.
fn forms(guidance: bool, insisted: bool, logprobs: bool) -> Vec<Form> {
    let mut forms = Vec::new();
    for guidance in if guidance && insisted { vec![true] } else { vec![guidance, false] } {
        for logprobs in [logprobs, false] {
            let form = Form { guidance, logprobs };
            if !forms.contains(&form) {
                forms.push(form);
            }
        }
    }
    forms
}

fn http(endpoint: &Endpoint) -> Result<reqwest::Client, ServerError> {
    let local = |error: &dyn std::fmt::Display| ServerError::Local(error.to_string());
    let mut headers = HeaderMap::new();
    if let Some(key) = &endpoint.key {
        let mut value = HeaderValue::from_str(&format!("Bearer {}", key.secret)).map_err(|_| local(&"the key is no text"))?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    // Neither pictures nor keys follow a server that sends us elsewhere.
    let mut builder = reqwest::Client::builder()
        .default_headers(headers)
        .redirect(Policy::none())
        .connect_timeout(CONNECT.min(endpoint.timeout))
        .timeout(endpoint.timeout)
        .user_agent(concat!("mekiki/", env!("CARGO_PKG_VERSION")));
    if is_loopback(&endpoint.url) {
        builder = builder.no_proxy();
    }
    builder.build().map_err(|error| local(&error.without_url()))
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The address of a part of the interface.
fn part(endpoint: &Endpoint, name: &str) -> Url {
    let mut url = endpoint.url.clone();
    url.set_path(&format!("{}/{name}", endpoint.url.path().trim_end_matches('/')));
    url
}

/// Which server it is, and its models. One that lists none may still have them.
async fn find(http: &reqwest::Client, endpoint: &Endpoint, attempts: u32) -> Result<Found, ServerError> {
    let listed = match request(http, endpoint, Method::GET, part(endpoint, "models"), None, attempts).await {
        Ok(bytes) => reply::models(&bytes).ok_or_else(|| ServerError::Reply {
            alias: endpoint.alias.clone(),
            reason: format!("its list of models is none: {}", endpoint.hidden(&reply::said(&bytes))),
        })?,
        // Some list none, and some fail at it (transformers serve without a folder of downloads).
        Err(ServerError::Refused { .. }) => (Vec::new(), String::new()),
        Err(error) => return Err(error),
    };
    let (models, owner) = listed;
    let version = if owner == "vllm" {
        let mut url = endpoint.url.clone();
        let above = url.path().trim_end_matches('/').trim_end_matches("/v1").to_owned();
        url.set_path(&format!("{above}/version"));
        request(http, endpoint, Method::GET, url, None, 1).await.ok().and_then(|bytes| reply::version(&bytes))
    } else {
        None
    };
    Ok(Found { flavour: Flavour::new(&owner, version.as_deref()), models })
}

/// Sends a request until it succeeds, another attempt is useless, or there were enough of them.
async fn request(
    http: &reqwest::Client,
    endpoint: &Endpoint,
    method: Method,
    url: Url,
    body: Option<&[u8]>,
    attempts: u32,
) -> Result<Vec<u8>, ServerError> {
    let mut tried = 0;
    loop {
        tried += 1;
        let failed = match attempt(http, endpoint, method.clone(), url.clone(), body).await {
            Ok(bytes) => return Ok(bytes),
            Err(failed) => failed,
        };
        let wait = match failed.again {
            Again::Yes => pause(tried),
            Again::Once if tried < 2 => pause(tried),
            Again::After(asked) if asked <= LONGEST_ASKED => asked.max(pause(1)),
            Again::No | Again::Once | Again::After(_) => return Err(given_up(endpoint, failed.error, tried)),
        };
        if tried >= attempts {
            return Err(given_up(endpoint, failed.error, tried));
        }
        tracing::info!(server = endpoint.alias, tried, wait = wait.as_secs_f64(), why = failed.error.kind(), "request is sent again");
        tokio::time::sleep(wait).await;
    }
}

/// The error of the last of several attempts. What was sent and what came back is not written down.
fn given_up(endpoint: &Endpoint, error: ServerError, tried: u32) -> ServerError {
    tracing::warn!(server = endpoint.alias, tried, why = error.kind(), "request failed");
    after(error, tried)
}

/// The same, with how often it was tried.
fn after(error: ServerError, attempts: u32) -> ServerError {
    match error {
        ServerError::TimedOut { alias, seconds, .. } => ServerError::TimedOut { alias, seconds, attempts },
        error => error,
    }
}

/// The pause behind an attempt: doubled each time, and between half of it and all of it, so that many do not come back at once.
fn pause(tried: u32) -> Duration {
    let whole = FIRST_WAIT.saturating_mul(1 << tried.saturating_sub(1).min(10)).min(LONGEST_WAIT);
    let random = RandomState::new().build_hasher().finish() as f64 / u64::MAX as f64;
    whole.mul_f64(0.5 + random / 2.0)
}

async fn attempt(http: &reqwest::Client, endpoint: &Endpoint, method: Method, url: Url, body: Option<&[u8]>) -> Result<Vec<u8>, Failed> {
    let mut asked = http.request(method, url);
    if let Some(body) = body {
        asked = asked.header(CONTENT_TYPE, "application/json").body(body.to_vec());
    }
    let mut response = asked.send().await.map_err(|error| endpoint.transport(&error))?;
    let status = response.status();
    let after = response.headers().get(RETRY_AFTER).and_then(|value| retry_after(value.to_str().ok()?));
    let mut bytes = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if bytes.len() + chunk.len() > MOST_REPLY => {
                let error = ServerError::TooLong { alias: endpoint.alias.clone(), limit: MOST_REPLY };
                return Err(Failed { error, again: Again::No });
            }
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            Ok(None) => break,
            Err(error) => return Err(endpoint.transport(&error)),
        }
    }
    if status.is_success() { Ok(bytes) } else { Err(endpoint.refusal(status, &bytes, after)) }
}

/// `Retry-After`, in seconds or as a date.
fn retry_after(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = jiff::fmt::rfc2822::parse(text.trim()).ok()?.timestamp();
    let left = at.as_second().saturating_sub(jiff::Timestamp::now().as_second());
    Some(Duration::from_secs(u64::try_from(left).unwrap_or(0)))
}

impl Endpoint {
    /// A text without the key, should a server have repeated it.
    pub(super) fn hidden(&self, text: &str) -> String {
        match &self.key {
            Some(key) => text.replace(&key.secret, "(the key)"),
            None => text.to_owned(),
        }
    }

    /// What a failure on the way is.
    fn transport(&self, error: &reqwest::Error) -> Failed {
        let alias = self.alias.clone();
        if error.is_timeout() && !error.is_connect() {
            let error = ServerError::TimedOut { alias, seconds: self.timeout.as_secs(), attempts: 1 };
            return Failed { error, again: Again::Once };
        }
        let mut reason = if error.is_timeout() { "nobody answers there in time".to_owned() } else { String::new() };
        // The innermost cause says it best; the outer ones name the address.
        let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(error);
        while let Some(inner) = cause.filter(|_| !error.is_timeout()) {
            reason = inner.to_string();
            cause = inner.source();
        }
        if reason.is_empty() {
            "the connection broke".clone_into(&mut reason);
        }
        Failed { error: ServerError::Unreachable { alias, reason: self.hidden(&reply::shown(&reason)) }, again: Again::Yes }
    }

    /// What an HTTP status is.
    fn refusal(&self, status: StatusCode, body: &[u8], after: Option<Duration>) -> Failed {
        let alias = self.alias.clone();
        let said = self.hidden(&reply::said(body));
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                let variable = self.key.as_ref().map(|key| key.variable.clone());
                Failed { error: ServerError::Unauthorised { alias, status: status.as_u16(), variable }, again: Again::No }
            }
            _ => {
                let busy = status == StatusCode::TOO_MANY_REQUESTS || status == StatusCode::REQUEST_TIMEOUT || status.is_server_error();
                let again = match after {
                    _ if !busy || status == StatusCode::NOT_IMPLEMENTED => Again::No,
                    Some(after) => Again::After(after),
                    None => Again::Yes,
                };
                Failed { error: ServerError::Refused { alias, status: status.as_u16(), said }, again }
            }
        }
    }
}

impl Asker {
    fn form(&self) -> Form {
        self.forms.get(self.form.load(Ordering::Relaxed)).copied().unwrap_or(Form { guidance: false, logprobs: false })
    }

    /// What is asked of a sample, images and all. It reads files.
    pub(super) fn question(&self, item: &Item) -> Result<Map<String, Json>, ServerError> {
        let question = json!({
            "model": self.model, "messages": self.messages.of(item)?, "temperature": 0.0, "max_tokens": self.most_tokens, "stream": false,
        });
        if let Json::Object(question) = question { Ok(question) } else { Ok(Map::new()) }
    }

    /// Asks, and reads the answer. A server that refuses a form of request is asked in the next plainer one.
    pub(super) async fn ask(&self, mut question: Map<String, Json>) -> Result<Said, ServerError> {
        let from = self.form.load(Ordering::Relaxed);
        let mut first = None;
        for (place, form) in self.forms.iter().enumerate().skip(from) {
            for key in self.told.keys.keys().map(String::as_str).chain(["logprobs", "top_logprobs"]) {
                question.remove(key);
            }
            if form.guidance {
                question.extend(self.told.keys.clone());
            }
            if form.logprobs {
                question.insert("logprobs".to_owned(), json!(true));
                question.insert("top_logprobs".to_owned(), json!(self.endpoint.logprobs));
            }
            let body = serde_json::to_vec(&question).map_err(|error| ServerError::Local(error.to_string()))?;
            let url = part(&self.endpoint, "chat/completions");
            match request(&self.http, &self.endpoint, Method::POST, url, Some(&body), ATTEMPTS).await {
                Ok(bytes) => {
                    self.form.fetch_max(place, Ordering::Relaxed);
                    return self.read(&bytes);
                }
                Err(ServerError::Refused { status: 404, said, .. }) => return Err(self.not_found(&said)),
                Err(error @ ServerError::Refused { status: 400 | 422, .. }) => drop(first.get_or_insert(error)),
                Err(error) => return Err(error),
            }
        }
        Err(first.unwrap_or_else(|| ServerError::Local("no form of request was left".to_owned())))
    }

    /// A 404: of the model, or of the whole interface.
    fn not_found(&self, said: &str) -> ServerError {
        let alias = self.endpoint.alias.clone();
        if self.found.models.contains(&self.model) || self.found.models.is_empty() && !said.contains(&self.model) {
            return ServerError::Refused {
                alias,
                status: 404,
                said: format!("{said} (does servers.{}.url end with /v1?)", self.endpoint.alias),
            };
        }
        ServerError::NoModel { alias, model: self.model.clone(), known: self.found.models.clone() }
    }

    fn read(&self, bytes: &[u8]) -> Result<Said, ServerError> {
        let wrong = |reason: String| ServerError::Reply { alias: self.endpoint.alias.clone(), reason: self.endpoint.hidden(&reason) };
        let completion = reply::completion(bytes).map_err(wrong)?;
        self.tells.fetch_or(!completion.tokens.is_empty(), Ordering::Relaxed);
        let (schema, template) = (&self.recipe.schema, &self.recipe.answer);
        let text = completion.text.trim();
        let in_json = if self.told.guidance == Guidance::JsonSchema { reply::from_json(template, text) } else { None };
        let (label, problems): (Label, Vec<String>) = if let Some(texts) = &in_json {
            let (label, problems) = Label::from_texts(schema, texts.iter().map(|(id, text)| (id.as_str(), text.as_str())));
            (label, problems.into_iter().map(|problem| format!("{}: {}", problem.field, problem.error)).collect())
        } else {
            let read = template.parse(text);
            (read.label, read.problems.iter().filter(|problem| problem.is_of_field()).map(ToString::to_string).collect())
        };
        let missing = template.fields().find(|field| field.required && label.get(&field.id).is_none());
        if missing.is_some() || !problems.is_empty() {
            let cut = format!("it was cut off after {} tokens", self.most_tokens);
            let said = completion.cut.then_some(cut).into_iter();
            let missing = missing.filter(|_| problems.is_empty()).map(|field| format!("{}: no value", field.id));
            let problems: Vec<String> = said.chain(problems).chain(missing).collect();
            return Err(ServerError::Answer { problems: reply::shown(&problems.join("; ")), said: reply::shown(text) });
        }
        let tokens = if in_json.is_some() { &[] } else { completion.tokens.as_slice() };
        let fields: std::collections::BTreeMap<_, FieldPrediction> = confidence::fields(schema, template, &label, text, tokens);
        Ok(Said { fields, answer: completion.text })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn waits_longer_each_time_and_as_long_as_it_is_asked_to() {
        for (tried, least, most) in [(1, 0.25, 0.5), (2, 0.5, 1.0), (4, 2.0, 4.0), (30, 15.0, 30.0)] {
            let pause = pause(tried).as_secs_f64();
            assert!((least..=most).contains(&pause), "{tried}: {pause}");
        }
        assert_eq!(retry_after("7"), Some(Duration::from_secs(7)));
        assert_eq!(retry_after("Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::ZERO));
        assert_eq!(retry_after("soon"), None);
    }

    #[test]
    fn a_form_is_given_up_for_a_plainer_one() {
        let form = |guidance, logprobs| Form { guidance, logprobs };
        assert_eq!(forms(true, false, true), [form(true, true), form(true, false), form(false, true), form(false, false)]);
        assert_eq!(forms(true, true, true), [form(true, true), form(true, false)]);
        assert_eq!(forms(false, false, false), [form(false, false)]);
        assert!(is_loopback(&Url::parse("http://[::1]:8000/v1").unwrap()) && !is_loopback(&Url::parse("http://gpu-2/v1").unwrap()));
    }
}
