//! A part of the machine, for some processes: a control group. For root, and where the kernel has the controller.

use std::fs;
use std::path::{Path, PathBuf};

use crate::stack;

const PERIOD_US: u32 = 100_000;

/// What is written where, in the one hierarchy of version 2 of control groups, or in the controller's own of version 1.
struct Limit {
    controller: &'static str,
    unified: (&'static str, String),
    legacy: (&'static str, String),
}

/// Dropping it gives its processes all of the machine again.
pub struct Share {
    folder: PathBuf,
}

impl Share {
    /// So many percent of one processor, for all processes of it together; `None` if that cannot be done here.
    pub fn of_a_processor(percent: u32) -> Option<Self> {
        let quota = percent * PERIOD_US / 100;
        Self::make(&Limit {
            controller: "cpu",
            unified: ("cpu.max", format!("{quota} {PERIOD_US}")),
            legacy: ("cpu.cfs_quota_us", quota.to_string()),
        })
    }

    /// So much memory beside what a process has when it is put there: the kernel kills it once it wants more. `None` if
    /// that cannot be done here.
    pub fn of_memory(mib: u64) -> Option<Self> {
        let bytes = (mib << 20).to_string();
        Self::make(&Limit {
            controller: "memory",
            unified: ("memory.max", bytes.clone()),
            legacy: ("memory.limit_in_bytes", bytes),
        })
    }

    fn make(limit: &Limit) -> Option<Self> {
        let root = Path::new("/sys/fs/cgroup");
        let name = format!("foldline-{}-{}", std::process::id(), stack::unique_name("share"));
        let controller = limit.controller;
        let (parent, (file, value)) = if root.join("cgroup.controllers").exists() {
            fs::write(root.join("cgroup.subtree_control"), format!("+{controller}")).ok()?;
            (root.to_owned(), &limit.unified)
        } else {
            (root.join(controller), &limit.legacy)
        };
        let folder = parent.join(name);
        fs::create_dir(&folder).ok()?;
        let share = Self { folder };
        fs::write(share.folder.join(file), value).ok()?;
        Some(share)
    }

    /// Puts a process into it, with all of its threads.
    pub fn take(&self, pid: u32) {
        fs::write(self.folder.join("cgroup.procs"), pid.to_string()).expect("a process that runs");
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let processes = fs::read_to_string(self.folder.join("cgroup.procs")).unwrap_or_default();
        let parent = self.folder.with_file_name("cgroup.procs");
        for pid in processes.lines() {
            // It may have ended.
            let _ = fs::write(&parent, pid);
        }
        let _ = fs::remove_dir(&self.folder);
    }
}
