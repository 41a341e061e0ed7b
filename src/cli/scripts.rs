//! `mekiki completions` and `mekiki man`: files for the shell and for man(1).

use std::path::PathBuf;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::context::Context;
use super::output::{Failure, Outcome, raw};

/// Completions for a shell, on standard output.
#[derive(Debug, Args)]
pub(super) struct CompletionsArgs {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

/// Man pages: that of mekiki on standard output, or all of them into a folder.
#[derive(Debug, Args)]
pub(super) struct ManArgs {
    /// The folder for one page a command.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

pub(super) fn completions(args: &CompletionsArgs) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut super::Cli::command(), "mekiki", &mut script);
    raw(&script);
    Outcome::Done
}

pub(super) fn man(context: &Context, args: &ManArgs) -> Result<Outcome, Failure> {
    let command = super::Cli::command();
    if let Some(dir) = &args.out {
        std::fs::create_dir_all(dir)?;
        clap_mangen::generate_to(command, dir)?;
        context.out.line(format_args!("wrote the man pages into {}", dir.display()));
    } else {
        let mut page = Vec::new();
        clap_mangen::Man::new(command).render(&mut page)?;
        raw(&page);
    }
    Ok(Outcome::Done)
}
