//! The tools, of the versions that `package.json` and `requirements.txt` name, below `target/`.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use foldline_tests::stack;

const FILES: [(&str, &str); 5] = [
    ("package.json", include_str!("package.json")),
    ("asyncapi.mjs", include_str!("asyncapi.mjs")),
    ("client.ts", include_str!("client.ts")),
    ("redocly.yaml", include_str!("redocly.yaml")),
    ("schemathesis.toml", include_str!("schemathesis.toml")),
];

pub struct Tools;

impl Tools {
    /// The folder with the tools of npm; `None` if they cannot be installed.
    pub fn npm() -> Option<PathBuf> {
        let folder = stack::workspace().join("target/contracts");
        fs::create_dir_all(&folder).unwrap();
        let installed = folder.join("node_modules/installed.json");
        let is_installed =
            fs::read_to_string(&installed).is_ok_and(|kept| kept == include_str!("package.json"));
        for (name, text) in FILES {
            fs::write(folder.join(name), text).unwrap();
        }
        if !is_installed {
            let args = [
                "install",
                "--no-fund",
                "--no-audit",
                "--no-package-lock",
                "--ignore-scripts",
                "--silent",
            ];
            succeeds(Command::new("npm").args(args).current_dir(&folder))?;
            fs::write(&installed, include_str!("package.json")).unwrap();
        }
        Some(folder)
    }

    /// Schemathesis in an environment of its own; `None` if it cannot be installed.
    pub fn schemathesis() -> Option<PathBuf> {
        let folder = stack::workspace().join("target/contracts/python");
        let (program, wanted) = (folder.join("bin/schemathesis"), include_str!("requirements.txt"));
        let installed = folder.join("installed.txt");
        if !fs::read_to_string(&installed).is_ok_and(|kept| kept == wanted) {
            succeeds(
                Command::new("python3")
                    .args(["-m", "venv", "--clear"])
                    .arg(&folder),
            )?;
            let install = ["install", "--quiet", "--disable-pip-version-check", wanted.trim()];
            succeeds(Command::new(folder.join("bin/pip")).args(install))?;
            fs::write(&installed, wanted).unwrap();
        }
        Some(program)
    }
}

fn succeeds(command: &mut Command) -> Option<()> {
    let output = command.output().ok()?;
    if !output.status.success() {
        println!("{command:?}: {}", String::from_utf8_lossy(&output.stderr));
        return None;
    }
    Some(())
}

/// Runs a tool in the folder. What it prints is shown if it fails.
#[track_caller]
pub fn run(folder: &Path, program: impl AsRef<Path>, args: &[&str]) {
    let program = program.as_ref();
    let is_own = program.components().count() > 1 && program.is_relative();
    let program = if is_own {
        folder.join(program)
    } else {
        program.to_owned()
    };
    let mut command = Command::new::<&OsStr>(program.as_ref());
    command
        .args(args)
        .current_dir(folder)
        .env("REDOCLY_TELEMETRY", "off");
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let (printed, errors) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{command:?}\n{printed}\n{errors}");
}
