//! Which processes of a user's were started since some moment? For people to look at, never to decide by.
//! Never: more than /proc shows to whoever asks; a list without an end.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use nix::unistd::{SysconfVar, sysconf};

use super::clock;
use super::files;
use crate::ident::Uid;

/// The most that are listed.
const MOST: usize = 4096;

/// A moment, as the kernel counts when processes were started: ticks since boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tick(u64);

impl Tick {
    /// Now. A tick is a hundredth of a second; what was started in the same one counts as started since.
    pub fn now() -> Self {
        let hertz = sysconf(SysconfVar::CLK_TCK).ok().flatten().and_then(|hertz| u128::try_from(hertz).ok());
        let ticks = clock::since_boot().as_millis() * hertz.unwrap_or(100) / 1000;
        Self(u64::try_from(ticks).unwrap_or(u64::MAX))
    }
}

/// A process that was started since.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Started {
    /// Its name, 15 bytes at most, as it calls itself.
    pub name: String,
    /// Was it started below one of the processes that were named?
    pub place: Place,
}

/// Where a process came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// From one of those named, or it is one.
    Below,
    /// From elsewhere, or its parents are gone.
    Elsewhere,
}

/// The processes of `user` that were started since and still run, but for those that this very program started as root.
pub fn since(user: Uid, moment: Tick, roots: &[u32]) -> Vec<Started> {
    let all: BTreeMap<u32, Entry> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|pid| Some((pid, Entry::read(pid)?)))
        .collect();
    let new = all.iter().filter(|(_, entry)| entry.started >= moment);
    let new = new.filter(|(pid, entry)| real_uid(**pid) == Some(user) && !is_ours(entry.parent));
    new.map(|(pid, entry)| Started { name: entry.name.clone(), place: place(*pid, &all, roots) }).take(MOST).collect()
}

struct Entry {
    parent: u32,
    started: Tick,
    name: String,
}

impl Entry {
    /// proc_pid_stat(5): the name may hold anything, so what follows its last parenthesis is read.
    fn read(pid: u32) -> Option<Self> {
        let line = fs::read(format!("/proc/{pid}/stat")).ok()?;
        let line = String::from_utf8_lossy(&line);
        let (start, rest) = line.rsplit_once(')')?;
        let mut fields = rest.split_whitespace().skip(1);
        let parent = fields.next()?.parse().ok()?;
        let started = Tick(fields.nth(17)?.parse().ok()?);
        Some(Self { parent, started, name: start.split_once('(')?.1.to_owned() })
    }
}

fn real_uid(pid: u32) -> Option<Uid> {
    let status = fs::read(format!("/proc/{pid}/status")).ok()?;
    let status = String::from_utf8_lossy(&status);
    let uids = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    Uid::parse(uids.split_whitespace().next()?).ok()
}

/// A monitor of the gate's, whose children are clients that it let in.
fn is_ours(pid: u32) -> bool {
    real_uid(pid) == Some(Uid::ROOT) && files::is_this_program(Path::new(&format!("/proc/{pid}/exe")))
}

fn place(pid: u32, all: &BTreeMap<u32, Entry>, roots: &[u32]) -> Place {
    let mut next = Some(pid);
    // Deeper than any honest tree; a list that was read while it changed may go round.
    for _ in 0..256 {
        match next {
            Some(pid) if roots.contains(&pid) => return Place::Below,
            Some(pid) => next = all.get(&pid).map(|entry| entry.parent),
            None => break,
        }
    }
    Place::Elsewhere
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::process::{Command, Stdio};

    #[test]
    fn what_was_started_since_is_found_below_its_parents_and_what_ended_is_not() {
        let user = real_uid(std::process::id()).expect("/proc");
        let before = Tick::now();
        // Two, whose parent is not this program.
        let shell = Command::new("sh").args(["-c", "cat | cat"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut shell = shell.expect("sh");
        let (mut input, mut output) = (shell.stdin.take().expect("piped"), shell.stdout.take().expect("piped"));
        input.write_all(b"x").expect("written");
        output.read_exact(&mut [0]).expect("both are there");
        let count = |roots: &[u32], place| {
            let found = since(user, before, roots);
            found.iter().filter(|one| one.name == "cat" && one.place == place).count()
        };
        assert_eq!((count(&[shell.id()], Place::Below), count(&[shell.id()], Place::Elsewhere)), (2, 0));
        assert_eq!((count(&[std::process::id()], Place::Below), count(&[], Place::Elsewhere)), (2, 2));
        assert!(since(user, Tick(before.0 + 100_000), &[]).is_empty());
        assert_eq!(since(Uid::new(4_000_000_000).expect("a uid"), before, &[]), []);
        drop(input);
        shell.wait().expect("waited for");
        assert_eq!(count(&[], Place::Elsewhere), 0);
    }
}
