//! `foldline`, with a domain that the workspace does not have; or `faults`, the fault suite on this program.

fn main() -> std::process::ExitCode {
    let mut arguments = std::env::args().skip(1).peekable();
    if arguments.next_if(|first| first == "faults").is_some() {
        let arguments = std::iter::once("faults".to_owned()).chain(arguments);
        return foldline_tests::faults::command::main(arguments);
    }
    foldline_tests::killed_at::arm();
    let with_bar = std::env::var_os(foldline_tests::bar::MAKE).is_some();
    foldline::main(if with_bar {
        foldline_tests::domains_with_bar()
    } else {
        foldline_tests::domains()
    })
}
