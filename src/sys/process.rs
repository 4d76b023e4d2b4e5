//! How does a process start, end and get watched? Never: who runs what.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{self, ForkResult, Pid, alarm};

use crate::ident::Uid;

/// A process that can be waited for and killed without a chance to hit another of the same pid (CVE-2013-4288).
pub struct Process {
    /// Its pid, while it is not reaped.
    pub pid: Pid,
    fd: OwnedFd,
}

impl Process {
    /// A handle on a child that was not reaped yet; on another process only what is looked up after this is about it.
    ///
    /// # Errors
    /// pidfd_open(2).
    pub fn open(pid: Pid) -> io::Result<Self> {
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

/// Forks. The child closes its copies of `parents`, which only its parent uses, runs `child`, exits with what that returns,
/// if it returns, and runs nothing after it: no destructor of the parent's, no `?` that crosses over.
///
/// # Errors
/// fork(2), pidfd_open(2).
pub fn fork(parents: &[BorrowedFd<'_>], child: impl FnOnce() -> u8) -> io::Result<Process> {
    // SAFETY: we start no thread. A PAM module that does takes the risk that fork(2) names: its locks are lost to the
    // child, which allocates a little and executes.
    match unsafe { unistd::fork() }? {
        ForkResult::Child => {
            for fd in parents {
                // SAFETY: the child never returns to who owns the descriptor, so nobody uses or closes it again.
                unsafe { libc::close(fd.as_raw_fd()) };
            }
            exit_now(child())
        }
        ForkResult::Parent { child } => Process::open(child).inspect_err(|_| {
            // Nobody could watch it.
            let _ = nix::sys::signal::kill(child, Signal::SIGKILL);
            reap(child);
        }),
    }
}

/// Ends this process at once, with no destructors: in a forked child they would close what the parent still uses.
pub fn exit_now(status: u8) -> ! {
    // SAFETY: _exit(2) runs no code of this process.
    unsafe { libc::_exit(libc::c_int::from(status)) }
}

/// Replaces this process; returns only why it could not.
pub fn exec(path: &str, arguments: &[String], environment: &[String]) -> io::Error {
    let c = |text: &str| CString::new(text).unwrap_or_default();
    let all = |texts: &[String]| texts.iter().map(|text| c(text)).collect::<Vec<_>>();
    match unistd::execve(&c(path), &all(arguments), &all(environment)) {
        Err(errno) => errno.into(),
    }
}

/// What became of a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It ended with this exit status.
    Exited(i32),
    /// A signal ended it.
    Killed,
    /// Its terminal, or itself, stopped it: SIGTSTP, SIGTTIN, SIGTTOU.
    Stopped,
    /// SIGSTOP, which it could not take part in.
    Frozen,
}

/// What became of the child `pid` since the last call, without waiting.
pub fn change_of(pid: Pid) -> Option<Change> {
    match waitpid(pid, Some(WaitPidFlag::WNOHANG | WaitPidFlag::WUNTRACED)).ok()? {
        WaitStatus::Exited(_, status) => Some(Change::Exited(status)),
        WaitStatus::Signaled(..) => Some(Change::Killed),
        WaitStatus::Stopped(_, Signal::SIGSTOP) => Some(Change::Frozen),
        WaitStatus::Stopped(..) => Some(Change::Stopped),
        _ => None,
    }
}

/// Waits for children that were killed, all together for `limit` at most. Whoever traces one may keep its end to himself, and what
/// is stuck in the kernel does not end: neither holds us up.
pub fn reap_killed(children: &[Process], limit: Duration) {
    let until = Instant::now() + limit;
    for child in children {
        let left = until.saturating_duration_since(Instant::now());
        let left = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
        let _ = poll(&mut [PollFd::new(child.as_fd(), PollFlags::POLLIN)], left);
        let _ = waitpid(child.pid, Some(WaitPidFlag::WNOHANG));
    }
}

/// Waits for one child to end.
pub fn reap(pid: Pid) {
    while matches!(waitpid(pid, None), Err(nix::errno::Errno::EINTR)) {}
}

/// Orphans below this process become its children from now on (prctl(2), PR_SET_CHILD_SUBREAPER): proof that all children
/// are then of its own making. A caller may have made children before he executed us; then there is no such proof.
pub struct Brood(());

impl Brood {
    /// `None` where children are there already, or the kernel cannot say.
    pub fn adopt() -> Option<Self> {
        children().filter(Vec::is_empty)?;
        prctl::set_child_subreaper(true).ok().map(|()| Self(()))
    }

    /// Kills all children and those that they leave behind, for a second at most.
    pub fn kill(&self) {
        let until = Instant::now() + Duration::from_secs(1);
        while let Some(children) = children().filter(|c| !c.is_empty() && Instant::now() < until) {
            for pid in children {
                let _ = nix::sys::signal::kill(pid, Signal::SIGKILL);
                let _ = waitpid(pid, Some(WaitPidFlag::WNOHANG));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Brood {
    /// Orphans are init's again.
    fn drop(&mut self) {
        let _ = prctl::set_child_subreaper(false);
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

/// This process's end, unless it is put off or dropped before: a module that blocks every signal, or a front that is gone,
/// change nothing about it.
pub struct Doom(libc::timer_t);

impl Doom {
    /// SIGKILL from the kernel (timer_create(2)), a second after `limit`: the front comes first.
    ///
    /// # Errors
    /// timer_create(2), timer_settime(2).
    pub fn after(limit: Duration) -> io::Result<Self> {
        // SAFETY: plain old data, for which zeroes are a value.
        let mut event: libc::sigevent = unsafe { std::mem::zeroed() };
        (event.sigev_notify, event.sigev_signo) = (libc::SIGEV_SIGNAL, libc::SIGKILL);
        let mut timer = std::ptr::null_mut();
        // SAFETY: both pointers are valid for the call, and the timer is ours alone.
        if unsafe { libc::timer_create(libc::CLOCK_MONOTONIC, &raw mut event, &raw mut timer) } != 0 {
            return Err(io::Error::last_os_error());
        }
        Self(timer).put_off(limit)
    }

    /// Not before `limit` from now.
    ///
    /// # Errors
    /// timer_settime(2).
    pub fn put_off(self, limit: Duration) -> io::Result<Self> {
        // SAFETY: plain old data, for which zeroes are a value.
        let mut when: libc::itimerspec = unsafe { std::mem::zeroed() };
        let limit = limit + Duration::from_secs(1);
        when.it_value.tv_sec = libc::time_t::try_from(limit.as_secs()).unwrap_or(libc::time_t::MAX);
        when.it_value.tv_nsec = libc::c_long::from(limit.subsec_nanos());
        // SAFETY: the timer is alive as long as `self`, and the old value is not asked for.
        match unsafe { libc::timer_settime(self.0, 0, &raw const when, std::ptr::null_mut()) } {
            0 => Ok(self),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

impl Drop for Doom {
    fn drop(&mut self) {
        // SAFETY: made in `after`, deleted once.
        unsafe { libc::timer_delete(self.0) };
    }
}

/// This process's end, with words, unless it is dropped before: for lookups in the users database, which wait for servers
/// as long as these like, and which nothing but a signal ends.
pub struct Patience(());

static LAST_WORDS: OnceLock<(String, libc::c_int)> = OnceLock::new();

impl Patience {
    /// After `limit`, in whole seconds, `words` on standard error and exit `status`, unless there was a [`Patience`] before,
    /// which had its own.
    pub fn of(limit: Duration, words: &str, status: u8) -> Self {
        LAST_WORDS.get_or_init(|| (format!("{words}\n"), status.into()));
        let handler = SigAction::new(SigHandler::Handler(give_up), SaFlags::empty(), SigSet::all());
        // SAFETY: `give_up` makes no call but those that signal-safety(7) allows.
        let handled = unsafe { sigaction(Signal::SIGALRM, &handler) };
        debug_assert!(handled.is_ok(), "SIGALRM can be caught");
        alarm::set(u32::try_from(limit.as_secs()).unwrap_or(u32::MAX).max(1));
        Self(())
    }
}

impl Drop for Patience {
    fn drop(&mut self) {
        alarm::cancel();
        // SAFETY: SIG_DFL installs no code of ours.
        let _ = unsafe {
            sigaction(Signal::SIGALRM, &SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty()))
        };
    }
}

extern "C" fn give_up(_signal: libc::c_int) {
    let (words, status) = LAST_WORDS.get().map_or(("", 1), |(words, status)| (words.as_str(), *status));
    let mut terminal = libc::pollfd { fd: libc::STDERR_FILENO, events: libc::POLLOUT, revents: 0 };
    // SAFETY: poll(2) of one descriptor, write(2) of bytes that live as long as the process, and _exit(2): all are
    // async-signal-safe. A terminal that takes nothing is not waited for.
    unsafe {
        if libc::poll(&raw mut terminal, 1, 0) == 1 {
            libc::write(libc::STDERR_FILENO, words.as_ptr().cast(), words.len());
        }
        libc::_exit(status);
    }
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

/// The uids behind this process: of the log-in that it belongs to (`/proc/self/loginuid`, where the kernel keeps one), and the
/// real uid of every process that it came from. Who became somebody else by sudo is still among them.
///
/// # Errors
/// A parent's entry in /proc that cannot be read, or makes no sense.
pub fn uids_behind() -> io::Result<Vec<Uid>> {
    let login = fs::read_to_string("/proc/self/loginuid").ok().and_then(|text| Uid::parse(text.trim()).ok());
    let mut uids: Vec<Uid> = login.into_iter().collect();
    let mut pid = std::process::id();
    // Deeper than any honest tree.
    for _ in 0..1024 {
        uids.push(Uid::parse(&field_of(pid, "Uid:")?).map_err(|_| unclear())?);
        pid = field_of(pid, "PPid:")?.parse().map_err(|_| unclear())?;
        if pid == 0 {
            return Ok(uids);
        }
    }
    Err(unclear())
}

/// The parent of the leader of this process's session: what opened its terminal for it.
///
/// # Errors
/// getsid(2), the leader's entry in /proc.
pub fn session_leader_parent() -> io::Result<u32> {
    let leader = unistd::getsid(None)?.as_raw().unsigned_abs();
    field_of(leader, "PPid:")?.parse().map_err(|_| unclear())
}

/// The first word of a line of proc_pid_status(5).
fn field_of(pid: u32, name: &str) -> io::Result<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    Ok(line.and_then(|rest| rest.split_whitespace().next()).ok_or_else(unclear)?.to_owned())
}

fn unclear() -> io::Error {
    io::ErrorKind::InvalidData.into()
}

/// A process, as /proc shows it to root.
pub struct Relative {
    /// Its real uid.
    pub uid: Uid,
    /// Its name, 15 bytes at most, as it calls itself.
    pub name: String,
}

/// The process and what it has started, as far as it can be seen: for people to look at, never to decide by.
pub fn family(pid: u32) -> Vec<Relative> {
    let mut found = Vec::new();
    let mut next = vec![pid];
    while let Some(pid) = next.pop().filter(|_| found.len() < 256) {
        let read = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
        let status = read("status");
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let uid = field("Uid:").and_then(|uids| Uid::parse(uids.split_whitespace().next()?).ok());
        if let (Some(uid), Some(name)) = (uid, field("Name:")) {
            found.push(Relative { uid, name: name.to_owned() });
        }
        let children = read(&format!("task/{pid}/children"));
        next.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
    }
    found
}

/// Lets everybody else go first from now on (nice(2)).
pub fn go_last() {
    // SAFETY: takes a number, and changes this process's own priority.
    unsafe { libc::nice(19) };
}

/// Shows what this process is in `ps` and `top`, as far as 15 bytes go.
pub fn show_role(role: &str) {
    let _ = prctl::set_name(&CString::new(role).unwrap_or_default());
}

/// Stops this process's group as Ctrl-Z would: not at all where no shell would continue it (orphaned process group).
pub fn stop_group() {
    let stop = SigSet::from(Signal::SIGTSTP);
    // Sent while it is blocked: one that is pending already and this one are one.
    let _ = nix::sys::signal::kill(Pid::from_raw(0), Signal::SIGTSTP);
    let _ = stop.thread_unblock();
    let _ = stop.thread_block();
}

/// Is there a process in that process group?
pub fn group_exists(group: Pid) -> bool {
    group.as_raw() > 1 && nix::sys::signal::killpg(group, None) != Err(nix::errno::Errno::ESRCH)
}

/// Receives one message, and the descriptor that came with it; the length is 0 at the end.
///
/// # Errors
/// recvmsg(2).
pub fn receive(socket: BorrowedFd<'_>, message: &mut [u8]) -> nix::Result<(usize, Option<OwnedFd>)> {
    let mut space = nix::cmsg_space!([i32; 1]);
    let mut parts = [io::IoSliceMut::new(message)];
    let got = recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC)?;
    let first = got.cmsgs().ok().into_iter().flatten().find_map(|control| match control {
        ControlMessageOwned::ScmRights(fds) => fds.first().copied(),
        _ => None,
    });
    // SAFETY: the kernel made it in this call, there is room for one only, and nobody else knows it.
    Ok((got.bytes, first.map(|fd| unsafe { OwnedFd::from_raw_fd(fd) })))
}
