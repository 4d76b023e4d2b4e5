//! How does the monitor wait, and how does it end what must end? It reads its signals and obeys none.
//! Never: a byte of the terminal.

use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::unistd;

use super::child::{Command, live_as};
use super::link::{ToMonitor, Upward};
use crate::sys::process::{self, Change, Process};
use crate::sys::tty::Tty;

/// How long a program may take to end when it is asked to.
const GRACE: Duration = Duration::from_secs(1);

/// Runs `command` in the foreground of `tty` until it ends, and returns its exit status, 1 if a signal ended it.
///
/// # Errors
/// fork(2), signalfd(2): nothing runs then.
pub fn live(link: &Upward, tty: &Tty, command: &Command) -> io::Result<u8> {
    let watched = [Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT];
    let signals = process::signals(&watched)?;
    let own = unistd::getpid();
    let program = process::fork(|| live_as(command, tty, own))?;
    let mut killing: Option<Instant> = None;
    if link.running(&program).is_err() {
        ask_to_end(&program);
        killing = Some(Instant::now() + GRACE);
    }
    loop {
        let mut fds = [PollFd::new(signals.as_fd(), PollFlags::POLLIN), PollFd::new(link.as_fd(), PollFlags::POLLIN)];
        // Once the end was asked for, the link has nothing more to say (and would be readable for ever).
        let count = if killing.is_some() { 1 } else { 2 };
        match poll(fds.get_mut(..count).unwrap_or_default(), patience(killing)) {
            Ok(0) => program.signal(Signal::SIGKILL),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => program.signal(Signal::SIGKILL),
        }
        let mut end = false;
        while let Ok(Some(signal)) = signals.read_signal() {
            end |= signal.ssi_signo == Signal::SIGTERM as u32;
        }
        if killing.is_none() {
            match link.heard() {
                Some(ToMonitor::Resume) => program.signal(Signal::SIGCONT),
                Some(ToMonitor::End) => end = true,
                None => {}
            }
            if end {
                ask_to_end(&program);
                killing = Some(Instant::now() + GRACE);
            }
        }
        if let Some(status) = reap(link, &program) {
            return Ok(status);
        }
    }
}

fn patience(killing: Option<Instant>) -> PollTimeout {
    killing.map_or(PollTimeout::NONE, |when| {
        PollTimeout::try_from(when.saturating_duration_since(Instant::now())).unwrap_or(PollTimeout::ZERO)
    })
}

/// A tmux client that is hung up on gives the terminal back; a stopped one must go on first.
fn ask_to_end(program: &Process) {
    program.signal(Signal::SIGHUP);
    program.signal(Signal::SIGCONT);
}

/// Takes note of every child that changed (modules leave some behind); the status if the program ended.
fn reap(link: &Upward, program: &Process) -> Option<u8> {
    while let Some(change) = process::next_change() {
        match change {
            Change::Exited(pid, status) if pid == program.pid => {
                return Some(u8::try_from(status).unwrap_or(1));
            }
            Change::Killed(pid) if pid == program.pid => return Some(1),
            Change::Stopped(pid) if pid == program.pid => link.stopped(),
            Change::Exited(..) | Change::Killed(_) | Change::Stopped(_) => {}
        }
    }
    None
}
