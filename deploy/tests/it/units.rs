//! The systemd units in `deploy/systemd`.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::{foldline, stdout};

/// Of 10, as `systemd-analyze security` counts: 10 is a service that may do anything.
const EXPOSURE_MAX: f64 = 2.0;

fn units() -> Vec<(PathBuf, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd");
    let files = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let units = files.filter(|file| file.extension().is_some_and(|extension| extension == "service"));
    units
        .map(|file| (file.clone(), std::fs::read_to_string(file).unwrap()))
        .collect()
}

/// The values of a key, in comments too: those are to be used by taking the sign away.
fn values<'a>(unit: &'a str, key: &str) -> Vec<&'a str> {
    let lines = unit.lines().map(|line| line.trim_start_matches('#'));
    lines
        .filter_map(|line| line.strip_prefix(key)?.strip_prefix('='))
        .collect()
}

#[test]
fn a_unit_gives_its_service_settings_that_it_has() {
    let folder = tempfile::tempdir().unwrap();
    let units = units();
    assert_eq!(units.len(), 3);
    for (file, unit) in units {
        let start = values(&unit, "ExecStart")[0];
        let words: Vec<&str> = start.split_whitespace().skip(1).collect();
        let help = stdout(&foldline(folder.path(), &[words[0], "--help"]));
        let flags = words.iter().filter(|word| word.starts_with("--"));
        let variables = values(&unit, "Environment").into_iter();
        let variables = variables.map(|set| set.split('=').next().unwrap());
        for name in flags.copied().chain(variables) {
            assert!(help.contains(name), "{name} of {}", file.display());
        }
    }
}

/// Whether systemd's tool is there to be asked. Where nothing may be skipped, it must be.
fn is_there() -> bool {
    let found = Command::new("systemd-analyze").arg("--version").output();
    let is_there = found.is_ok_and(|output| output.status.success());
    let must_be = std::env::var_os("FOLDLINE_SKIP_NOTHING").is_some();
    assert!(
        is_there || !must_be,
        "systemd-analyze is missing; Debian has it in the package systemd"
    );
    if !is_there {
        println!("SKIPPED: systemd-analyze is missing, so the units are not looked at");
    }
    is_there
}

fn analyze(words: &[&str], file: &Path) -> Output {
    Command::new("systemd-analyze")
        .args(words)
        .arg(file)
        .output()
        .unwrap()
}

#[test]
fn systemd_takes_the_units_and_finds_little_that_a_service_could_do_beside_its_work() {
    if !is_there() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for (file, unit) in units() {
        // The program is not installed here.
        let copy = folder.path().join(file.file_name().unwrap());
        std::fs::write(
            &copy,
            unit.replace("/usr/local/bin/foldline", env!("CARGO_BIN_EXE_foldline")),
        )
        .unwrap();
        let verified = analyze(&["verify"], &copy);
        let complaints = String::from_utf8_lossy(&verified.stderr).into_owned();
        assert!(verified.status.success() && complaints.is_empty(), "{complaints}");

        let judged = stdout(&analyze(&["security", "--offline=true", "--no-pager"], &copy));
        let overall = judged
            .lines()
            .find_map(|line| line.split_once("Overall exposure level for "));
        let level = overall.and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse::<f64>().ok());
        assert!(level.is_some_and(|level| level <= EXPOSURE_MAX), "{judged}");
    }
}
