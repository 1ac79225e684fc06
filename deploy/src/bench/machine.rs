//! The machine, the programs, and what a process has cost: figures are kept together with these.

use std::fs;
use std::thread;

use foldline_stack::{KAFKA_VERSION, REGISTRY_VERSION};
use serde::Serialize;

/// `USER_HZ`, in which the kernel tells CPU times to programs: 100 on every architecture that Rust's std runs on.
const TICKS_PER_SECOND: f64 = 100.0;

/// Where, and with what, figures were measured.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Machine {
    pub(crate) cores: usize,
    pub(crate) cpu: String,
    pub(crate) memory_mb: u64,
    pub(crate) os: String,
    pub(crate) foldline: &'static str,
    pub(crate) kafka: &'static str,
    pub(crate) registry: &'static str,
    pub(crate) librdkafka: String,
    pub(crate) rustc: &'static str,
    pub(crate) opt_level: &'static str,
}

impl Machine {
    /// This one.
    pub(crate) fn look() -> Self {
        let (_, librdkafka) = rdkafka::util::get_rdkafka_version();
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Self {
            cores: thread::available_parallelism().map_or(0, usize::from),
            cpu: field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".to_owned()),
            memory_mb: kilobytes("/proc/meminfo", "MemTotal").unwrap_or_default() / 1024,
            os: format!("{} {}", std::env::consts::OS, kernel.trim()),
            foldline: env!("CARGO_PKG_VERSION"),
            kafka: KAFKA_VERSION,
            registry: REGISTRY_VERSION,
            librdkafka,
            rustc: env!("FOLDLINE_RUSTC"),
            opt_level: env!("FOLDLINE_OPT_LEVEL"),
        }
    }

    /// Whether the compiler did what it can.
    pub(crate) fn is_optimised(&self) -> bool {
        self.opt_level == "3"
    }
}

/// CPU seconds that a process has used so far, in user and kernel mode. `None` where there is no /proc.
pub(crate) fn cpu_seconds(pid: u32) -> Option<f64> {
    ticks(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// CPU seconds of those threads of a JVM that compile and still run. `None` where there is no /proc.
pub(crate) fn compiler_seconds(pid: u32) -> Option<f64> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten();
    let compiles = |stat: &String| JAVA_COMPILERS.iter().any(|name| stat.contains(name));
    let stats = threads.filter_map(|thread| fs::read_to_string(thread.path().join("stat")).ok());
    Some(stats.filter(compiles).filter_map(|stat| ticks(&stat)).sum())
}

/// How the names of their threads begin.
const JAVA_COMPILERS: [&str; 2] = ["(C1 Compiler", "(C2 Compiler"];

/// The 14th and the 15th field of `/proc/PID/stat`. The 2nd, the name, may itself contain blanks.
fn ticks(stat: &str) -> Option<f64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let kernel: f64 = fields.next()?.parse().ok()?;
    Some((user + kernel) / TICKS_PER_SECOND)
}

/// What a process has in memory now, and the most that it ever had, in MB.
pub(crate) fn resident_mb(pid: u32) -> Option<(u64, u64)> {
    let status = format!("/proc/{pid}/status");
    let now = kilobytes(&status, "VmRSS")? / 1024;
    Some((now, kilobytes(&status, "VmHWM")? / 1024))
}

fn kilobytes(file: &str, name: &str) -> Option<u64> {
    field(file, name)?.split_whitespace().next()?.parse().ok()
}

/// The value of the first line `name: value`.
fn field(file: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let mut pairs = text.lines().filter_map(|line| line.split_once(':'));
    let (_, value) = pairs.find(|(key, _)| key.trim() == name)?;
    Some(value.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use std::hint::spin_loop;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    use super::{compiler_seconds, ticks};

    #[test]
    fn what_java_has_compiled_for_is_told_by_its_threads() {
        let is_told = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&is_told);
        let compiler = thread::Builder::new().name("C2 CompilerThread0".to_owned());
        let compiler = compiler.spawn(move || {
            while !until.load(Ordering::SeqCst) {
                spin_loop();
            }
        });
        // Where there is no /proc, nobody can tell.
        while compiler_seconds(std::process::id()).is_some_and(|seconds| seconds == 0.0) {
            thread::yield_now();
        }
        is_told.store(true, Ordering::SeqCst);
        compiler.unwrap().join().unwrap();
    }

    #[test]
    fn cpu_time_is_found_behind_a_name_with_blanks_and_brackets() {
        let stat = "42 (a (b) c) S 1 42 42 0 -1 4194560 9 0 0 0 150 25 0 0 20 0 8 0 7 1 1";
        assert_eq!(ticks(stat), Some(1.75));
        assert_eq!(ticks("42 (a"), None);
    }
}
