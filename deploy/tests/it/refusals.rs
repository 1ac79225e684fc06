//! What is refused before anything is started.

use std::net::TcpListener;
use std::path::Path;

use crate::{foldline, foldline_with, stderr, stdout};

/// Arguments, and variables.
type Given<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)]);

/// Nothing has run in this folder if there is no log in it.
fn logs(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(logs(&path));
        } else if path.extension().is_some_and(|end| end == "log") {
            found.push(path.display().to_string());
        }
    }
    found
}

#[test]
fn a_taken_port_is_named_with_its_option_and_nothing_is_started() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let options = [
        "--port-query-api",
        "--port-command-handler",
        "--port-projector",
        "--port-kafka",
        "--port-registry",
    ];
    for taken in options {
        let mut args = vec!["--data", "data"];
        for option in options {
            args.extend([option, if option == taken { &port } else { "0" }]);
        }
        let output = foldline(folder.path(), &args);

        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(&format!("port {port}")), "{said}");
        assert!(said.contains("is taken") && said.contains(taken), "{said}");
        assert_eq!(logs(folder.path()), [""; 0]);
    }
}

#[test]
fn a_service_that_does_not_say_who_may_ask_does_not_start() {
    let folder = tempfile::tempdir().unwrap();
    for service in ["command-handler", "query-api"] {
        let output = foldline(folder.path(), &[service, "--listen", "127.0.0.1:0"]);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(
            said.contains("nothing says who may ask") && said.contains("--auth none"),
            "{said}"
        );
    }
}

#[test]
fn a_kafka_that_does_not_answer_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let nobody = ["--bootstrap-servers", "127.0.0.1:1"];
    let output = foldline(folder.path(), &[&["topics", "check"][..], &nobody].concat());

    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.starts_with("error: Kafka at 127.0.0.1:1 does not answer"),
        "{said}"
    );
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[test]
fn a_registry_that_does_not_answer_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let nobody = ["schemas", "register", "--schema-registry", "http://127.0.0.1:1"];
    let output = foldline(folder.path(), &nobody);

    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("http://127.0.0.1:1 does not answer"), "{said}");
}

#[test]
fn settings_that_go_together_are_taken_from_the_file_and_the_environment() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("password", "kestrel-canary");
    write(
        "settings.toml",
        "bootstrap-servers = '127.0.0.1:1'\nkafka-username = 'ada'\nkafka-password-file = 'password'",
    );
    let check = ["topics", "check", "--config", "settings.toml"];
    let variables = [
        ("FOLDLINE_KAFKA_PROTOCOL", "sasl_plaintext"),
        ("FOLDLINE_KAFKA_MECHANISM", "PLAIN"),
    ];
    let output = foldline_with(folder.path(), &check, &variables);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("127.0.0.1:1 does not answer"), "{said}");
}

#[test]
fn half_an_identity_in_the_file_alone_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("settings.toml");
    for (half, lacks) in [
        ("kafka-cert = 'own.pem'", "--kafka-cert needs --kafka-key"),
        (
            "kafka-username = 'ada'",
            "--kafka-username needs --kafka-password-file",
        ),
        (
            "registry-username = 'ada'",
            "--registry-username needs --registry-password-file",
        ),
    ] {
        std::fs::write(&file, half).unwrap();
        let output = foldline(folder.path(), &["projector", "--config", "settings.toml"]);
        assert_eq!(output.status.code(), Some(2), "{half}");
        assert_eq!(stderr(&output), format!("error: {lacks}\n"));
    }
}

#[test]
fn a_secret_among_the_settings_is_refused_and_is_in_no_message_and_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let password = "sasl.password=kestrel-canary";
    let url = "http://ada:kestrel-canary@127.0.0.1:1";
    let file = folder.path().join("settings.toml");
    std::fs::write(&file, format!("kafka = ['{password}']")).unwrap();
    let in_environment = [("FOLDLINE_KAFKA", password)];
    let cases: [Given<'_>; 6] = [
        (&["--kafka", password], &[]),
        (
            &["--bootstrap-servers", "127.0.0.1:1", "--schema-registry", url],
            &[],
        ),
        (&["projector", "--kafka", password], &[]),
        (&["topics", "check", "--schema-registry", url], &[]),
        (&["projector", "--config", "settings.toml"], &[]),
        (&["projector"], &in_environment),
    ];
    for (args, variables) in cases {
        let output = foldline_with(folder.path(), args, variables);
        let said = stdout(&output) + &stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {said}");
        assert!(
            said.contains("-password-file") && !said.contains("canary"),
            "{args:?}: {said}"
        );
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn nobody_is_erased_if_the_receipt_could_not_be_written_or_the_rows_not_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let erase = [
        "erase",
        "/customers/ada",
        "--yes",
        "--bootstrap-servers",
        "127.0.0.1:1",
    ];
    let cases: [(&[&str], &str); 3] = [
        (
            &["--receipt", "nowhere/receipt.json"],
            "cannot write nowhere/receipt.json",
        ),
        (&["--query-token", "token"], "--query-token needs --query-api"),
        (
            &["--query-token", "token", "--query-api", "http://127.0.0.1:1"],
            "cannot read token",
        ),
    ];
    for (more, lacks) in cases {
        let output = foldline(folder.path(), &[&erase[..], more].concat());
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.starts_with(&format!("error: {lacks}")), "{said}");
    }
}
