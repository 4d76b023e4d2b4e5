//! How does a process start, end and get watched? Never: who runs what.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{self, ForkResult, Pid};

/// A process that can be waited for and killed without a chance to hit another of the same pid (CVE-2013-4288).
pub struct Process {
    /// Its pid, while it is not reaped.
    pub pid: Pid,
    fd: OwnedFd,
}

impl Process {
    /// A handle on a child that was not reaped yet.
    ///
    /// # Errors
    /// pidfd_open(2).
    pub fn of_child(pid: Pid) -> io::Result<Self> {
        // SAFETY: a plain system call on numbers; a result that is not negative is a new descriptor that is ours alone.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0) };
        let fd = i32::try_from(fd).unwrap_or(-1);
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: see above: open, and owned by nobody else. (The kernel sets close-on-exec.)
        Ok(Self { pid, fd: unsafe { OwnedFd::from_raw_fd(fd) } })
    }

    /// A handle that came over a socket.
    pub fn from_parts(pid: Pid, fd: OwnedFd) -> Self {
        Self { pid, fd }
    }

    /// Sends a signal; a process that is gone is no error.
    pub fn signal(&self, signal: Signal) {
        let (fd, none) = (self.fd.as_raw_fd(), std::ptr::null::<libc::siginfo_t>());
        // SAFETY: the descriptor is open for the call, and no siginfo is passed.
        unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd, signal as libc::c_int, none, 0) };
    }
}

impl AsFd for Process {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Forks. The child runs `child`, exits with what it returns, if it returns, and runs nothing after it: no destructor of
/// the parent's, no `?` that crosses over.
///
/// # Errors
/// fork(2), pidfd_open(2).
pub fn fork(child: impl FnOnce() -> u8) -> io::Result<Process> {
    // SAFETY: the process has one thread, so the child may do whatever its parent could.
    match unsafe { unistd::fork() }? {
        ForkResult::Child => exit_now(child()),
        ForkResult::Parent { child } => Process::of_child(child),
    }
}

/// Ends this process at once, with no destructors: in a forked child they would close what the parent still uses.
pub fn exit_now(status: u8) -> ! {
    // SAFETY: _exit(2) runs no code of this process.
    unsafe { libc::_exit(libc::c_int::from(status)) }
}

/// Replaces this process; returns only why it could not.
pub fn exec(path: &str, arguments: &[String], environment: &[String]) -> io::Error {
    let c = |text: &String| CString::new(text.as_str()).unwrap_or_default();
    let (arguments, environment): (Vec<_>, Vec<_>) =
        (arguments.iter().map(c).collect(), environment.iter().map(c).collect());
    match unistd::execve(&c(&path.to_owned()), &arguments, &environment) {
        Err(errno) => errno.into(),
    }
}

/// A child that changed its state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It ended with this exit status.
    Exited(Pid, i32),
    /// A signal ended it.
    Killed(Pid),
    /// A signal stopped it.
    Stopped(Pid),
}

/// The next child that ended or was stopped, without waiting; `None` if there is none.
pub fn next_change() -> Option<Change> {
    let flags = WaitPidFlag::WNOHANG | WaitPidFlag::WUNTRACED;
    match waitpid(Pid::from_raw(-1), Some(flags)).ok()? {
        WaitStatus::Exited(pid, status) => Some(Change::Exited(pid, status)),
        WaitStatus::Signaled(pid, ..) => Some(Change::Killed(pid)),
        WaitStatus::Stopped(pid, _) => Some(Change::Stopped(pid)),
        _ => None,
    }
}

/// Waits for one child to end.
pub fn reap(pid: Pid) {
    while matches!(waitpid(pid, None), Err(nix::errno::Errno::EINTR)) {}
}

/// Orphans below this process become its children (prctl(2), PR_SET_CHILD_SUBREAPER), or no longer do.
///
/// # Errors
/// prctl(2).
pub fn adopt_orphans(yes: bool) -> io::Result<()> {
    Ok(prctl::set_child_subreaper(yes)?)
}

/// Kills and reaps all children, those that the killed leave behind too.
pub fn kill_children() {
    while let Some(children) = children().filter(|c| !c.is_empty()) {
        for pid in children {
            let _ = nix::sys::signal::kill(pid, Signal::SIGKILL);
            reap(pid);
        }
    }
}

fn children() -> Option<Vec<Pid>> {
    let list = fs::read_to_string("/proc/thread-self/children").ok()?;
    Some(list.split_whitespace().filter_map(|p| p.parse().ok()).filter(|p| *p > 0).map(Pid::from_raw).collect())
}

/// The kernel kills this process when `parent`, which must be its parent, dies. Survives execve(2) of what is not setuid.
///
/// # Errors
/// prctl(2); `NotFound` if the parent is gone already.
pub fn die_with(parent: Pid) -> io::Result<()> {
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    if unistd::getppid() == parent { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) }
}

/// Blocks `signals` and makes them readable.
///
/// # Errors
/// sigprocmask(2), signalfd(2).
pub fn signals(signals: &[Signal]) -> io::Result<SignalFd> {
    let set: SigSet = signals.iter().copied().collect();
    set.thread_block()?;
    Ok(SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?)
}

/// Shows what this process is in `ps` and `top`, as far as 15 bytes go.
pub fn show_role(role: &str) {
    let _ = prctl::set_name(&CString::new(role).unwrap_or_default());
}

/// Before a program is executed: signals as a program expects them, and no descriptor above 2, whoever left it open.
pub fn default_signals_and_descriptors() {
    super::entry::signals_for_program();
    // SAFETY: marks numbers; what this process still holds stays open until execve(2).
    unsafe { libc::close_range(3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC as libc::c_int) };
}

/// In a forked child: closes what the parent's copies of `others` are, which are never dropped there.
pub fn close_inherited(others: &[BorrowedFd<'_>]) {
    for fd in others {
        // SAFETY: the child never returns to the owner of the descriptor (`fork`), so nobody uses or closes it again.
        unsafe { libc::close(fd.as_raw_fd()) };
    }
}

/// Stops this process as Ctrl-Z would: not at all where no shell would continue it (orphaned process group).
pub fn stop_self() {
    let stop = SigSet::from(Signal::SIGTSTP);
    let _ = stop.thread_unblock();
    let _ = nix::sys::signal::raise(Signal::SIGTSTP);
    let _ = stop.thread_block();
}

/// Owns a descriptor that recvmsg(2) just made in this process.
pub fn received(fd: i32) -> OwnedFd {
    // SAFETY: the kernel installed it for this call's caller, who takes it out of the control message once.
    unsafe { OwnedFd::from_raw_fd(fd) }
}
