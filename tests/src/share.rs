//! A part of a processor, for some processes: a control group. For root, and where the kernel has the controller.

use std::fs;
use std::path::{Path, PathBuf};

use crate::stack;

const PERIOD_US: u32 = 100_000;

/// Dropping it gives its processes all of the machine again.
pub struct Share {
    folder: PathBuf,
}

impl Share {
    /// So many percent of one processor, for all processes of it together; `None` if that cannot be done here.
    pub fn of(percent: u32) -> Option<Self> {
        let quota = percent * PERIOD_US / 100;
        let root = Path::new("/sys/fs/cgroup");
        let name = format!("foldline-{}-{}", std::process::id(), stack::unique_name("share"));
        let (parent, file, limit) = if root.join("cgroup.controllers").exists() {
            fs::write(root.join("cgroup.subtree_control"), "+cpu").ok()?;
            (root.to_owned(), "cpu.max", format!("{quota} {PERIOD_US}"))
        } else {
            (root.join("cpu"), "cpu.cfs_quota_us", quota.to_string())
        };
        let folder = parent.join(name);
        fs::create_dir(&folder).ok()?;
        let share = Self { folder };
        fs::write(share.folder.join(file), limit).ok()?;
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
