//! The `plumb` program: see `plumb --help`, and `cli` for its commands.

use std::process::ExitCode;

fn main() -> ExitCode {
    plumb::cli::main()
}
