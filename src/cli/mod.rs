//! The commands: one file each, with its `Args` and its `run`. Only here do errors become text
//! and exit codes: 0 done, 1 failed, 2 wrong usage or config.

pub mod run;
pub mod demo;
pub mod check;
pub mod replay;
pub mod detect;
pub mod verify;
pub mod bench;
pub mod user;
pub mod audit;
pub mod token;

mod fixtures;
mod output;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use rustix::fs::Mode;

pub use output::{Output, UsageError};

use crate::memory;

#[derive(Parser)]
#[command(
    name = "plumb",
    version,
    about = "Watches facades for falling objects and elevators for e-bikes"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the service.
    Run(run::Args),
    /// See it work: three real RTSP cameras, the service, a receiver, a table at the end.
    Demo(demo::Args),
    /// Try everything the service needs and say what is wrong.
    Check(check::Args),
    /// Run a recording through the stream and print its alarms.
    Replay(replay::Args),
    /// Look at pictures with the e-bike detector.
    Detect(detect::Args),
    /// Check an exported bundle, or an alarm's evidence, offline.
    Verify(verify::Args),
    /// Measure live-paced streams through the whole pipeline.
    Bench(bench::Args),
    /// Look after the accounts of people, also while the service runs.
    User(user::Args),
    /// Check the log of what was done.
    Audit(audit::Args),
    /// Look after the tokens of programs, also while the service runs.
    Token(token::Args),
}

/// Parses the command line, runs the command, prints its error, returns its exit code.
pub fn main() -> ExitCode {
    memory::share_arenas();
    let cli = Cli::parse();
    // Evidence, keys and bundles are for whoever the service runs as, and so is all else it writes.
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
    // The service logs as its configuration says.
    if !matches!(cli.command, Command::Run(_)) {
        output::log_to_stderr();
    }
    let result = match cli.command {
        Command::Run(args) => run::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Detect(args) => detect::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::User(args) => user::run(args),
        Command::Audit(args) => audit::run(&args),
        Command::Token(args) => token::run(args),
    };
    result.unwrap_or_else(|error| output::report(&error))
}
