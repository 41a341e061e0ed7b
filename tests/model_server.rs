//! Promise: a server that is slow, busy, broken or hostile costs a sample or ends the work with a clear message, and nothing else.
#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mekiki::config::{self, Language, Template};
use mekiki::conversation::{Conversation, ImagePart, ImageRole, Part, Picks, Recipe, Role, Turn};
use mekiki::domain::{FieldId, ImageRef, Kind, RelativePath};
use mekiki::model::predictor::Item;
use mekiki::model::server::{Client, Endpoint, Flavour, Guidance, Key, Said, ServerError};
use serde_json::{Value, json};

const ANSWER: &str =
    "- image type->CYLN_DST\n- quantity of pins->27 pcs\n- your judgement->defective\n- defect mode->scratch\n- defect position->U3";
const MODELS: &str = r#"{"object":"list","data":[{"id":"eye","object":"model","owned_by":"vllm"}]}"#;

/// A request: its path, its head, its body.
struct Asked {
    path: String,
    head: String,
    body: Value,
}

/// A server on this machine; what it says is decided request by request, by path, body and number.
fn serve(answer: impl Fn(&Asked, usize) -> Vec<u8> + Send + Sync + 'static) -> (u16, Arc<Mutex<Vec<Asked>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (seen, answer, number) = (Arc::new(Mutex::new(Vec::new())), Arc::new(answer), Arc::new(AtomicUsize::new(0)));
    let kept = Arc::clone(&seen);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (seen, answer, number) = (Arc::clone(&kept), Arc::clone(&answer), Arc::clone(&number));
            std::thread::spawn(move || {
                let Some(asked) = read(&stream) else { return };
                let of_chat = asked.path.ends_with("/chat/completions");
                let said = answer(&asked, if of_chat { number.fetch_add(1, Ordering::SeqCst) } else { 0 });
                seen.lock().unwrap().push(asked);
                // The other side may have gone away, which is part of the test.
                let _ = (&stream).write_all(&said);
            });
        }
    });
    (port, seen)
}

fn read(mut stream: &TcpStream) -> Option<Asked> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 8192];
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            let length = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
            if bytes.len() >= end + 4 + length.unwrap_or(0) {
                let path = head.split(' ').nth(1)?.to_owned();
                let body = serde_json::from_slice(&bytes[end + 4..]).unwrap_or(Value::Null);
                return Some(Asked { path, head, body });
            }
        }
        let count = stream.read(&mut chunk).ok().filter(|count| *count > 0)?;
        bytes.extend_from_slice(&chunk[..count]);
    }
}

fn reply(status: &str, headers: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n{headers}\r\n{body}", body.len()).into_bytes()
}

fn ok(body: &str) -> Vec<u8> {
    reply("200 OK", "", body)
}

fn completion(text: &str) -> Vec<u8> {
    ok(&json!({ "choices": [{ "message": { "role": "assistant", "content": text }, "finish_reason": "stop" }] }).to_string())
}

/// A server that lists one model and answers questions as told.
fn chat(answer: impl Fn(&Asked, usize) -> Vec<u8> + Send + Sync + 'static) -> (u16, Arc<Mutex<Vec<Asked>>>) {
    serve(move |asked, number| match asked.path.as_str() {
        "/v1/models" => ok(MODELS),
        "/version" => ok(r#"{"version":"0.12.0"}"#),
        _ => answer(asked, number),
    })
}

fn endpoint(port: u16) -> Endpoint {
    let secret = |_: &str| Some("s3cret-key".to_owned());
    Endpoint {
        alias: "lab".to_owned(),
        url: format!("http://127.0.0.1:{port}/v1").parse().unwrap(),
        model: None,
        key: Some(Key::read("lab", "LAB_KEY", secret).unwrap()),
        concurrency: 3,
        timeout: Duration::from_secs(20),
        guidance: Guidance::Auto,
        logprobs: 5,
    }
}

fn recipe() -> Recipe {
    config::parse(&Template::Pins.text("pins", Language::En), "mekiki.toml".as_ref(), ".".as_ref()).unwrap().recipe
}

/// A question with one picture.
fn item(dir: &tempfile::TempDir) -> Item {
    let path = dir.path().join("a.png");
    image::RgbImage::new(4, 4).save(&path).unwrap();
    let image = ImageRef { folder: 0, path: RelativePath::new("a.png").unwrap() };
    let part = ImagePart { role: ImageRole::Query, image: image.clone() };
    let turns = vec![Turn { role: Role::User, parts: vec![Part::Text("Look.".to_owned()), Part::Image(part)] }];
    Item {
        conversation: Conversation { kind: Kind::ZeroShot, turns, picks: Picks { exemplar: None, reference: image } },
        images: vec![path],
    }
}

type Outcomes = (Vec<Result<Said, ServerError>>, Result<(), ServerError>);

fn ask(endpoint: Endpoint, count: usize) -> (Client, Outcomes) {
    let client = Client::connect(endpoint, &recipe()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let item = item(&dir);
    let mut all = Vec::new();
    let ended = client.predict_all((0..count).map(|number| (number, item.clone())), |answers| {
        all.extend(answers.into_iter().map(|(_, answer)| answer));
        true
    });
    (client, (all, ended))
}

/// The one error of the one sample, or of the whole work.
fn error(endpoint: Endpoint) -> String {
    let (_, (mut all, ended)) = ask(endpoint, 1);
    let error = ended.err().unwrap_or_else(|| all.pop().unwrap().unwrap_err()).to_string();
    assert!(!error.contains("s3cret") && !error.contains("127.0.0.1"), "{error}");
    assert!(!error.chars().any(char::is_control), "{error:?}");
    error
}

#[test]
fn asks_what_is_trained_on_and_reads_confidences() {
    let (port, seen) = chat(|_, _| {
        let piece = |text: &str, p: f64, others: &[(&str, f64)]| {
            let others: Vec<Value> = others.iter().map(|(text, p)| json!({ "token": text, "logprob": p.ln() })).collect();
            json!({ "token": text, "logprob": p.ln(), "top_logprobs": others })
        };
        let (head, tail) = ANSWER.split_once("defective").unwrap();
        let tokens = [piece(head, 1.0, &[]), piece("defective", 0.75, &[("passed", 0.2), ("x", 0.05)]), piece(tail, 1.0, &[])];
        let choice = json!({ "message": { "content": ANSWER }, "finish_reason": "stop", "logprobs": { "content": tokens } });
        ok(&json!({ "choices": [choice] }).to_string())
    });
    let (client, (all, ended)) = ask(endpoint(port), 5);
    ended.unwrap();
    assert_eq!((client.model(), client.found().flavour, client.guidance()), ("eye", Flavour::Vllm(false), Guidance::Regex));
    assert!(client.tells_confidence() && all.len() == 5);
    let said = &all[0].as_ref().unwrap().fields[&FieldId::new("judgement").unwrap()];
    assert!((said.confidence() - 0.75 / 0.95).abs() < 1e-5 && (said.outside - 0.05).abs() < 1e-5, "{said:?}");
    let seen = seen.lock().unwrap();
    let asked = seen.iter().find(|asked| asked.path == "/v1/chat/completions").unwrap();
    assert!(asked.head.contains("Bearer s3cret-key"));
    let (body, content) = (&asked.body, &asked.body["messages"][0]["content"]);
    assert_eq!((&body["model"], &content[0]["text"], &body["top_logprobs"]), (&json!("eye"), &json!("Look."), &json!(5)));
    assert!(content[1]["image_url"]["url"].as_str().unwrap().starts_with("data:image/png;base64,"));
    let regex = body["structured_outputs"]["regex"].as_str().unwrap();
    assert!(regex::Regex::new(&format!("^({regex})$")).unwrap().is_match(ANSWER), "{regex}");
}

#[test]
fn a_busy_server_is_asked_again() {
    let (port, seen) = chat(|_, number| match number {
        0 => reply("429 Too Many Requests", "Retry-After: 0\r\n", "slow down"),
        1 => reply("503 Service Unavailable", "", ""),
        _ => completion(ANSWER),
    });
    let (_, (all, ended)) = ask(endpoint(port), 1);
    ended.unwrap();
    assert!(all[0].as_ref().unwrap().fields.values().all(|field| field.probabilities.is_empty()));
    assert_eq!(seen.lock().unwrap().iter().filter(|asked| asked.path.ends_with("completions")).count(), 3);
}

#[test]
fn a_server_that_asks_for_hours_is_not_waited_for() {
    let (port, _) = chat(|_, _| reply("429 Too Many Requests", "Retry-After: 86400\r\n", "tomorrow"));
    assert!(error(endpoint(port)).contains("429: tomorrow"));
}

#[test]
fn plainer_requests_are_tried_where_the_fuller_are_refused() {
    let (port, _) = chat(|asked, _| {
        if asked.body.get("structured_outputs").is_some() || asked.body.get("logprobs").is_some() {
            reply("422 Unprocessable Content", "", r#"{"detail":"Unexpected fields in the request"}"#)
        } else {
            completion(ANSWER)
        }
    });
    let (client, (all, ended)) = ask(endpoint(port), 4);
    ended.unwrap();
    assert!(all.iter().all(Result::is_ok));
    assert_eq!((client.guidance(), client.tells_confidence()), (Guidance::None, false));
    // Whoever insists on guidance is told that it is refused.
    let (port, _) = chat(|_, _| reply("400 Bad Request", "", r#"{"error":{"message":"no such field"}}"#));
    assert!(error(Endpoint { guidance: Guidance::Regex, ..endpoint(port) }).contains("400: no such field"));
}

#[test]
fn silence_and_floods_end() {
    let (port, seen) = chat(|_, _| {
        std::thread::sleep(Duration::from_secs(3));
        Vec::new()
    });
    let said = error(Endpoint { timeout: Duration::from_millis(300), ..endpoint(port) });
    assert!(said.contains("2 times") && said.contains("servers.lab.timeout_s"), "{said}");
    drop(seen);
    let (port, _) = chat(|_, _| ok(""));
    assert!(error(endpoint(port)).contains("no chat completion"));
    let (port, _) = chat(|_, _| {
        let head = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".to_vec();
        [head, vec![b'['; 17 << 20]].concat()
    });
    assert!(error(endpoint(port)).contains("more than"));
}

#[test]
fn what_cannot_be_read_is_said_safely() {
    let (port, _) = chat(|_, _| completion("- image type->CYLN_DST\n\u{1b}]0;owned\u{7}\n- your judgement->maybe\u{202e}"));
    let said = error(endpoint(port));
    assert!(said.contains("quantity: no line speaks of it") && said.contains('\u{fffd}'), "{said}");
    let (port, _) = chat(|_, _| ok("<html>\u{1b}[31mgateway</html>"));
    assert!(error(endpoint(port)).contains("no chat completion"));
    let (port, _) = chat(|_, _| reply("400 Bad Request", "", "your key s3cret-key is \u{1b}[5mfine"));
    assert!(error(endpoint(port)).contains("(the key)"));
}

#[test]
fn what_no_other_sample_would_change_ends_the_work() {
    let (port, _) = chat(|_, _| reply("401 Unauthorized", "", "wrong key s3cret-key"));
    assert!(error(endpoint(port)).contains("check the key in LAB_KEY"));
    let (port, _) = chat(|_, _| reply("404 Not Found", "", r#"{"error":{"message":"The model `ear` does not exist."}}"#));
    let said = error(Endpoint { model: Some("ear".to_owned()), ..endpoint(port) });
    assert!(said.contains("no model ear; it has eye"), "{said}");
    let (port, seen) = chat(|_, _| reply("302 Found", "Location: http://127.0.0.1:1/\r\n", ""));
    assert!(error(endpoint(port)).contains("answered 302"));
    drop(seen);
    let (port, _) = chat(|_, _| ok("no"));
    let (_, (all, ended)) = ask(endpoint(port), 200);
    assert!(matches!(ended, Err(ServerError::GaveUp { .. })) && all.len() < 60, "{ended:?} {}", all.len());
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let said = Client::connect(endpoint(port), &recipe()).unwrap_err().to_string();
    assert!(said.contains("the server lab cannot be reached") && said.contains("servers.lab.url"), "{said}");
    let none = |_: &str| None;
    assert!(Key::read("lab", "LAB_KEY", none).unwrap_err().to_string().contains("LAB_KEY"));
    // One that lists no models can still be asked, once a model is named.
    let (port, _) = serve(|asked, _| if asked.path.ends_with("models") { reply("500 Oops", "", "") } else { completion(ANSWER) });
    assert!(matches!(Client::connect(endpoint(port), &recipe()), Err(ServerError::WhichModel { .. })));
    let (_, (all, ended)) = ask(Endpoint { model: Some("eye".to_owned()), ..endpoint(port) }, 2);
    assert!(ended.is_ok() && all.iter().all(Result::is_ok));
}
