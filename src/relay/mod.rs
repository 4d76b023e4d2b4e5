//! How does a guest see, and perhaps type into, somebody else's session? One process passes bytes between the guest's
//! terminal and the inner one on which the owner's tmux client runs.
//!
//! MUST: everything given up before the first byte of the session is read; no byte from a read-only guest to the session;
//! at the monitor's word or death the end, at once.
//! Never: the client's protocol, a path, a lookup; waiting for one side at the cost of the other.

mod filter;
mod keys;
mod link;
mod notice;
mod pump;
mod queue;
mod sandbox;
#[cfg(test)]
mod stage;

use std::io;
use std::os::fd::AsFd;

use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::SignalFd;
use nix::unistd::{self, Pid};

use crate::ident::Access;
use crate::sys::entry;
use crate::sys::ids::{self, Identity};
use crate::sys::process;
use crate::sys::pty::{self, Master, Slave};
use crate::sys::tty::{Size, Tty};

use pump::Pump;

pub use link::{Gone, MonitorEnd, RelayEnd, ToMonitor, ToRelay, pair};
pub use sandbox::Sandbox;

/// Where a relay stands.
pub struct Place<'a> {
    /// The guest's controlling terminal; whoever forked the relay knows its modes, and gives them back.
    pub tty: &'a Tty,
    /// The inner terminal, see [`open`].
    pub master: &'a Master,
    /// To the monitor.
    pub link: &'a RelayEnd,
    /// The monitor, which must be the relay's parent.
    pub monitor: Pid,
    /// The system user `tmux-gate`.
    pub identity: &'a Identity,
    /// How much the guest gets at first.
    pub access: Access,
    /// tmux's options `prefix` and `prefix2`, where they are one byte (C-b: 2): with `d` a way out.
    pub prefixes: &'a [u8],
    /// Must there be one?
    pub sandbox: Sandbox,
}

/// Why nothing is relayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[repr(u8)]
pub enum Refusal {
    /// The guest's terminal cannot be had.
    #[error("the terminal cannot be taken")]
    Terminal = 1,
    /// The system user cannot be become, or the monitor is gone.
    #[error("the relay cannot give up its privileges")]
    Identity = 2,
    /// Missing in the kernel.
    #[error(
        "the kernel has no Landlock for the relay's sandbox; add landlock to its lsm= parameter, or see [join] sandbox in tmux-gate.toml(5)"
    )]
    NoLandlock = 3,
    /// Missing in the kernel.
    #[error(
        "the kernel has no seccomp for the relay's sandbox; use one with CONFIG_SECCOMP_FILTER, or see [join] sandbox in tmux-gate.toml(5)"
    )]
    NoSeccomp = 4,
}

impl Refusal {
    const ALL: [Self; 4] = [Self::Terminal, Self::Identity, Self::NoLandlock, Self::NoSeccomp];

    fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|refusal| *refusal as u8 == number)
    }
}

/// Opens the inner terminal, as large as the guest's. The slave is for the client alone ([`Slave::take`]); hold it until the
/// client has it, and no longer: when nobody has it the session is at its end.
///
/// # Errors
/// posix_openpt(3), ioctl_tty(2).
pub fn open(tty: &Tty) -> io::Result<(Master, Slave)> {
    let (master, slave) = pty::open()?;
    master.set_size(fit(tty.size()?))?;
    Ok((master, slave))
}

/// What a session can bear: a guest may tell the kernel anything about his terminal.
fn fit(size: Size) -> Size {
    match size {
        Size { columns: 0, .. } | Size { rows: 0, .. } => Size { columns: 80, rows: 24 },
        Size { columns, rows } => Size { columns: columns.min(500), rows: rows.min(300) },
    }
}

/// The relay's life, in a process of its own that the monitor forked. It exits when the session is at its end, which is all
/// that it says about that, or after a last word.
pub fn live(place: Place<'_>) -> ! {
    match prepare(&place) {
        Ok(signals) => Pump::new(&place, &signals).run(),
        Err(refusal) => {
            place.link.send(ToMonitor::Refused(refusal));
            process::exit_now(0)
        }
    }
}

/// Gives up all but the place, in the only order that works: the foreground takes a process group, a change of ids clears
/// the death with the monitor and makes dumpable, and the sandbox allows none of it.
fn prepare(place: &Place<'_>) -> Result<SignalFd, Refusal> {
    process::show_role("tmux-gate:relay");
    let _ = SigSet::all().thread_block();
    let signals = process::signals(&[Signal::SIGWINCH, Signal::SIGHUP]).map_err(|_| Refusal::Terminal)?;
    let own = Pid::from_raw(0);
    unistd::setpgid(own, own).map_err(|_| Refusal::Terminal)?;
    place.tty.set_foreground(unistd::getpid()).map_err(|_| Refusal::Terminal)?;
    place.tty.make_raw().map_err(|_| Refusal::Terminal)?;
    // What was typed before the session was there was not meant for it.
    place.tty.flush_input();
    let kept = [place.tty.as_fd(), place.master.as_fd(), place.link.as_fd(), signals.as_fd()];
    entry::close_all_but(&kept).map_err(|_| Refusal::Identity)?;
    ids::become_for_good(place.identity).map_err(|_| Refusal::Identity)?;
    process::die_with(place.monitor).map_err(|_| Refusal::Identity)?;
    // Of the other relays, which have the same ids, none may look into this one.
    prctl::set_dumpable(false).map_err(|_| Refusal::Identity)?;
    sandbox::enter(place.sandbox)?;
    Ok(signals)
}

#[cfg(test)]
mod tests;
