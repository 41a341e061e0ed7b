//! `mekiki review`: the terminal interface, knit to the work.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use etcetera::BaseStrategy;

use super::context::Context;
use super::output::{Failure, Outcome};
use super::plan;
use super::predict::{self, DeviceName};
use crate::config::Project;
use crate::domain::{Exemplar, Kind, PredictionSource};
use crate::graphics::Protocol;
use crate::jobs::{self, Background, Launch, Memory, Premises, Report, Runner};
use crate::keys::{BUILT_IN, Keymap};
use crate::review::{self, Setup};
use crate::store::Store;
use crate::tui::{self, Incoming, Options, Wires};

/// Review samples in the terminal.
///
/// It goes on where it stood the last time. `?` lists the keys.
#[derive(Debug, Args)]
pub(super) struct ReviewArgs {
    /// Only the samples that a filter lets through.
    #[arg(long = "where", value_name = "FILTER")]
    filter: Option<String>,
    /// Keys: default, vim, prodigy, lightroom, or a file of your own.
    #[arg(long, value_name = "NAME|FILE", default_value = "default")]
    keymap: String,
    /// How pictures are shown: kitty, kitty-direct, iterm2, sixel, half-blocks; what the terminal says, when not given.
    #[arg(long, value_name = "PROTOCOL")]
    images: Option<Protocol>,
    /// The model that predicts: a name, or the folder of a checkpoint; the one of the last time, when not given.
    #[arg(long, value_name = "NAME|DIR")]
    model: Option<String>,
    /// Predict nothing but what is asked for.
    #[arg(long)]
    no_predict: bool,
    /// What computes predictions; the fastest that this program was built for and finds, when not given.
    #[arg(long, value_enum)]
    device: Option<DeviceName>,
    /// Colours; those of the last time, when not given.
    #[arg(long, value_enum)]
    theme: Option<Theme>,
    /// The interface's language; that of the last time, when not given.
    #[arg(long, value_enum)]
    language: Option<Language>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Theme {
    /// For dark backgrounds.
    Dark,
    /// For light backgrounds.
    Light,
    /// The strongest contrasts.
    HighContrast,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Language {
    /// English.
    En,
    /// 日本語.
    Ja,
}

impl Default for ReviewArgs {
    fn default() -> Self {
        let keymap = "default".to_owned();
        Self { filter: None, keymap, images: None, model: None, no_predict: false, device: None, theme: None, language: None }
    }
}

/// Whether there is a terminal to review in.
pub(super) fn possible(context: &Context) -> bool {
    !context.out.is_json() && io::stdin().is_terminal() && io::stdout().is_terminal()
}

pub(super) fn run(context: &Context, args: &ReviewArgs) -> Result<Outcome, Failure> {
    let (project, store) = context.open()?;
    review(context, args, project, store)
}

/// Reviews a project.
pub(super) fn review(context: &Context, args: &ReviewArgs, project: Project, mut store: Store) -> Result<Outcome, Failure> {
    if !possible(context) {
        return Err(Failure::usage("review needs a terminal; 'mekiki stats', 'next' and 'approve' do without"));
    }
    let who = context.who()?;
    let keymap = keymap(&args.keymap)?;
    if let Some(filter) = &args.filter {
        plan::filter(&project, filter)?;
    }
    let strategy = etcetera::choose_base_strategy()?;
    let memory = Memory::new(&super::settings::state()?, &strategy.config_dir(), &project.dir, who.reviewer.as_str());
    let place = memory.place();
    let (language, theme) = memory.settings();
    let read_only = store.is_read_only();
    let setup = Setup {
        read_only,
        schema: Arc::clone(project.schema()),
        reviewer: who.reviewer.clone(),
        source: source(&project, &mut store, args.model.as_deref())?,
        filter: args.filter.clone().or_else(|| place.as_ref().map(|place| place.filter.clone())).unwrap_or_default(),
        resume: place.map(|place| place.sample),
        language: match args.language {
            Some(Language::En) => review::Language::En,
            Some(Language::Ja) => review::Language::Ja,
            None => language.unwrap_or_else(spoken),
        },
        theme: match args.theme {
            Some(Theme::Dark) => review::Theme::Dark,
            Some(Theme::Light) => review::Theme::Light,
            Some(Theme::HighContrast) => review::Theme::HighContrast,
            None => theme.unwrap_or_default(),
        },
    };
    let folders = plan::folders(&project, &store)?;
    let title = project.name.clone();
    let launch = launch(context, std::env::current_exe()?, &project.dir, who.reviewer.to_string(), args.device);
    let premises = Premises { project: Arc::new(project), who, folders: Arc::new(folders), memory, launch };
    let background =
        Background { source: setup.source.clone(), compute: DeviceName::compute(args.device), on: !args.no_predict && !read_only };
    let (inbox, incoming) = tui::inbox();

    let reports = inbox.clone();
    // Whoever reports after the end is not listened to.
    let report: Report = Arc::new(move |message| drop(reports.send(Incoming::Message(message))));
    let runner = Arc::new(Runner::start(&premises, store, &background, &report)?);
    let sender = Arc::clone(&runner);
    let pictures = inbox.clone();
    let wires = Wires {
        effects: Box::new(move |effect| sender.send(effect)),
        pictures: Box::new(move |target| {
            let deliver: jobs::Deliver = Arc::new(move |made| drop(pictures.send(Incoming::Picture(made))));
            let makers = jobs::pictures(&premises, target, &deliver).map_err(io::Error::other)?;
            Ok(Box::new(move |orders| makers.want(orders)))
        }),
    };
    let colours = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let options = Options { setup, keymap, images: args.images, colours, title };
    let done = tui::run(options, &inbox, incoming, wires);
    // The last saves are finished before the program ends.
    drop(runner);
    done?;
    Ok(Outcome::Done)
}

/// How this program begins a training in a process of its own: of the same project, by the same reviewer, on the same device.
fn launch(context: &Context, program: PathBuf, project: &Path, reviewer: String, device: Option<DeviceName>) -> Launch {
    let project = super::context::absolute(project);
    let device = device.and_then(|device| Some(device.to_possible_value()?.get_name().to_owned()));
    let verbose = context.verbose.map(|level| format!("--verbose={}", level.name()));
    Launch::new(move |arguments| {
        let mut command = Command::new(&program);
        command.arg("-C").arg(&project).args(["--reviewer", &reviewer, "--json"]).args(&verbose);
        command.args(["train", "--detach"]).args(arguments);
        let says = |option: &str| arguments.iter().any(|argument| argument.split('=').next() == Some(option));
        if let Some(device) = device.as_ref().filter(|_| !says("--device")) {
            command.args(["--device", device]);
        }
        command
    })
}

/// Whose predictions count: those of the model that is named, else the store's active source, else what the project would
/// predict with.
fn source(project: &Project, store: &mut Store, named: Option<&str>) -> Result<PredictionSource, Failure> {
    let active = store.active_source()?;
    let source = active.unwrap_or_else(|| PredictionSource {
        model: project.model.clone().unwrap_or_else(|| "none".to_owned()),
        adapter: None,
        instruction: project.recipe.instructions.identity(),
        exemplar: Exemplar::Right,
        kind: Kind::ZeroShot,
    });
    let Some(named) = named else { return Ok(source) };
    let model = predict::Eye::named(project, store, Some(named), None)?.name;
    let source = PredictionSource { model, adapter: None, instruction: project.recipe.instructions.identity(), ..source };
    store.adopt_source(&source)?;
    Ok(source)
}

/// The language of the locale.
fn spoken() -> review::Language {
    let locale = ["LC_ALL", "LC_MESSAGES", "LANG"].into_iter().find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
    if locale.is_some_and(|locale| locale.starts_with("ja")) { review::Language::Ja } else { review::Language::En }
}

/// A keymap by its name, or from a file.
fn keymap(name: &str) -> Result<Keymap, Failure> {
    let told =
        |problems: Vec<crate::keys::Problem>| Failure::usage(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"));
    if let Some(keymap) = Keymap::built_in(name).map_err(told)? {
        return Ok(keymap);
    }
    let names = || BUILT_IN.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    let text = std::fs::read_to_string(Path::new(name))
        .map_err(|error| Failure::usage(format_args!("--keymap {name}: {error}; expected one of {} or a file", names())))?;
    Keymap::parse(&text, name).map_err(told)
}
