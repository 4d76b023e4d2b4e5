//! Who ends what somebody left running when his grant for the own session was over? One small process a person, root's, that
//! outlives the terminal, the attach and its monitor: it begins with an attach, sleeps until the grace is over, and ends by itself
//! where there is nothing to end. No daemon starts it, and nothing of the person's can stop it.
//!
//! MUST: one a person, held by a lock; an end that waits for no name service. Never: a connection to the person's server.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, IntoRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::unistd;

use super::entrance::{Judged, Ready};
use super::error::Error;
use super::keeper::Keeper;
use crate::config::Afterwards;
use crate::ident::Uid;
use crate::sys::{entry, process};

/// Below root's own runtime directory: gone at the next boot, as everything is that it is about.
const DIRECTORY: &str = "/run/tmux-gate/grace";
/// How long the beginning may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Held by each attach of a person's as long as it lasts: his keeper does not leave meanwhile.
pub(super) struct Here {
    _held: Flock<File>,
}

/// Sees to it that there is a keeper, before the person is let in.
///
/// # Errors
/// [`Error::Session`]: there is none, and nobody would end what the person leaves.
pub(super) fn begin(ready: &Ready<'_>, judged: &Judged) -> Result<Here, Error> {
    let caller = &ready.visit.caller;
    let here = enter(caller.uid).map_err(Error::Session)?;
    if judged.settings.afterwards == Afterwards::Stays {
        return Ok(here);
    }
    let (reader, writer) = unistd::pipe2(OFlag::O_CLOEXEC).map_err(|errno| Error::Session(errno.into()))?;
    let between = process::fork(&[reader.as_fd()], move || {
        // Its own session, and nobody's child: no terminal hangs it up, no shell and no monitor waits for it.
        let leads = unistd::setsid().is_ok();
        let kept = process::fork(&[], move || live(ready, writer));
        u8::from(!leads || kept.is_err())
    });
    let between = between.map_err(Error::Session)?;
    process::reap(between.pid);
    if is_on_guard(reader) { Ok(here) } else { Err(Error::Session(io::ErrorKind::TimedOut.into())) }
}

/// Waits for the keeper's word that it, or an earlier one, is there.
fn is_on_guard(reader: OwnedFd) -> bool {
    let limit = PollTimeout::try_from(PATIENCE).unwrap_or(PollTimeout::ZERO);
    let said = poll(&mut [PollFd::new(reader.as_fd(), PollFlags::POLLIN)], limit).is_ok_and(|count| count > 0);
    said && File::from(reader).read(&mut [0]).is_ok_and(|length| length == 1)
}

fn enter(person: Uid) -> io::Result<Here> {
    match fs::DirBuilder::new().mode(0o700).create(DIRECTORY) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
        Ok(()) | Err(_) => {}
    }
    let (mut file, until) = (open(&format!("{person}.in"))?, Instant::now() + PATIENCE);
    loop {
        // A keeper that is about to leave holds it for a moment.
        match Flock::lock(file, FlockArg::LockSharedNonblock) {
            Ok(held) => return Ok(Here { _held: held }),
            Err((back, Errno::EAGAIN | Errno::EINTR)) if Instant::now() < until => file = back,
            Err((_, errno)) => return Err(errno.into()),
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn open(name: &str) -> io::Result<File> {
    let mut how = File::options();
    how.read(true).write(true).create(true).mode(0o600).custom_flags(OFlag::O_NOFOLLOW.bits());
    how.open(format!("{DIRECTORY}/{name}"))
}

/// The keeper's life. Nothing of the monitor's is left to it but what it knows.
fn live(ready: &Ready<'_>, writer: OwnedFd) -> u8 {
    process::show_role("tmux-gate:grace");
    let person = ready.visit.caller.uid;
    let held = prepare(writer.as_fd(), person).inspect(|_| leave_the_log_in(person));
    // Another one that is there already knows all that this one would.
    let is_there = held.as_ref().err().is_none_or(|e| e.kind() == io::ErrorKind::WouldBlock);
    let told = is_there && File::from(writer).write_all(b"k").is_ok();
    match held {
        Ok(_held) if told => Keeper::new(ready).map_or(1, Keeper::run),
        Ok(_) | Err(_) => 0,
    }
}

/// Descriptors and signals of its own; then the lock.
fn prepare(kept: BorrowedFd<'_>, person: Uid) -> io::Result<Flock<File>> {
    entry::close_all_but(&[kept])?;
    for _ in 0..3 {
        // The lowest that are free are 0 to 2.
        let _ = File::options().read(true).write(true).open("/dev/null")?.into_raw_fd();
    }
    let ignored = [Signal::SIGHUP, Signal::SIGPIPE, Signal::SIGXFSZ];
    entry::put_right(&ignored, &[], &SigSet::empty(), Signal::SIGSYS as i32)?;
    let file = open(&person.to_string())?;
    Ok(Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| errno)?)
}

/// Where systemd runs, into a scope of its own below system.slice: logind ends all processes of a person's log-in when he asks it
/// to (loginctl kill-session), root's among them, and this one must not be of these. Nobody waits for it longer than two seconds.
fn leave_the_log_in(person: Uid) {
    if !Path::new("/run/systemd/system").is_dir() {
        return;
    }
    let pid = std::process::id().to_string();
    let scope = format!("tmux-gate-grace-{person}-{pid}.scope");
    let manager = [
        "org.freedesktop.systemd1",
        "/org/freedesktop/systemd1",
        "org.freedesktop.systemd1.Manager",
        "StartTransientUnit",
    ];
    let unit = ["ssa(sv)a(sa(sv))", &scope, "fail", "2", "PIDs", "au", "1", &pid, "Slice", "s", "system.slice", "0"];
    let words = [["busctl", "--timeout=2", "call"].as_slice(), &manager, &unit].concat();
    let words: Vec<String> = words.into_iter().map(str::to_owned).collect();
    let asked = process::fork(&[], || {
        unistd::alarm::set(2);
        let _ = process::exec("/usr/bin/busctl", &words, &[]);
        1
    });
    if let Ok(asked) = asked {
        process::reap(asked.pid);
    }
}

/// Nobody is in and nobody comes in, until the process ends that was told so.
pub(super) fn is_deserted(person: Uid) -> Option<Flock<File>> {
    let file = open(&format!("{person}.in")).ok()?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).ok()
}
