//! `foldline-projector`: folds the events of the installed domains into views.

use std::process::ExitCode;

fn main() -> ExitCode {
    let about = "Folds events into views and keeps the history.";
    foldline_service::main("foldline-projector", about, |settings, shutdown| {
        foldline_projector::run(settings, foldline_domains::installed(), shutdown)
    })
}
