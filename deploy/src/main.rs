//! The program `foldline` with the domains of this repository. An adopter's has this one line too.

use std::process::ExitCode;

fn main() -> ExitCode {
    foldline::main(foldline_domains::installed())
}
