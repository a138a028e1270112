//! Parse, run, print the error once, exit code. No async runtime here: launching needs one thread.

use std::process::ExitCode;

fn main() -> ExitCode {
    ringfence::cli::main()
}
