//! How does a forked child become the person's program? It never comes back.
//!
//! MUST: its own process group, in the foreground; limits and umask; signals; groups, gid, uid, proved; only then death with
//! the monitor (a change of ids clears it), the directory, exec.

use std::io::Write;

use nix::unistd::{self, Pid};

use crate::sys::entry::{self, Inheritance};
use crate::sys::ids::{self, Identity};
use crate::sys::process;
use crate::sys::tty::Tty;

/// What is run, as whom.
pub struct Command {
    /// The program's absolute path.
    pub path: String,
    /// argv, argv[0] included.
    pub arguments: Vec<String>,
    /// The whole environment, `NAME=value`.
    pub environment: Vec<String>,
    /// Where it starts; the root directory if the person cannot go there.
    pub directory: String,
    /// Whom it runs as.
    pub identity: Identity,
    /// Limits and umask.
    pub inheritance: Inheritance,
}

/// The life of the child, up to exec; `monitor` is its parent.
pub fn live_as(command: &Command, tty: &Tty, monitor: Pid) -> ! {
    let fault = match prepare(command, tty, monitor) {
        Ok(()) => process::exec(&command.path, &command.arguments, &command.environment).to_string(),
        Err(fault) => fault,
    };
    let line = format!("tmux-gate: {}: cannot be run ({fault}); run: tmux-gate check\n", command.path);
    let _ = std::io::stderr().write_all(line.as_bytes());
    process::exit_now(69)
}

fn prepare(command: &Command, tty: &Tty, monitor: Pid) -> Result<(), String> {
    let own = Pid::from_raw(0);
    unistd::setpgid(own, own).map_err(|e| format!("setpgid: {e}"))?;
    tty.set_foreground(unistd::getpid()).map_err(|e| format!("tcsetpgrp: {e}"))?;
    // What was typed before the session was there was not meant for it.
    tty.flush_input();
    command.inheritance.give().map_err(|e| format!("setrlimit: {e}"))?;
    entry::leave_nothing_of_ours();
    ids::become_for_good(&command.identity).map_err(|e| e.to_string())?;
    process::die_with(monitor).map_err(|e| format!("the monitor: {e}"))?;
    // As the person, who alone may be able to enter it.
    std::env::set_current_dir(&command.directory).or_else(|_| std::env::set_current_dir("/")).map_err(|e| e.to_string())
}
