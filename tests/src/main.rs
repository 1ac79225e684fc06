//! `foldline`, with a domain that the workspace does not have.

fn main() -> std::process::ExitCode {
    foldline_tests::killed_at::arm();
    let with_bar = std::env::var_os(foldline_tests::bar::MAKE).is_some();
    foldline::main(if with_bar {
        foldline_tests::domains_with_bar()
    } else {
        foldline_tests::domains()
    })
}
