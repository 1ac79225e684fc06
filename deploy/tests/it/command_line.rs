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

#[test]
fn what_has_changed_between_two_versions_is_said_with_what_follows() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let unchanged = foldline(&root, &["schemas", "diff"]);
    assert_eq!(stdout(&unchanged), "nothing has changed\n");

    let versions = ["restaurant.orders.events", "--from", "2", "--to", "3"];
    let changed = foldline(&root, &[&["schemas", "diff"], &versions[..]].concat());
    assert!(changed.status.success(), "{}", stderr(&changed));
    let said = "restaurant.orders.events: from v2 to v3\n  \
        item_added_to_order.subtotal: added, Money or null. Older records are read with null; older readers do not \
        see it\n  it fits: each reads what the other has written\n";
    assert_eq!(stdout(&changed), said);

    let unknown = foldline(
        &root,
        &["schemas", "diff", "restaurant.orders.events", "--from", "99"],
    );
    assert_eq!(unknown.status.code(), Some(1));
    assert!(
        stderr(&unknown).contains("has no version 99"),
        "{}",
        stderr(&unknown)
    );
}

#[test]
fn a_change_that_does_not_fit_is_said_and_the_exit_code_is_1() {
    let folder = tempfile::tempdir().unwrap();
    assert!(foldline(folder.path(), &["schemas", "write"]).status.success());
    let kept = folder.path().join("schemas/counter/counters/events/v1.avsc");
    let text = std::fs::read_to_string(&kept).unwrap();
    std::fs::write(&kept, text.replacen("\"sequence\"", "\"place\"", 1)).unwrap();

    let output = foldline(folder.path(), &["schemas", "diff"]);

    assert_eq!(output.status.code(), Some(1));
    let said = stdout(&output);
    assert!(
        said.contains("sequence: added, long, without default. Older records cannot be read"),
        "{said}"
    );
    assert!(
        said.contains("place: removed. Older readers cannot read newer records"),
        "{said}"
    );
    assert!(said.contains("it does not fit"), "{said}");
}
