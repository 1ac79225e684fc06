//! Outside tools judge what the services say about themselves: linters of OpenAPI and AsyncAPI, a generator of clients,
//! and Schemathesis, which sends thousands of requests made from the documents and checks each answer against them.

mod tools;

use std::path::Path;

use foldline_tests::dev::Dev;
use foldline_tests::skip;
use serde_json::Value;

use crate::PROGRAM;
use tools::{Tools, run};

/// How many requests are made up for each operation, besides those for its examples and for the edges of its types.
const EXAMPLES_MAX: &str = "15";

#[tokio::test(flavor = "multi_thread")]
async fn outside_tools_find_nothing_against_the_documents_and_the_services_keep_to_them() {
    let (Some(npm), python) = (Tools::npm(), Tools::schemathesis()) else {
        skip::because(
            "the tools that judge the documents, because there is no npm, or it cannot install them",
        );
        return;
    };
    let mut dev = Dev::start("contracts", PROGRAM).await;
    let (write, read) = (dev.address("write API"), dev.address("read API"));
    let http = reqwest::Client::new();
    for (service, name) in [(&write, "write"), (&read, "read")] {
        let document = get(&http, &format!("{service}/openapi.json")).await;
        std::fs::write(npm.join(format!("{name}.json")), document.to_string()).unwrap();
    }
    let topics = get(&http, &format!("{write}/asyncapi.json")).await;
    std::fs::write(npm.join("topics.json"), topics.to_string()).unwrap();

    lint(&npm);
    generate(&npm);
    match python {
        Some(schemathesis) => {
            ask_all_examples(&http, &write).await;
            for service in [&write, &read] {
                attack(&schemathesis, &npm, service);
            }
        }
        None => skip::because("Schemathesis, because there is no python3 with venv and pip"),
    }
    dev.stop().await;
}

fn lint(npm: &Path) {
    let redocly = [
        "lint",
        "--config",
        "redocly.yaml",
        "--max-problems=20",
        "write.json",
        "read.json",
    ];
    run(npm, "node_modules/.bin/redocly", &redocly);
    run(npm, "node", &["asyncapi.mjs", "topics.json"]);
}

/// Types for TypeScript, and a client that uses them.
fn generate(npm: &Path) {
    for name in ["write", "read"] {
        let (document, types) = (format!("{name}.json"), format!("{name}.ts"));
        run(
            npm,
            "node_modules/.bin/openapi-typescript",
            &[&document, "-o", &types],
        );
    }
    run(
        npm,
        "node_modules/.bin/tsc",
        &["--noEmit", "--strict", "--skipLibCheck", "client.ts"],
    );
}

/// So that there is something to show: what the document itself gives as examples, but for those that take away.
async fn ask_all_examples(http: &reqwest::Client, write: &str) {
    let document = get(http, &format!("{write}/openapi.json")).await;
    let mut accepted = 0;
    for (path, operations) in document["paths"].as_object().unwrap() {
        let body = &operations["post"]["requestBody"]["content"]["application/json"];
        let examples = body["examples"]
            .as_object()
            .filter(|_| path.ends_with("/{id}/commands"));
        for (name, example) in examples.into_iter().flatten() {
            if ["Remove", "Cancel", "Place"]
                .iter()
                .any(|end| name.starts_with(end))
            {
                continue;
            }
            let url = format!("{write}{}", path.replace("{id}", "8659a0d6"));
            let answer = http.post(url).json(&example["value"]).send().await.unwrap();
            assert!(!answer.status().is_server_error(), "{name}: {}", answer.status());
            accepted += usize::from(answer.status().is_success());
        }
    }
    assert!(
        accepted >= 8,
        "the examples make something to show, and only {accepted} were accepted"
    );
}

fn attack(schemathesis: &Path, folder: &Path, service: &str) {
    let document = format!("{service}/openapi.json");
    let checks =
        "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance";
    // One worker: Python 3.11 cannot compile in several threads at once. The seed is fixed, so that a red run is again.
    let args = [
        "--config-file",
        "schemathesis.toml",
        "run",
        &document,
        "--checks",
        checks,
        "--seed",
        "1",
    ];
    let limits = [
        "--max-examples",
        EXAMPLES_MAX,
        "--request-timeout",
        "15",
        "--workers",
        "1",
        "--no-color",
    ];
    run(folder, schemathesis, &[&args[..], &limits[..]].concat());
}

async fn get(http: &reqwest::Client, url: &str) -> Value {
    let answer = http.get(url).send().await.unwrap();
    assert_eq!(answer.status(), 200, "{url}");
    answer.json().await.unwrap()
}
