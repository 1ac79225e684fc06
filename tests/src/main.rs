//! `foldline`, with a domain that the workspace does not have.

fn main() -> std::process::ExitCode {
    foldline::main(foldline_tests::domains())
}
