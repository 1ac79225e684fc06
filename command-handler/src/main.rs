//! The command handler with the installed domains.

use std::process::ExitCode;

use foldline_command_handler::run;

fn main() -> ExitCode {
    foldline_service::main(
        "foldline-command-handler",
        "Takes commands over HTTP and Kafka, decides on them, and records events.",
        |settings, shutdown| run(settings, foldline_domains::installed(), shutdown),
    )
}
