//! The commands: one file each, with its `Args` and its `run`. Only here do errors become text
//! and exit codes: 0 done, 1 failed, 2 wrong usage or config.

pub mod detect;
pub mod replay;
pub mod verify;

mod output;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use output::{Output, UsageError};

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
    /// Run a recording through the stream and print its alarms.
    Replay(replay::Args),
    /// Look at pictures with the e-bike detector.
    Detect(detect::Args),
    /// Check an alarm's evidence against its manifest, offline.
    Verify(verify::Args),
}

/// Parses the command line, runs the command, prints its error, returns its exit code.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    output::log_to_stderr();
    let result = match cli.command {
        Command::Replay(args) => replay::run(&args),
        Command::Detect(args) => detect::run(&args),
        Command::Verify(args) => verify::run(&args),
    };
    result.unwrap_or_else(|error| output::report(&error))
}
