//! A clock of its own for one service, which can be set while it runs: a library between the service and the kernel's clock.
//!
//! Waits are as long as they were: Rust's go by the time since the machine started, and librdkafka's, which have an end by the
//! wall clock, are given the kernel's.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::Command;

use crate::stack;
use crate::system::Service;

/// Adds the number in a file to the seconds of the wall clock.
const LIBRARY: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t *ahead;
/* By how much this thread was told too much when it last asked. */
static _Thread_local int64_t told;

__attribute__((constructor)) static void find_it(void) {
    int file = open(getenv("SECONDS_AHEAD"), O_RDONLY);
    void *found = mmap(NULL, sizeof *ahead, PROT_READ, MAP_SHARED, file, 0);
    if (found == MAP_FAILED) abort();
    ahead = found;
}

int clock_gettime(clockid_t which, struct timespec *now) {
    int failed = (int)syscall(SYS_clock_gettime, which, now);
    if (failed || !ahead || which != CLOCK_REALTIME) return failed;
    told = *ahead;
    now->tv_sec += told;
    return 0;
}

int gettimeofday(struct timeval *now, void *zone) {
    struct timespec exact;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &exact);
    now->tv_sec = exact.tv_sec;
    now->tv_usec = exact.tv_nsec / 1000;
    return 0;
}

/* The end was made of the time that this thread was told. */
int cnd_timedwait(cnd_t *condition, mtx_t *mutex, const struct timespec *until) {
    static int (*wait)(cnd_t *, mtx_t *, const struct timespec *);
    struct timespec end = *until;
    if (!wait) wait = (int (*)(cnd_t *, mtx_t *, const struct timespec *))dlsym(RTLD_NEXT, "cnd_timedwait");
    end.tv_sec -= told;
    return wait(condition, mutex, &end);
}
"#;

/// How far a service's clock is ahead of the others'.
pub struct Clock {
    library: PathBuf,
    ahead: PathBuf,
}

impl Clock {
    /// One that is right.
    pub fn new() -> Self {
        let file = |name| stack::folder().join(stack::unique_name(name));
        let (source, library, ahead) = (file("clock.c"), file("clock.so"), file("seconds-ahead"));
        fs::create_dir_all(stack::folder()).expect("a folder");
        fs::write(&source, LIBRARY).expect("a source");
        let made = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-x", "c"])
            .arg(&source)
            .arg("-o")
            .arg(&library)
            .arg("-ldl")
            .output()
            .expect("librdkafka was compiled with this compiler");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let clock = Self { library, ahead };
        clock.set(0);
        clock
    }

    /// Sets it, from now on and for the process that runs.
    pub fn set(&self, seconds_ahead: i64) {
        // In place: whoever has the file in its memory sees it at once.
        let file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&self.ahead)
            .expect("a file");
        file.write_all_at(&seconds_ahead.to_ne_bytes(), 0)
            .expect("eight bytes");
    }

    /// Runs this program by it, when it is to be that service.
    pub fn is_seen_by(&self, service: Service, program: &str) -> PathBuf {
        let text = format!(
            "#!/bin/sh\nif [ \"$1\" = {} ]; then export LD_PRELOAD={} SECONDS_AHEAD={}; fi\nexec {program} \"$@\"\n",
            service.name(),
            self.library.display(),
            self.ahead.display(),
        );
        stack::script("sees-a-clock", &text)
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}
