//! Every way out has one number and one text, which says object, fault and cure. It names nobody but the caller, so he and
//! the record read the same; the record has PAM's code besides.

use std::io;
use std::time::Duration;

use crate::audit;
use crate::cli;
use crate::config;
use crate::grants::{self, How};
use crate::ident::{GrantId, Name};
use crate::pam;
use crate::policy::Refusal;
use crate::relay;
use crate::sys::ids::Broken;
use crate::tmux;

use super::caller::Fault;

/// The exit statuses (the last ones are sysexits(3)'s).
pub struct Status;

impl Status {
    /// Done.
    pub const DONE: u8 = 0;
    /// Failed.
    pub const FAILED: u8 = 1;
    /// The arguments are not of the grammar.
    pub const USAGE: u8 = 2;
    /// tmux or the session is not there.
    pub const UNAVAILABLE: u8 = 69;
    /// Not now; later, perhaps.
    pub const NOT_YET: u8 = 75;
    /// Refused.
    pub const REFUSED: u8 = 77;
    /// The installation or the configuration is wrong.
    pub const CONFIGURATION: u8 = 78;
}

const OWN_TAKES: &str = "your own session takes an approved grant";

/// Why the gate did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Step 1 failed.
    #[error("the process cannot be put in order: {0}; try again, or ask your administrator")]
    Entry(io::Error),
    /// Real uid 4294967295.
    #[error("uid 4294967295: nobody's; log in as somebody")]
    Nobody,
    /// Step 2 failed.
    #[error(transparent)]
    Caller(#[from] Fault),
    /// Step 3 failed.
    #[error(transparent)]
    Arguments(#[from] cli::Error),
    /// A change of identity did not hold.
    #[error("privileges cannot be set: {0}; ask your administrator")]
    Privilege(#[from] Broken),
    /// The kernel did not honour the setuid bit.
    #[error(
        "not setuid root, or on a nosuid mount, or under no_new_privs or a debugger; install it with mode 4755, or run it plainly"
    )]
    NotSetuid,
    /// Uid 0 here is not root.
    #[error("/: not root's, this is a user namespace; run tmux-gate outside of it")]
    Namespace,
    /// Step 5 failed.
    #[error(transparent)]
    Configuration(#[from] config::Error),
    /// Step 6 or 8: no rule lets the person pass.
    #[error("{0}: not among [attach] users of /etc/tmux-gate/config.toml; ask your administrator (tmux-gate explain)")]
    NotAllowed(Name),
    /// No terminal, or another one on standard input or output.
    #[error("no terminal on standard input and output; run it on one, by ssh with: ssh -t HOST")]
    NoTerminal,
    /// Already inside.
    #[error("{0}: this terminal is a pane of that socket already; use tmux switch-client, or detach first")]
    Inside(String),
    /// The terminal is another process group's.
    #[error("the terminal: another process group is in its foreground; run tmux-gate in the foreground")]
    Background,
    /// The group of the sockets is not there.
    #[error("group tmux-gate: missing; run: systemd-sysusers tmux-gate.conf, or groupadd --system tmux-gate")]
    NoGroup,
    /// The service file.
    #[error(transparent)]
    Service(#[from] pam::service::Fault),
    /// PAM's verdict.
    #[error("{0}: {1}")]
    Pam(Name, pam::Error),
    /// The users database says something else than before PAM.
    #[error("{0}: the account changed while it was authenticated; run tmux-gate again")]
    Changed(Name),
    /// PAM took too long, and not because it waited for the person.
    #[error("authentication: no verdict within {}; try again later", humantime::format_duration(*.0))]
    TimedOut(Duration),
    /// The monitor died.
    #[error(
        "authentication: ended without a verdict; run tmux-gate again, or ask your administrator to look into the log"
    )]
    NoVerdict,
    /// PAM said yes, and what comes after it did not get done.
    #[error("the PAM session was not opened within {}; try again later", humantime::format_duration(*.0))]
    Late(Duration),
    /// PAM said yes, and one of the session's modules did not come back.
    #[error("the PAM session was not opened, a module crashed; ask your administrator to look into the log")]
    Unopened,
    /// The front was stopped or killed before it could guard anything.
    #[error("the terminal has no guard, tmux-gate was stopped or killed; run it again")]
    Unguarded,
    /// What ran was cut because the monitor died.
    #[error("the session's monitor died, the client was ended; run tmux-gate again, the session is still there")]
    MonitorDied,
    /// Ctrl-C outside a prompt, or a signal.
    #[error("authentication: interrupted; run tmux-gate again")]
    Interrupted,
    /// The terminal went away.
    #[error("authentication: the terminal hung up; run tmux-gate on another")]
    HungUp,
    /// No record, no entry.
    #[error(transparent)]
    Record(#[from] audit::Error),
    /// tmux cannot be run.
    #[error(transparent)]
    Tmux(#[from] tmux::Unusable),
    /// A directory or the socket is not as it must be.
    #[error(transparent)]
    Custody(#[from] tmux::CustodyError),
    /// An owner's server does not answer.
    #[error(transparent)]
    Ask(#[from] tmux::AskError),
    /// Nobody can read the answer.
    #[error("standard output: {0}; the answer is not complete, run it again with room for it")]
    Output(io::Error),
    /// The rules between people.
    #[error("{0}")]
    Sharing(#[from] Refusal),
    /// No grant of that id, or none that concerns the caller.
    #[error("{0}: no request or grant that concerns you; run: tmux-gate list")]
    NoGrant(GrantId),
    /// Nothing of the caller's opens that person's sessions now, if there is such a person.
    #[error("{0}: no grant of yours is open; run: tmux-gate request {0} --for 30m --reason TEXT")]
    NoneOpen(Name),
    /// Its state is not one for that.
    #[error("{0}: {1}; run: tmux-gate list")]
    NotNow(GrantId, &'static str),
    /// It waits for its approval.
    #[error("{0}: it waits for its approval; ask its owner, or run: tmux-gate list")]
    NotYet(GrantId),
    /// It will not be approved any more.
    #[error("{0}: {1}; ask again, or ask its owner why")]
    Decided(GrantId, How),
    /// The own session takes a grant, and there is none.
    #[error("{0}: {OWN_TAKES}; run: tmux-gate request {0} --for 30m --reason TEXT")]
    NeedsGrant(Name),
    /// There is a request for it.
    #[error("{0}: {OWN_TAKES}, and {1} waits for its approval; try again when it is approved")]
    AwaitsApproval(Name, GrantId),
    /// The own session takes none.
    #[error("{0}: your own session takes no grant; run: tmux-gate")]
    NeedsNoGrant(Name),
    /// A grant for the own session is no way to join.
    #[error("{0}: is for your own session; run: tmux-gate attach")]
    Own(GrantId),
    /// The own session is had whole or not at all.
    #[error(
        "{0}: is for somebody's own session, which takes read-write; leave --read-only out, or refuse it: tmux-gate deny {0}"
    )]
    Whole(GrantId),
    /// A guest would look on, or type.
    #[error("{0}: {1} is in this session; approve it from a terminal outside")]
    Watched(GrantId, Name),
    /// The same of an invitation, which is an approval.
    #[error("{0} is in this session; invite others from a terminal outside")]
    InvitesWatched(Name),
    /// The owner's server is not there, or has no such session.
    #[error("{0}: has no such session now; ask for it to be opened")]
    NoSession(Name),
    /// The owner's tmux client could not draw on the guest's terminal.
    #[error("TERM={0}: {1}; set another, as in TERM=xterm-256color, or install its description (ncurses-term)")]
    Unfit(String, &'static str),
    /// The owner's server hangs.
    #[error("{0}: the tmux server does not answer; ask its owner to see to it")]
    Silent(Name),
    /// There is no sandbox for the relay.
    #[error("{0}")]
    Unsandboxed(relay::Refusal),
    /// The code was wrong.
    #[error("{0}: not its code; {1} tries are left")]
    WrongCode(GrantId, u8),
    /// The grants cannot be read or written.
    #[error(transparent)]
    Grants(#[from] grants::Error),
    /// No clock.
    #[error("the clock cannot be read: {0}; mount /proc")]
    Clock(io::Error),
    /// Who stands behind the caller cannot be told.
    #[error("the processes behind this one cannot be read: {0}; mount /proc as usual")]
    Ancestry(io::Error),
    /// fork(2) and the like.
    #[error("the session cannot be started: {0}; try again, or ask your administrator")]
    Session(io::Error),
}

impl Error {
    /// The exit status.
    pub fn status(&self) -> u8 {
        match self {
            Self::Entry(_) | Self::Privilege(_) | Self::NoTerminal | Self::Inside(_) | Self::Background => {
                Status::FAILED
            }
            Self::Output(_) | Self::Record(_) | Self::Session(_) | Self::MonitorDied => Status::FAILED,
            Self::Arguments(cli::Error::Usage(_) | cli::Error::Value(_)) => Status::USAGE,
            Self::Tmux(tmux::Unusable::Missing(_)) | Self::Ask(_) | Self::NoSession(_) | Self::Silent(_) => {
                Status::UNAVAILABLE
            }
            Self::Caller(Fault::Outage(_)) | Self::Pam(_, pam::Error::Unavailable(_)) => Status::NOT_YET,
            Self::TimedOut(_) | Self::Late(_) | Self::NotYet(_) => Status::NOT_YET,
            Self::Caller(Fault::Stranger(_) | Fault::Unusable(..) | Fault::Ambiguous(..)) => Status::REFUSED,
            Self::Arguments(cli::Error::Foreign(_)) | Self::Nobody | Self::NotAllowed(_) => Status::REFUSED,
            Self::NoVerdict | Self::Interrupted | Self::HungUp => Status::REFUSED,
            Self::Unopened | Self::Unguarded => Status::REFUSED,
            Self::Changed(_) | Self::Pam(..) | Self::Decided(..) => Status::REFUSED,
            Self::NeedsGrant(_) | Self::NeedsNoGrant(_) | Self::Own(_) | Self::Whole(_) => Status::REFUSED,
            Self::AwaitsApproval(..) => Status::NOT_YET,
            Self::Sharing(_) | Self::NoGrant(_) | Self::NoneOpen(_) | Self::Watched(..) | Self::WrongCode(..) => {
                Status::REFUSED
            }
            Self::InvitesWatched(_) => Status::REFUSED,
            Self::Unfit(..) => Status::FAILED,
            Self::Unsandboxed(_) | Self::NotNow(..) | Self::Clock(_) | Self::Ancestry(_) => Status::FAILED,
            Self::Grants(grants::Error::Missing | grants::Error::Weak | grants::Error::Foreign(_)) => {
                Status::CONFIGURATION
            }
            Self::Grants(grants::Error::Full) => Status::REFUSED,
            Self::Grants(grants::Error::Busy) => Status::NOT_YET,
            Self::Grants(grants::Error::Io(..)) => Status::FAILED,
            Self::NotSetuid | Self::Namespace | Self::Configuration(_) | Self::NoGroup => Status::CONFIGURATION,
            Self::Service(_) | Self::Custody(_) | Self::Tmux(tmux::Unusable::Weak(_)) => Status::CONFIGURATION,
        }
    }

    /// Is it written down as a refusal? Slips of the keyboard are not.
    pub fn is_recorded(&self) -> bool {
        // A cut has an event of its own.
        self.status() != Status::USAGE && !matches!(self, Self::MonitorDied)
    }

    /// PAM's code, where PAM decided.
    pub fn pam_code(&self) -> Option<&str> {
        match self {
            Self::Pam(_, error) => error.code(),
            _ => None,
        }
    }
}
