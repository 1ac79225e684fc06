//! The program `foldline` as its users call it. That `dev` brings everything up is shown in `tests/`.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod command_line;
mod refusals;
mod units;

use std::path::Path;
use std::process::{Command, Output};

/// Calls the program in a folder of its own, without the settings of whoever runs the tests.
fn foldline(folder: &Path, args: &[&str]) -> Output {
    foldline_with(folder, args, &[])
}

/// The same, with settings in the environment.
fn foldline_with(folder: &Path, args: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_foldline"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("FOLDLINE_")) {
        command.env_remove(name);
    }
    command.envs(variables.iter().copied());
    command.args(args).current_dir(folder).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}
