//! The query API with the installed domains.

use std::process::ExitCode;

use foldline_query_api::run;

fn main() -> ExitCode {
    foldline_service::main(
        "foldline-query-api",
        "Serves views and histories over HTTP; reads only.",
        |settings, shutdown| run(settings, foldline_domains::installed(), shutdown),
    )
}
