//! The user's own folders, the settings file, and the servers in it.

use std::path::PathBuf;

use etcetera::BaseStrategy;

use super::output::Failure;
use crate::config::{ServerSettings, UserSettings};
use crate::model::server::{Endpoint, Key};

/// Where the user's settings stand: `mekiki/settings.toml` in their folder for settings (`~/.config`, `XDG_CONFIG_HOME`).
pub(super) fn file() -> Result<PathBuf, Failure> {
    Ok(etcetera::choose_base_strategy()?.config_dir().join("mekiki").join("settings.toml"))
}

/// The user's folder for what is remembered between two starts (`~/.local/state`, `XDG_STATE_HOME`).
pub(super) fn state() -> Result<PathBuf, Failure> {
    let strategy = etcetera::choose_base_strategy()?;
    Ok(strategy.state_dir().unwrap_or_else(|| strategy.data_dir()))
}

/// The server of an alias, its key read from the environment; `model` is asked instead of the one in the settings.
pub(super) fn endpoint(alias: &str, model: Option<&str>) -> Result<Endpoint, Failure> {
    let file = file()?;
    let servers = UserSettings::load(&file)?.servers;
    let Some(settings) = servers.get(alias) else {
        let known: Vec<&str> = servers.keys().map(String::as_str).collect();
        let known = if known.is_empty() { "names no server".to_owned() } else { format!("names {}", known.join(", ")) };
        return Err(Failure::new(format_args!(
            "the server {alias}: no such alias; {} {known}; add to it\n[servers.{alias}]\nurl = \"http://HOST:8000/v1\"",
            file.display()
        )));
    };
    of(alias, settings, model)
}

/// The endpoint that settings describe.
pub(super) fn of(alias: &str, settings: &ServerSettings, model: Option<&str>) -> Result<Endpoint, Failure> {
    let variable = |name: &str| std::env::var(name).ok();
    let key = settings.key_env.as_ref().map(|name| Key::read(alias, name, variable)).transpose()?;
    Ok(Endpoint {
        alias: alias.to_owned(),
        url: settings.url.clone(),
        model: model.map(str::to_owned).or_else(|| settings.model.clone()),
        key,
        concurrency: settings.concurrency,
        timeout: settings.timeout,
        guidance: settings.guidance,
        logprobs: settings.logprobs,
    })
}
