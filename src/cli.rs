//! The command line: one file per command, each parses, calls the rooms, prints.
//!
//! Contract: may import every room; wires them together. Prints one JSON object with `--json`. Exit codes: 0 done, 1 the
//! work found problems, 2 wrong usage. Never asks.

mod approve;
mod boards;
mod compare;
mod context;
mod demo;
mod doctor;
mod eval;
mod exemplar;
mod export;
mod import;
mod init;
mod log;
mod measure;
mod model;
mod next;
mod numbers;
mod output;
mod plan;
mod pool;
mod predict;
mod rebuild;
mod review;
mod scripts;
mod settings;
mod show;
mod similar;
mod stats;
mod trace;
mod train;
mod undo;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use context::Context;
use output::{Failure, Outcome};
use review::ReviewArgs;
use trace::{Level, Trace};

/// A trained eye: review, label, write back and train visual-inspection VLM data from the terminal.
#[derive(Debug, Parser)]
#[command(name = "mekiki", version, max_term_width = 110, propagate_version = true)]
struct Cli {
    /// The project's folder; the current one, when not given.
    // Its name here is one that no command gives to an argument of its own.
    #[arg(short = 'C', long = "project", value_name = "DIR", global = true)]
    project: Option<PathBuf>,
    /// Who decides; the login name, when not given.
    #[arg(long, value_name = "NAME", global = true)]
    reviewer: Option<String>,
    /// Print one JSON object.
    #[arg(long, global = true)]
    json: bool,
    /// Write down what happens in a log ('mekiki doctor' says where it is): all of it, or less with --verbose=info.
    #[arg(long, value_enum, value_name = "LEVEL", env = "MEKIKI_LOG", num_args = 0..=1, require_equals = true, default_missing_value = "debug", global = true)]
    verbose: Option<Level>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a complete demo project, or open the one that is there.
    Demo(demo::DemoArgs),
    /// Start a project from a template.
    Init(init::InitArgs),
    /// Add samples from files, folders or archives.
    Import(import::ImportArgs),
    /// List and change the reference and exemplar pools.
    Pool(pool::PoolArgs),
    /// Draw a red star on a good product.
    Exemplar(exemplar::ExemplarArgs),
    /// Review samples in the terminal.
    Review(review::ReviewArgs),
    /// Hand out the next undecided sample.
    Next(next::NextArgs),
    /// Approve samples with their labels, as one step that can be undone.
    Approve(approve::ApproveArgs),
    /// Take back the last decision, or several.
    Undo(undo::UndoArgs),
    /// Make again what was undone.
    Redo(undo::UndoArgs),
    /// List who decided what, newest first.
    Log(log::LogArgs),
    /// Make the derived tables again from the log.
    Rebuild,
    /// Predict samples with a model, or store predictions that were made elsewhere.
    Predict(predict::PredictArgs),
    /// Measure predictions on approved samples, or against a truth file.
    Eval(eval::EvalArgs),
    /// Compare two models, adapters, instructions, exemplars or kinds on the same samples.
    Compare(compare::CompareArgs),
    /// Train a model on approved samples, or on generated boards.
    Train(Box<train::TrainArgs>),
    /// Group samples whose pictures look alike; find outliers and near-duplicates.
    Similar(similar::SimilarArgs),
    /// Make models to try.
    Model(model::ModelArgs),
    /// Write the training set from approved samples.
    Export(export::ExportArgs),
    /// Show a sample, or the conversation that is made of it.
    Show(show::ShowArgs),
    /// Count samples, decisions and agreement.
    Stats(stats::StatsArgs),
    /// Say what this terminal, this machine and this project can do, and what stands in the way.
    Doctor(doctor::DoctorArgs),
    /// Draw pin boards with known truth.
    Boards(boards::BoardsArgs),
    /// Print completions for a shell.
    Completions(scripts::CompletionsArgs),
    /// Print or write man pages.
    Man(scripts::ManArgs),
}

/// Runs the program; what `main` returns.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        // Help and version are no errors; clap prints them and knows their exit codes.
        Err(error) => {
            let code = error.exit_code();
            return if error.print().is_ok() { ExitCode::from(code as u8) } else { ExitCode::FAILURE };
        }
    };
    let trace = Trace::start(cli.verbose);
    let context = Context::new(cli.project, cli.reviewer, cli.json, cli.verbose);
    let result = match &cli.command {
        Some(command) => run(&context, command),
        None if review::possible(&context) => review::run(&context, &ReviewArgs::default()),
        None => stats::overview(&context),
    };
    trace.end(&result);
    match result {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Problems) => ExitCode::from(1),
        Err(failure) => {
            context.out.failure(&failure, trace.whereabouts().as_deref());
            ExitCode::from(failure.code())
        }
    }
}

fn run(context: &Context, command: &Command) -> Result<Outcome, Failure> {
    match command {
        Command::Demo(args) => demo::run(context, args),
        Command::Init(args) => init::run(context, args),
        Command::Import(args) => import::run(context, args),
        Command::Pool(args) => pool::run(context, args),
        Command::Exemplar(args) => exemplar::run(context, args),
        Command::Review(args) => review::run(context, args),
        Command::Next(args) => next::run(context, args),
        Command::Approve(args) => approve::run(context, args),
        Command::Undo(args) => undo::run(context, args, undo::Direction::Undo),
        Command::Redo(args) => undo::run(context, args, undo::Direction::Redo),
        Command::Log(args) => log::run(context, args),
        Command::Rebuild => rebuild::run(context),
        Command::Predict(args) => predict::run(context, args),
        Command::Eval(args) => eval::run(context, args),
        Command::Compare(args) => compare::run(context, args),
        Command::Train(args) => train::run(context, args),
        Command::Similar(args) => similar::run(context, args),
        Command::Model(args) => model::run(context, args),
        Command::Export(args) => export::run(context, args),
        Command::Show(args) => show::run(context, args),
        Command::Stats(args) => stats::run(context, args),
        Command::Doctor(args) => doctor::run(context, args),
        Command::Boards(args) => boards::run(context, args),
        Command::Completions(args) => Ok(scripts::completions(args)),
        Command::Man(args) => scripts::man(context, args),
    }
}
