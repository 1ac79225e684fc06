//! A Python that has the packages of `examples/python`.

use std::path::PathBuf;
use std::process::Command;

use crate::stack;

/// Its program: `FOLDLINE_PYTHON`, or one that is made below `target`. `None` if it cannot be made.
pub fn with_examples_packages() -> Option<PathBuf> {
    if let Some(given) = std::env::var_os("FOLDLINE_PYTHON") {
        return Some(given.into());
    }
    let folder = stack::workspace().join("target/python");
    let python = folder.join("bin/python");
    let has_packages = || {
        let mut command = Command::new(&python);
        command.args(["-c", "import confluent_kafka.schema_registry.avro"]);
        command.output().is_ok_and(|output| output.status.success())
    };
    if !has_packages() {
        let requirements = stack::workspace().join("examples/python/requirements.txt");
        let mut venv = Command::new("python3");
        succeeds(venv.args(["-m", "venv", "--clear"]).arg(&folder))?;
        let mut pip = Command::new(folder.join("bin/pip"));
        succeeds(pip.args(["install", "--quiet", "-r"]).arg(&requirements))?;
    }
    has_packages().then_some(python)
}

fn succeeds(command: &mut Command) -> Option<()> {
    let output = command.output().ok()?;
    output.status.success().then_some(())
}
