//! The user's own files, and the servers in them.

use std::time::Duration;

use serde_json::{Map, json};

use super::super::{settings, trace};
use super::Section;
use crate::config::UserSettings;
use crate::keys::BUILT_IN;
use crate::model::server::Client;

/// How long a server may take to say that it is there.
const LIMIT: Duration = Duration::from_secs(5);

/// Which of the user's own files are there.
pub(super) fn files() -> Section {
    let mut section = Section::new("files");
    match settings::file() {
        Ok(file) => {
            let remembered = file.with_file_name("review.json");
            for (name, path, what) in
                [("settings", file, "yours to write: servers"), ("remembered", remembered, "theme and language of the review")]
            {
                let there = path.is_file();
                section.line(name, format_args!("{}{} ({what})", path.display(), if there { "" } else { ", not there" }));
                section.set(name, json!({ "path": path, "found": there }));
            }
        }
        Err(failure) => section.wrong(failure.message(), "set HOME, or XDG_CONFIG_HOME"),
    }
    log(&mut section);
    let names: Vec<&str> = BUILT_IN.iter().map(|(name, _)| *name).collect();
    section.line("keymaps", format_args!("{} ('mekiki review --keymap FILE' takes one of your own)", names.join(", ")));
    section.set("keymaps", names);
    section
}

/// Where the program writes down what happens.
fn log(section: &mut Section) {
    let path = match trace::file() {
        Ok(path) => path,
        Err(failure) => return section.hint(failure.message(), "set HOME, or XDG_STATE_HOME; until then there is no log"),
    };
    let problem = trace::writable(&path).err().map(|error| error.to_string());
    section.line("log", format_args!("{} (what went wrong; with --verbose all that happens)", path.display()));
    section.set("log", json!({ "path": path, "problem": problem }));
    if let Some(problem) = problem {
        section.hint(
            format_args!("the log {} cannot be written: {problem}", path.display()),
            "make its folder one that you may write to; until then there is no log",
        );
    }
}

/// What the settings name; with `ask`, whether it answers.
pub(super) fn look(ask: bool) -> Section {
    let mut section = Section::new("servers");
    // That there is no place for settings is said of the files.
    let Ok(file) = settings::file() else { return section };
    let servers = match UserSettings::load(&file) {
        Ok(settings) => settings.servers,
        Err(error) => {
            section.wrong(error, "correct the file; nothing of it is used until all of it can be read");
            return section;
        }
    };
    let mut listed = Map::new();
    // All at once, so that several that are down take no longer than one.
    let asked: Vec<_> = servers
        .iter()
        .map(|(alias, server)| {
            let endpoint = settings::of(alias, server, None);
            let found = endpoint.map_err(|failure| failure.message()).map(|mut endpoint| {
                endpoint.timeout = endpoint.timeout.min(LIMIT);
                ask.then(|| std::thread::spawn(move || Client::look(&endpoint).map_err(|error| error.to_string())))
            });
            (alias, server, found)
        })
        .collect();
    for (alias, server, found) in asked {
        let key = server.key_env.as_ref().map_or_else(|| "no key".to_owned(), |name| format!("key in {name}"));
        let named = server.model.as_deref().unwrap_or("its only model");
        let mut state = "not asked (--servers asks)".to_owned();
        let mut json = json!({ "model": server.model, "key_env": server.key_env, "guidance": server.guidance.name(), "asked": ask });
        let result = found.and_then(|thread| match thread {
            // A panic of the thread is as good as no answer.
            Some(thread) => thread.join().unwrap_or_else(|_| Err(format!("the server {alias} could not be asked"))).map(Some),
            None => Ok(None),
        });
        match result {
            Ok(None) => {}
            Ok(Some(found)) => {
                let models = if found.models.is_empty() { "it lists no models".to_owned() } else { found.models.join(", ") };
                state = format!("answers ({}): {models}", found.flavour.name());
                json["answers"] = json!(true);
                json["flavour"] = json!(found.flavour.name());
                if let Some(model) = server.model.as_ref().filter(|model| !found.models.is_empty() && !found.models.contains(model)) {
                    section.hint(
                        format_args!("the server {alias} does not list the model {model}"),
                        format_args!("set servers.{alias}.model to one that it lists, or start the server with it"),
                    );
                }
                json["models"] = json!(found.models);
            }
            Err(error) => {
                "does not answer".clone_into(&mut state);
                if ask {
                    json["answers"] = json!(false);
                }
                let (what, help) = error.split_once("; ").unwrap_or((&error, "see whether it runs"));
                section.wrong(what, help);
            }
        }
        if server.key_env.is_some() && server.url.scheme() == "http" && !is_local(server.url.host_str()) {
            section.hint(
                format_args!("the key of {alias} travels unencrypted (http)"),
                "use https, or a tunnel (ssh -L) to a port on this machine",
            );
        }
        section.line(alias, format_args!("{named}, {key}, guidance {}: {state}", server.guidance.name()));
        listed.insert(alias.clone(), json);
    }
    if servers.is_empty() {
        section.line("none", "[servers.ALIAS] with a url in the settings adds one");
    }
    section.set("servers", listed);
    section
}

fn is_local(host: Option<&str>) -> bool {
    host.is_some_and(|host| host == "localhost" || host.starts_with("127.") || host == "[::1]")
}
