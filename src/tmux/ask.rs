//! What does an owner's server answer? A tmux command, run wholly as the server's owner, with nothing of the caller's.
//!
//! MUST: own session, empty environment, nobody else's descriptors, a time limit, an answer of fixed size.
//! Never: as root (a hostile server owns whoever connects).

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::unistd;

use crate::sys::entry;
use crate::sys::files;
use crate::sys::ids::{self, Identity};
use crate::sys::process::{self, Process};

/// The most that is read of an answer, in bytes.
pub const LONGEST: usize = 64 * 1024;
/// How long a server may take: a hung one holds nobody up.
const PATIENCE: Duration = Duration::from_secs(2);

/// No answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The command could not be started.
    #[error("tmux cannot be started: {0}")]
    Start(#[from] io::Error),
    /// The server took longer than two seconds.
    #[error("the tmux server does not answer; end it (kill), or name a session to wait for: tmux-gate attach NAME")]
    Hung,
}

/// Runs a tmux command as `owner` and gives back what it printed, at most 64 KiB; nothing where no server runs.
///
/// # Errors
/// [`Error`].
pub fn as_owner(tmux: &Path, owner: &Identity, arguments: &[String]) -> Result<Vec<u8>, Error> {
    let (reader, writer) = unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).map_err(io::Error::from)?;
    let child = process::fork(&[reader.as_fd()], || become_tmux(tmux, owner, arguments, &writer))?;
    drop(writer);
    let answer = read_all(File::from(reader));
    child.signal(Signal::SIGKILL);
    // A hostile server may have had it traced, and its end is kept from us then.
    process::reap_killed(&[child], PATIENCE);
    answer
}

/// Starts a tmux command as `owner` of which nothing is asked: nobody waits for it, and it ends within two seconds.
///
/// # Errors
/// open(2) of /dev/null, fork(2).
pub fn start_as_owner(tmux: &Path, owner: &Identity, arguments: &[String]) -> io::Result<Process> {
    let null = OwnedFd::from(File::options().write(true).open("/dev/null")?);
    process::fork(&[], || {
        // Survives execve(2).
        unistd::alarm::set(u32::try_from(PATIENCE.as_secs()).unwrap_or(1));
        become_tmux(tmux, owner, arguments, &null)
    })
}

fn become_tmux(tmux: &Path, owner: &Identity, arguments: &[String], answer: &OwnedFd) -> u8 {
    let prepared = || -> Option<()> {
        unistd::setsid().ok()?;
        let null = files::null().ok()?;
        unistd::dup2_stdin(&null).ok()?;
        unistd::dup2_stdout(answer).ok()?;
        unistd::dup2_stderr(&null).ok()?;
        entry::leave_nothing_of_ours();
        ids::become_another_for_good(owner).ok()
    };
    if prepared().is_some() {
        let _ = process::exec(&tmux.to_string_lossy(), arguments, &[]);
    }
    1
}

fn read_all(mut pipe: File) -> Result<Vec<u8>, Error> {
    let deadline = Instant::now() + PATIENCE;
    let mut answer = vec![0; LONGEST];
    let mut length = 0;
    while let Some(room) = answer.get_mut(length..).filter(|room| !room.is_empty()) {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
        match poll(&mut [PollFd::new(pipe.as_fd(), PollFlags::POLLIN)], left) {
            Ok(0) => return Err(Error::Hung),
            Ok(_) => {}
            Err(nix::errno::Errno::EINTR) => continue,
            Err(errno) => return Err(Error::Start(errno.into())),
        }
        match pipe.read(room)? {
            0 => break,
            n => length += n,
        }
    }
    answer.truncate(length);
    Ok(answer)
}
