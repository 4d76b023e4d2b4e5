//! A relay on a stage, for the tests: a guest's terminal, a session's terminal, somebody who stands for the monitor, and
//! the whole life of the relay in a process of its own between them.

use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::termios::{SetArg, cfmakeraw, tcgetattr, tcsetattr};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{self, Pid};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

use super::pump::BEGIN;
use super::{Place, Sandbox, ToMonitor, ToRelay, live, pair};
use crate::ident::{Access, Uid};
use crate::relay::MonitorEnd;
use crate::sys::entry;
use crate::sys::ids::Identity;
use crate::sys::process::{self, Process};
use crate::sys::pty::{self, Master, Slave};
use crate::sys::tty::{Size, Tty};

/// Longer than anything takes that is not stuck.
pub(super) const LONG: Duration = Duration::from_secs(20);

/// Everybody's uid for the tests: nobody.
pub(super) const NOBODY: u32 = 65534;

pub(super) struct Stage {
    /// What the guest sees and types.
    pub terminal: Option<Master>,
    /// The guest's side of it, for looking at.
    pub guest: Slave,
    /// The monitor's copy of the inner terminal.
    pub master: Master,
    /// What the session's program prints and reads. Raw.
    pub session: Option<Slave>,
    pub monitor: Option<MonitorEnd>,
    /// Stands for the monitor, as the relay's parent and the leader of the guest's session; exits as the relay did.
    pub parent: Process,
    pub relay: Pid,
}

/// What a stage may have otherwise.
pub(super) struct Setting {
    pub access: Access,
    pub sandbox: Sandbox,
    pub size: Size,
    /// Typed before there is a relay.
    pub typed: &'static [u8],
    /// Runs in the relay's process before its life begins.
    pub before: fn(),
}

impl Setting {
    pub fn with(access: Access) -> Self {
        let size = Size { columns: 80, rows: 24 };
        Self { access, sandbox: Sandbox::Required, size, typed: b"", before: || {} }
    }

    /// A relay that may not have begun yet.
    pub fn raise(&self) -> Stage {
        assert!(unistd::geteuid().is_root(), "a relay gives root up: run the tests as root");
        let (terminal, guest) = pty::open().unwrap();
        terminal.set_size(self.size).unwrap();
        give(terminal.as_fd(), self.typed);
        let (master, session) = pty::open().unwrap();
        make_raw(session.as_fd());
        let (monitor, link) = pair().unwrap();
        let (mut said, says) = std::io::pipe().unwrap();
        let parent = process::fork(&[], || {
            entry::close_all_but(&[guest.as_fd(), master.as_fd(), link.as_fd(), says.as_fd()]).unwrap();
            guest.take().unwrap();
            SigSet::all().thread_block().unwrap();
            let tty = Tty::controlling().unwrap();
            let own = unistd::getpid();
            let uid = Uid::new(NOBODY).unwrap();
            let identity = Identity { uid, gid: NOBODY, effective_gid: NOBODY, groups: vec![] };
            let relay = process::fork(&[], || {
                (self.before)();
                live(Place {
                    tty: &tty,
                    master: &master,
                    link: &link,
                    monitor: own,
                    identity: &identity,
                    access: self.access,
                    prefixes: &[2],
                    sandbox: self.sandbox,
                })
            });
            let relay = relay.unwrap().pid;
            unistd::write(&says, &relay.as_raw().to_ne_bytes()).unwrap();
            // The relay alone has its end of the link.
            entry::close_all_but(&[std::io::stdin().as_fd(), tty.as_fd()]).unwrap();
            ended(waitpid(relay, None).unwrap())
        })
        .unwrap();
        drop((says, link));
        let mut relay = [0; 4];
        said.read_exact(&mut relay).unwrap();
        let relay = Pid::from_raw(i32::from_ne_bytes(relay));
        let (terminal, session, monitor) = (Some(terminal), Some(session), Some(monitor));
        Stage { terminal, guest, master, session, monitor, parent, relay }
    }
}

fn ended(status: WaitStatus) -> u8 {
    match status {
        WaitStatus::Exited(_, status) => u8::try_from(status).unwrap(),
        WaitStatus::Signaled(_, signal, _) => 128 + signal as u8,
        other => panic!("{other:?}"),
    }
}

/// Raw and non-blocking, so that no test waits for ever.
fn make_raw(fd: BorrowedFd<'_>) {
    let mut modes = tcgetattr(fd).unwrap();
    cfmakeraw(&mut modes);
    tcsetattr(fd, SetArg::TCSANOW, &modes).unwrap();
    fcntl(fd, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
}

impl Stage {
    /// A relay that relays.
    pub fn ready(access: Access) -> Self {
        Setting::with(access).raise().begun()
    }

    /// It relays, and has shown its own first bytes.
    pub fn begun(self) -> Self {
        self.expect(ToMonitor::Ready);
        assert_eq!(self.shown(BEGIN.len()), BEGIN);
        self
    }

    pub fn terminal(&self) -> BorrowedFd<'_> {
        self.terminal.as_ref().unwrap().as_fd()
    }

    pub fn session(&self) -> BorrowedFd<'_> {
        self.session.as_ref().unwrap().as_fd()
    }

    pub fn tell(&self, word: &ToRelay) {
        self.monitor.as_ref().unwrap().send(word).unwrap();
    }

    pub fn hear(&self) -> Option<ToMonitor> {
        let until = Instant::now() + LONG;
        let monitor = self.monitor.as_ref().unwrap();
        loop {
            match monitor.heard() {
                Ok(Some(word)) => return Some(word),
                Ok(None) => assert!(wait_for(monitor.as_fd(), PollFlags::POLLIN, until), "the relay says nothing"),
                Err(_) => return None,
            }
        }
    }

    pub fn expect(&self, word: ToMonitor) {
        assert_eq!(self.hear(), Some(word));
    }

    /// The relay ended by itself, after these last words.
    pub fn expect_end(&self, words: &[ToMonitor]) {
        for word in words {
            self.expect(*word);
        }
        assert_eq!(self.hear(), None);
        assert_eq!(self.exit_status(), 0);
    }

    /// Waits for the relay; 128 more than the signal that ended it.
    pub fn exit_status(&self) -> u8 {
        assert!(wait_for(self.parent.as_fd(), PollFlags::POLLIN, Instant::now() + LONG), "the relay lives on");
        ended(waitpid(self.parent.pid, None).unwrap())
    }

    /// Types these bytes again and again until nobody takes more for a while; how many were taken.
    pub fn type_until_stuck(&self, bytes: &[u8]) -> usize {
        let mut typed = 0;
        while wait_for(self.terminal(), PollFlags::POLLOUT, Instant::now() + Duration::from_millis(200)) {
            typed += unistd::write(self.terminal(), bytes).unwrap_or(0);
            assert!(typed < 1 << 20, "there is no end to what the relay takes");
        }
        typed
    }

    /// What the terminal shows next, when that has this many bytes.
    pub fn shown(&self, bytes: usize) -> Vec<u8> {
        take(self.terminal(), bytes)
    }

    /// What reached the session before now, and nothing is on its way: a mark of the test's own came right behind it.
    pub fn reached_session(&self) -> Vec<u8> {
        const MARK: &[u8] = b"\xffmark of the test\xff";
        let mut all = std::thread::scope(|threads| {
            threads.spawn(|| give(self.master.as_fd(), MARK));
            take_until(self.session(), MARK)
        });
        all.truncate(all.len() - MARK.len());
        all
    }

    /// A program on the inner terminal, that tells its size when it starts and whenever it is to draw.
    pub fn sized_program(&self) -> Program {
        let program = process::fork(&[], || {
            entry::close_all_but(&[self.session()]).unwrap();
            self.session.as_ref().unwrap().take().unwrap();
            let signals = process::signals(&[Signal::SIGWINCH]).unwrap();
            let tty = Tty::controlling().unwrap();
            loop {
                let Size { columns, rows } = tty.size().unwrap();
                give(tty.as_fd(), format!("<{columns}x{rows}>").as_bytes());
                assert!(wait_for(signals.as_fd(), PollFlags::POLLIN, Instant::now() + 10 * LONG));
                signals.read_signal().unwrap();
            }
        });
        Program(program.unwrap())
    }

    /// Memory of the relay in kB, by the name that /proc/pid/status has for it.
    pub fn memory(&self, name: &str) -> u64 {
        self.status(name).trim_end_matches("kB").trim().parse().unwrap()
    }

    /// Time of the processor that the relay has used.
    pub fn busy(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.relay)).unwrap();
        let fields = stat.rsplit(')').next().unwrap().split_whitespace();
        let ticks: u64 = fields.skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum();
        Duration::from_millis(10 * ticks)
    }

    pub fn status(&self, name: &str) -> String {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.relay)).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap().trim().to_owned()
    }
}

/// Ends when nobody wants it any more.
pub(super) struct Program(Process);

impl Drop for Program {
    fn drop(&mut self) {
        self.0.signal(Signal::SIGKILL);
        process::reap(self.0.pid);
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.parent.signal(Signal::SIGKILL);
        let _ = waitpid(self.parent.pid, None);
    }
}

/// Waits for an event; false if it does not come in time.
pub(super) fn wait_for(fd: BorrowedFd<'_>, event: PollFlags, until: Instant) -> bool {
    let left = until.saturating_duration_since(Instant::now());
    let left = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
    poll(&mut [PollFd::new(fd, event)], left).unwrap_or(0) > 0
}

/// Writes all of it.
pub(super) fn give(fd: BorrowedFd<'_>, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        match unistd::write(fd, bytes) {
            Ok(taken) => bytes = &bytes[taken..],
            Err(Errno::EAGAIN) => {
                let until = Instant::now() + LONG;
                assert!(wait_for(fd, PollFlags::POLLOUT, until), "stuck with {} bytes to write", bytes.len());
            }
            Err(errno) => panic!("{errno} with {} bytes to write", bytes.len()),
        }
    }
}

/// What can be read now, or soon; `None` at the end.
pub(super) fn take_some(fd: BorrowedFd<'_>) -> Option<Vec<u8>> {
    let mut chunk = vec![0; 1 << 16];
    loop {
        assert!(wait_for(fd, PollFlags::POLLIN, Instant::now() + LONG), "stuck: nothing comes");
        match unistd::read(fd, &mut chunk) {
            Ok(0) | Err(Errno::EIO) => return None,
            Ok(length) => {
                chunk.truncate(length);
                return Some(chunk);
            }
            Err(Errno::EAGAIN) => {}
            Err(errno) => panic!("{errno}"),
        }
    }
}

/// Reads this many bytes, or until the end.
pub(super) fn take(fd: BorrowedFd<'_>, bytes: usize) -> Vec<u8> {
    let mut all = Vec::new();
    while all.len() < bytes {
        match take_some(fd) {
            Some(some) => all.extend(some),
            None => break,
        }
    }
    all
}

/// Reads until what came ends in this.
pub(super) fn take_until(fd: BorrowedFd<'_>, end: &[u8]) -> Vec<u8> {
    let mut all = Vec::new();
    while !all.ends_with(end) {
        match take_some(fd) {
            Some(some) => all.extend(some),
            None => panic!("the end came first, after {:?}", String::from_utf8_lossy(&all)),
        }
    }
    all
}

/// Bytes that look random and are the same each time.
pub(super) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..length).map(|_| next()).collect()
}

/// Text that looks random: what the filter passes as it is.
pub(super) fn text(seed: u64, length: usize) -> Vec<u8> {
    noise(seed, length).into_iter().map(|byte| b' ' + byte % 95).collect()
}

/// From now on the kernel says to this process that it does not have these system calls.
pub(super) fn pretend_missing(numbers: &[libc::c_long]) {
    let missing = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
    let machine = std::env::consts::ARCH.try_into().unwrap();
    let rules = numbers.iter().map(|number| (*number, vec![])).collect();
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, missing, machine).unwrap();
    let program: BpfProgram = filter.try_into().unwrap();
    seccompiler::apply_filter(&program).unwrap();
}
