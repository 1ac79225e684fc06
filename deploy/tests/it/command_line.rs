//! What the program says of itself.

use crate::{foldline, stderr, stdout};

#[test]
fn help_names_every_command_and_what_happens_without_one() {
    let folder = tempfile::tempdir().unwrap();
    let output = foldline(folder.path(), &["--help"]);
    let help = stdout(&output);

    assert!(output.status.success());
    for command in [
        "dev",
        "command-handler",
        "projector",
        "query-api",
        "topics",
        "schemas",
    ] {
        assert!(help.contains(&format!("\n  {command} ")), "{command} in {help}");
    }
    for said in [
        "Without a command",
        "--ephemeral",
        "--port-kafka",
        "--bootstrap-servers",
        "--config",
    ] {
        assert!(help.contains(said), "{said} in {help}");
    }
}

#[test]
fn every_command_explains_each_of_its_options() {
    let folder = tempfile::tempdir().unwrap();
    let commands: [&[&str]; 9] = [
        &["dev"],
        &["command-handler"],
        &["projector"],
        &["query-api"],
        &["topics", "apply"],
        &["topics", "check"],
        &["schemas", "register"],
        &["schemas", "write"],
        &["schemas", "check"],
    ];
    for command in commands {
        let args: Vec<&str> = command.iter().copied().chain(["-h"]).collect();
        let output = foldline(folder.path(), &args);
        assert!(output.status.success(), "{}", stderr(&output));
        let help = stdout(&output);
        let mut lines = help.lines().peekable();
        while let Some(line) = lines.next() {
            let is_option = line.trim_start().starts_with('-');
            let is_explained =
                line.trim().contains("  ") || lines.peek().is_some_and(|next| next.starts_with("      "));
            assert!(!is_option || is_explained, "{command:?}: {line}");
        }
    }
}

#[test]
fn a_wrong_command_line_is_2_and_nothing_is_touched() {
    let folder = tempfile::tempdir().unwrap();
    let cases: [(&[&str], &str); 6] = [
        (&["brew"], "brew"),
        (&["--port-kafka", "many"], "--port-kafka"),
        (&["--bootstrap-servers", "127.0.0.1:1"], "needs --schema-registry"),
        (&["--port-kafka", "9", "--port-registry", "9"], "are both 9"),
        (&["--kafka", "nothing"], "KEY=VALUE"),
        (&["--ephemeral", "topics", "check"], "--ephemeral"),
    ];
    for (args, said) in cases {
        let output = foldline(folder.path(), args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(stderr(&output).contains(said), "{args:?}: {}", stderr(&output));
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn the_kept_schemas_are_those_of_the_code() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let output = foldline(&root, &["schemas", "check"]);
    assert!(output.status.success(), "{}", stderr(&output));
}

#[test]
fn schemas_are_written_where_nothing_is_kept_and_then_check() {
    let folder = tempfile::tempdir().unwrap();
    let unwritten = foldline(folder.path(), &["schemas", "check"]);
    assert_eq!(unwritten.status.code(), Some(1));
    assert!(
        stderr(&unwritten).contains("`foldline schemas write`"),
        "{}",
        stderr(&unwritten)
    );

    assert!(foldline(folder.path(), &["schemas", "write"]).status.success());
    assert!(foldline(folder.path(), &["schemas", "check"]).status.success());
    assert!(
        folder
            .path()
            .join("schemas/restaurant/orders/events/v1.avsc")
            .is_file()
    );
}
