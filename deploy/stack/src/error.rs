use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;

/// Why the stack, or a part of it, does not run.
#[derive(Debug, thiserror::Error)]
pub enum StackError {
    /// A program that this machine must bring is absent or too old.
    #[error("{tool} is needed {purpose}, {found}: install it with `{install}`")]
    ToolMissing {
        /// What is needed, with its version.
        tool: &'static str,
        /// What for.
        purpose: &'static str,
        /// What was found instead.
        found: String,
        /// The command that installs it on this system.
        install: &'static str,
    },

    /// Somebody else listens on a port that we were told to use.
    #[error("port {port}, which {wanted_by} needs, is taken: free it, or choose another one with {option}")]
    PortTaken {
        /// The port.
        port: u16,
        /// Which program of ours wanted it.
        wanted_by: &'static str,
        /// The caller's option that chooses the port.
        option: String,
    },

    /// Another process has this folder of data open.
    #[error("{} is in use by another process: stop that one, or choose another folder", data.display())]
    DataInUse {
        /// The folder.
        data: PathBuf,
    },

    /// Maven did not bring the programs.
    #[error("maven could not fetch {what}, the whole log is {}:\n{tail}", log.display())]
    Fetch {
        /// What was to be fetched.
        what: String,
        /// Maven's log.
        log: PathBuf,
        /// Its last lines.
        tail: String,
    },

    /// A program ended before it answered.
    #[error("{name} ended while it started ({status}), the whole log is {}:\n{tail}", log.display())]
    Exited {
        /// Which program.
        name: &'static str,
        /// How it ended.
        status: ExitStatus,
        /// Its log.
        log: PathBuf,
        /// The last lines of the log.
        tail: String,
    },

    /// A program runs, but does not do its work in time.
    #[error("{name} did not answer within {seconds} s, the whole log is {}:\n{tail}", log.display())]
    Timeout {
        /// Which program.
        name: &'static str,
        /// How long we waited.
        seconds: u64,
        /// Its log.
        log: PathBuf,
        /// The last lines of the log.
        tail: String,
    },

    /// The operating system refused something.
    #[error("could not {doing}")]
    Io {
        /// What we were doing.
        doing: String,
        /// What it said.
        #[source]
        source: io::Error,
    },
}

impl StackError {
    /// For `map_err`: names what we were doing when the operating system refused.
    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }
}
