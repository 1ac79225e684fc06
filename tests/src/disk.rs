//! A disk of its own for services: small, or one that fails. It is mounted where only they see it, in a mount namespace
//! that a process of ours holds, so nothing stays of it. For root only.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::stack;

/// Dropping it unmounts it, once the processes that use it are gone.
pub struct Disk {
    holder: Child,
    folder: PathBuf,
    /// A file with a file system; none if the disk is memory.
    image: Option<PathBuf>,
}

impl Disk {
    /// A disk of memory; `None` if that cannot be done here.
    pub fn of_memory(mib: usize) -> Option<Self> {
        let mount = format!("mount -t tmpfs -o size={mib}m none \"$0\"");
        Self::mounted("small-disk", &mount, None)
    }

    /// A disk with a file system that can [fail](Self::fail); `None` if that cannot be done here.
    pub fn of_a_file(mib: u64) -> Option<Self> {
        let image = stack::folder().join(stack::unique_name("disk.ext4"));
        let file = fs::File::create(&image).expect("a file");
        file.set_len(mib << 20).expect("a length");
        let made = Command::new("mkfs.ext4").arg("-q").arg(&image).output().ok()?;
        if !made.status.success() {
            return None;
        }
        let mount = format!("mount -o loop \"{}\" \"$0\"", image.display());
        Self::mounted("failing-disk", &mount, Some(image))
    }

    fn mounted(name: &str, mount: &str, image: Option<PathBuf>) -> Option<Self> {
        let folder = stack::folder().join(stack::unique_name(name));
        fs::create_dir_all(&folder).expect("a folder");
        // As others name it: without what goes up and down again.
        let folder = folder.canonicalize().expect("it is there");
        let mut holder = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "sh", "-c"])
            .arg(format!("{mount} && echo mounted && exec sleep infinity"))
            .arg(&folder)
            .stdout(Stdio::piped())
            .spawn()
            .ok()?;
        let mut said = String::new();
        let out = holder.stdout.take().expect("it is piped");
        BufReader::new(out).read_line(&mut said).ok()?;
        if said.trim() != "mounted" {
            let _ = holder.wait();
            return None;
        }
        Some(Self {
            holder,
            folder,
            image,
        })
    }

    /// Where it is mounted, for those who see it.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Runs this program where the disk is seen.
    pub fn sees_it(&self, program: &str) -> PathBuf {
        let text = format!(
            "#!/bin/sh\nexec nsenter --mount=/proc/{}/ns/mnt {program} \"$@\"\n",
            self.holder.id()
        );
        stack::script("sees-a-disk", &text)
    }

    /// Where we see what is on it.
    pub fn seen_from_here(&self) -> PathBuf {
        let below_root = self.folder.strip_prefix("/").expect("an absolute path");
        PathBuf::from(format!("/proc/{}/root", self.holder.id())).join(below_root)
    }

    /// Writes to it until nothing more goes there.
    pub fn fill(&self) {
        let mut file = fs::File::create(self.filler()).expect("a file");
        let zeros = vec![0; 1 << 16];
        while file.write_all(&zeros).is_ok() {}
    }

    /// Gives the room back.
    pub fn make_room(&self) {
        fs::remove_file(self.filler()).expect("it was filled");
    }

    fn filler(&self) -> PathBuf {
        self.seen_from_here().join("filler")
    }

    /// Takes no more writes, as a file system does that has met an error of its device; what was not on the device yet is
    /// lost.
    pub fn fail(&self) {
        self.inside("mount -o remount,abort \"$0\"");
    }

    /// Is mounted again after it has failed, when nobody uses it.
    pub fn mend(&self) {
        let image = self.image.as_deref().expect("it is a file").display();
        self.inside(&format!("umount \"$0\" && mount -o loop \"{image}\" \"$0\""));
    }

    fn inside(&self, script: &str) {
        let done = Command::new("nsenter")
            .arg(format!("--mount=/proc/{}/ns/mnt", self.holder.id()))
            .args(["sh", "-c", script])
            .arg(&self.folder)
            .output()
            .expect("nsenter runs where unshare does");
        assert!(
            done.status.success(),
            "{script}: {}",
            String::from_utf8_lossy(&done.stderr)
        );
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
