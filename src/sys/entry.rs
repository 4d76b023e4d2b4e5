//! What did the caller leave us, and how is it put right? Step 1 of the order, before anything else runs.
//!
//! Everything that execve(2) passes on is the caller's choice: environment, descriptors, umask, limits, signal mask and
//! dispositions, timers, working directory. Never: a library call that reads the environment before it is empty.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, rlim_t, setrlimit};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::stat::{Mode, umask};

/// Takes what `keep` accepts out of the environment and leaves the environment empty.
///
/// Must be the first call of `main`, while the process has one thread.
pub fn take_environment(keep: impl Fn(&str, &[u8]) -> bool) -> Vec<(String, OsString)> {
    use std::os::unix::ffi::OsStrExt;
    let kept = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.to_str()?.to_owned(), value)))
        .filter(|(name, value)| keep(name, value.as_bytes()))
        .collect();
    // SAFETY: nothing holds a pointer into the environment (the strings above are copies) and there is one thread.
    unsafe { libc::clearenv() };
    kept
}

/// The limits that are raised for root's work and given back to the caller's program.
const LIMITS: [Resource; 10] = [
    Resource::RLIMIT_CORE,
    Resource::RLIMIT_CPU,
    Resource::RLIMIT_DATA,
    Resource::RLIMIT_FSIZE,
    Resource::RLIMIT_NOFILE,
    Resource::RLIMIT_NPROC,
    Resource::RLIMIT_STACK,
    Resource::RLIMIT_AS,
    Resource::RLIMIT_RTTIME,
    Resource::RLIMIT_SIGPENDING,
];

/// What root works under: nothing cut short half-way (CVE-2011-1089), no core, few descriptors.
fn wanted(resource: Resource) -> rlim_t {
    match resource {
        Resource::RLIMIT_CORE => 0,
        Resource::RLIMIT_NOFILE => 1024,
        Resource::RLIMIT_STACK => 8 << 20,
        Resource::RLIMIT_SIGPENDING => 1024,
        _ => libc::RLIM_INFINITY,
    }
}

type Limits = [(rlim_t, rlim_t); LIMITS.len()];

fn limits_now() -> io::Result<Limits> {
    let mut limits = [(0, 0); LIMITS.len()];
    for (slot, resource) in limits.iter_mut().zip(LIMITS) {
        *slot = getrlimit(resource)?;
    }
    Ok(limits)
}

/// Where root lacks CAP_SYS_RESOURCE (containers) a caller's hard limit stays. Below these a PAM module could not write
/// down that a guess was wrong, and the kernel would kill the front or the monitor at a time of the caller's choice.
fn least(resource: Resource) -> rlim_t {
    match resource {
        Resource::RLIMIT_FSIZE => 256 << 10,
        Resource::RLIMIT_NOFILE => 32,
        // CPU time used survives execve(2), so no number would be enough.
        Resource::RLIMIT_CPU | Resource::RLIMIT_RTTIME => libc::RLIM_INFINITY,
        Resource::RLIMIT_SIGPENDING => 8,
        Resource::RLIMIT_AS | Resource::RLIMIT_DATA => 128 << 20,
        _ => 0,
    }
}

/// Raises what can be raised and says what holds then.
fn raise(mut limits: Limits) -> io::Result<Limits> {
    for (resource, limit) in LIMITS.into_iter().zip(&mut limits) {
        let (want, hard) = (wanted(resource), limit.1);
        let best = (want, hard.max(want));
        if *limit == best {
            continue;
        }
        *limit = best;
        if setrlimit(resource, best.0, best.1).is_err() {
            *limit = (want.min(hard), hard);
            setrlimit(resource, limit.0, limit.1)?;
        }
    }
    Ok(limits)
}

/// What the caller, and not an administrator's pam_limits, left too small.
fn enough(limits: Limits) -> io::Result<Limits> {
    match LIMITS.into_iter().zip(limits).find(|(resource, limit)| limit.0 < least(*resource)) {
        Some((resource, (soft, _))) => Err(io::Error::other(format!("{resource:?} is {soft} and cannot be raised"))),
        None => Ok(limits),
    }
}

/// What a program started for the caller gets of his limits and umask.
#[derive(Clone, Copy)]
pub struct Inheritance {
    limits: Limits,
    raised: Limits,
    umask: Mode,
}

impl Inheritance {
    /// Sets the umask that the session gets unless a module (pam_umask) says otherwise. Call right before the session opens.
    pub fn offer_umask(&self) {
        umask(self.umask);
    }

    /// Looks at what PAM's session modules (pam_limits, pam_umask) changed in this process, keeps their word over the
    /// caller's, and raises the limits again. Call once, right after the session was opened.
    ///
    /// # Errors
    /// getrlimit(2), setrlimit(2).
    pub fn after_session_modules(mut self) -> io::Result<Self> {
        let found = limits_now()?;
        for ((given, now), ours) in self.limits.iter_mut().zip(found).zip(self.raised) {
            if now != ours {
                *given = now;
            }
        }
        self.umask = umask(OURS);
        self.raised = raise(found)?;
        Ok(self)
    }

    /// Gives the limits and the umask to this process, which is about to become the caller's program.
    ///
    /// # Errors
    /// setrlimit(2).
    pub fn give(&self) -> io::Result<()> {
        umask(self.umask);
        for ((resource, limit), now) in LIMITS.into_iter().zip(self.limits).zip(self.raised) {
            if limit != now {
                setrlimit(resource, limit.0, limit.1)?;
            }
        }
        Ok(())
    }
}

const OURS: Mode = Mode::from_bits_truncate(0o077);

/// Descriptors, umask, limits, signals, timers, working directory, core dumps. Descriptors 0 to 2 are open: Rust's
/// start-up opened /dev/null for those that were not.
///
/// # Errors
/// The system call that failed: nothing may go on after it.
pub fn cleanse() -> io::Result<Inheritance> {
    close_from_3(0)?;
    let given = umask(OURS) | Mode::from_bits_truncate(0o022);
    let limits = limits_now()?;
    let inheritance = Inheritance { limits, raised: raise(limits).and_then(enough)?, umask: given };
    disarm_timers();
    // Both survive execve(2): one makes every wait as long as the caller likes, the other gives us his orphans.
    prctl::set_timerslack(50_000)?;
    prctl::set_child_subreaper(false)?;
    put_right(&[Signal::SIGPIPE, Signal::SIGXFSZ], &[], &SigSet::empty(), libc::SIGRTMAX())?;
    Ok(inheritance)
}

/// What both the caller and PAM modules can disturb: dispositions of the signals up to `last`, mask, umask, working
/// directory, core dumps. The signals in `ignored` are so in what is executed too; those in `unheeded` do nothing, and are
/// back at their default there.
///
/// # Errors
/// The system call that failed: nothing may go on after it.
pub fn put_right(ignored: &[Signal], unheeded: &[Signal], blocked: &SigSet, last: libc::c_int) -> io::Result<()> {
    let is_in = |list: &[Signal], signal| list.iter().any(|one| *one as libc::c_int == signal);
    for signal in 1..=last {
        if is_in(ignored, signal) {
            // SAFETY: SIG_IGN installs no code of ours.
            unsafe { libc::signal(signal, libc::SIG_IGN) };
        } else if is_in(unheeded, signal) {
            heed_not(signal);
        } else {
            default_signal(signal);
        }
    }
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(blocked), None)?;
    umask(OURS);
    prctl::set_dumpable(false)?;
    std::env::set_current_dir("/")
}

/// An ignored SIGCHLD would make PAM modules misread how their helpers ended.
fn default_signal(signal: libc::c_int) {
    // The kernel's struct sigaction, all zeroes: SIG_DFL, no flags, no mask. By system call, because the C library keeps
    // two of the signals to itself, and a caller may have ignored these too.
    let default = [0_u64; 4];
    let none = std::ptr::null_mut::<u64>();
    // SAFETY: SIG_DFL installs no code of ours; the structure is at most 32 bytes long, a signal set 8.
    unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), none, 8) };
}

/// What a program expects that is about to be executed: every signal at its default and none blocked (those of real time
/// were put right at entry), and no descriptor above 2, whoever left it open.
pub fn leave_nothing_of_ours() {
    (1..=libc::SIGSYS).for_each(default_signal);
    let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None);
    // What this process still holds stays open until execve(2).
    let _ = close_from_3(libc::CLOSE_RANGE_CLOEXEC);
}

/// Closes every descriptor but these, whoever owns it: only for a process that never returns to the owners.
///
/// # Errors
/// close_range(2).
pub fn close_all_but(kept: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut kept: Vec<libc::c_uint> = kept.iter().filter_map(|fd| fd.as_raw_fd().try_into().ok()).collect();
    kept.sort_unstable();
    let mut from = 0;
    for fd in kept {
        if let Some(last) = fd.checked_sub(1).filter(|last| from <= *last) {
            close_range(from, last, 0)?;
        }
        from = fd + 1;
    }
    close_range(from, libc::c_uint::MAX, 0)
}

/// From 3 to the end. With no `flags` only for a process that owns nothing there yet.
fn close_from_3(flags: libc::c_uint) -> io::Result<()> {
    close_range(3, libc::c_uint::MAX, flags)
}

fn close_range(first: libc::c_uint, last: libc::c_uint, flags: libc::c_uint) -> io::Result<()> {
    // SAFETY: a plain system call on numbers, by its number because musl has no function for it.
    match unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// A handler that does nothing, and not SIG_IGN or a mask: those are inherited by what modules execute.
fn heed_not(signal: libc::c_int) {
    extern "C" fn nothing(_: libc::c_int) {}
    let handler: extern "C" fn(libc::c_int) = nothing;
    // SAFETY: the handler touches nothing. signal(2) of glibc and musl restarts what it interrupts.
    unsafe { libc::signal(signal, handler as libc::sighandler_t) };
}

/// alarm(2) and setitimer(2) survive execve(2): a caller could have a root process killed at a moment of his choice.
fn disarm_timers() {
    for timer in [libc::ITIMER_REAL, libc::ITIMER_VIRTUAL, libc::ITIMER_PROF] {
        // SAFETY: `off` is plain old data, zero disarms, and the old value is not asked for.
        unsafe {
            let off: libc::itimerval = std::mem::zeroed();
            libc::setitimer(timer, &raw const off, std::ptr::null_mut());
        }
    }
}
