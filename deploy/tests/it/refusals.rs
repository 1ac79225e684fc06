//! What is refused before anything is started.

use std::net::TcpListener;
use std::path::Path;

use crate::{foldline, stderr};

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
