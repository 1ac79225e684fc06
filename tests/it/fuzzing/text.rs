//! Texts: tokens, ids, times, durations, commands as JSON, and files with settings.

use clap::{Args, Command, FromArgMatches};
use foldline_core::{AggregateId, EventHash, Timestamp, Token};
use foldline_domains::installed;
use foldline_service::{RateLimit, parse_duration, parse_layered};
use foldline_tests::fuzz::{corpus, fuzz};

fn said<T, E: ToString>(what: Result<T, E>) -> String {
    what.map_or_else(|error| error.to_string(), |_| "read".to_owned())
}

#[test]
fn no_text_makes_a_parser_panic() {
    let token = Token::at("a cluster", "restaurant.orders", 3, 1_234_567).to_string();
    let seeds = [
        &*token,
        "8659a0d6-31c4-4d0a-9d0e-0d8d4a3c1e11",
        "orders~7.a_b",
        "2024-02-29T23:59:60.123456Z",
        "2024-02-29T12:00:00+01:00",
        "1m 30s",
        "500ms",
        "100/10s",
        "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    ];
    fuzz(
        "texts",
        seeds.map(|seed| seed.as_bytes().to_vec()).into(),
        |bytes| {
            let text = String::from_utf8_lossy(bytes);
            let read_back = |token: Token| assert_eq!(token.to_string().parse(), Ok(token));
            let mut answer = said(text.parse::<Token>().map(read_back));
            answer += &said(text.parse::<AggregateId>());
            answer += &said(text.parse::<Timestamp>());
            answer += &said(text.parse::<EventHash>());
            answer += &said(text.parse::<RateLimit>());
            answer += &said(parse_duration(&text));
            answer
        },
    );
}

#[test]
fn no_json_makes_the_form_of_a_command_panic_and_each_mistake_has_a_pointer() {
    let domains = installed();
    fuzz("commands as JSON", corpus("json"), |bytes| {
        let Ok(body) = serde_json::from_slice(bytes) else {
            return "no JSON".to_owned();
        };
        let mut answer = String::new();
        for aggregate in domains.aggregates() {
            answer += &match aggregate.command_from_json(&body, None) {
                Ok((name, _)) => name,
                Err(errors) => {
                    assert!(!errors.0.is_empty());
                    let is_a_pointer = |pointer: &str| pointer.is_empty() || pointer.starts_with('/');
                    assert!(
                        errors.0.iter().all(|error| is_a_pointer(&error.pointer)),
                        "{errors}"
                    );
                    errors.to_string()
                }
            };
        }
        answer
    });
}

#[test]
fn no_file_of_settings_makes_a_service_panic_and_what_is_wrong_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("settings.toml");
    let name = file.display().to_string();
    let command = foldline_command_handler::Settings::augment_args(Command::new("command-handler"));
    fuzz("settings", corpus("settings"), |bytes| {
        std::fs::write(&file, bytes).expect("a file");
        let matches = parse_layered(command.clone(), ["command-handler", "--config", &name]);
        match matches {
            Ok(matches) => said(foldline_command_handler::Settings::from_arg_matches(&matches)),
            Err(error) => {
                let text = error.to_string();
                assert!(text.contains(&name), "the file is not named: {text}");
                text.replace(&name, "")
            }
        }
    });
}
