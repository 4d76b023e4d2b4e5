//! Starts a program in a private host exactly as a hostile caller would: any user, arguments (also none), environment,
//! descriptors, limits, signals, umask, directory; with a terminal of the host or without one.
//!
//! Between fork and exec only system calls run, on values made before it: the tests have threads. The first child
//! enters the namespaces and clones the second with CLONE_PARENT, so that the program is our own child and in the
//! host's process namespace; it leads a session of its own.

use super::Host;
use super::person::{Person, Terminal};
use super::running::{Running, poll};
use std::ffi::{CString, c_char, c_int, c_long};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::process::Output;
use std::ptr;
use std::time::{Duration, Instant};

const ENTER: c_int =
    libc::CLONE_NEWNS | libc::CLONE_NEWUTS | libc::CLONE_NEWIPC | libc::CLONE_NEWNET | libc::CLONE_NEWPID;

/// What is to be started. Without options: the user's ids and groups, a small clean environment, directory `/`, umask
/// 022, no limits changed, all signals at their default.
pub struct Spawn<'h> {
    host: &'h Host,
    uid: u32,
    gid: u32,
    groups: Vec<u32>,
    program: CString,
    argv: Vec<CString>,
    env: Vec<CString>,
    directory: CString,
    directory_deleted: bool,
    umask: libc::mode_t,
    limits: Vec<(libc::__rlimit_resource_t, libc::rlimit)>,
    signals_blocked: bool,
    signals_ignored: bool,
    no_new_privs: bool,
    missing_call: Option<[libc::sock_filter; 4]>,
    closed: Vec<RawFd>,
    extra_descriptors: usize,
}

impl<'h> Spawn<'h> {
    /// `user` is a name in the host's users database or a number without an entry there.
    pub(super) fn new(host: &'h Host, user: &str, argv: &[&str]) -> Self {
        let account = host.account(user);
        let mut env = vec![
            "PATH=/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin".to_owned(),
            "TERM=xterm-256color".to_owned(),
            "LANG=C.UTF-8".to_owned(),
            format!("HOME={}", account.home),
            format!("USER={user}"),
            format!("LOGNAME={user}"),
            "SHELL=/bin/bash".to_owned(),
        ];
        Spawn {
            host,
            uid: account.uid,
            gid: account.gid,
            groups: account.groups,
            program: c(host.find_program(argv[0])),
            argv: argv.iter().map(|word| c(*word)).collect(),
            env: env.drain(..).map(c).collect(),
            directory: c("/"),
            directory_deleted: false,
            umask: 0o022,
            limits: Vec::new(),
            signals_blocked: false,
            signals_ignored: false,
            no_new_privs: false,
            missing_call: None,
            closed: Vec::new(),
            extra_descriptors: 0,
        }
    }

    /// Arguments as raw bytes, argv[0] included; none at all is argc 0.
    pub fn arguments<A: AsRef<[u8]>>(mut self, argv: &[A]) -> Self {
        self.argv = argv.iter().map(|word| c(word.as_ref())).collect();
        self
    }

    /// Adds `NAME=value`, as raw bytes; an earlier one of that name goes.
    pub fn env(mut self, pair: impl AsRef<[u8]>) -> Self {
        let pair = pair.as_ref();
        let name = pair.split(|&byte| byte == b'=').next().unwrap_or(pair);
        self.env.retain(|old| old.as_bytes().split(|&byte| byte == b'=').next() != Some(name));
        self.env.push(c(pair));
        self
    }

    pub fn no_env(mut self) -> Self {
        self.env.clear();
        self
    }

    /// Entered as root, so it may be one that the user cannot read.
    pub fn directory(mut self, path: &str) -> Self {
        self.directory = c(path);
        self
    }

    /// The working directory is there no more when the program starts.
    pub fn deleted_directory(mut self) -> Self {
        self.directory = c(format!("/tmp/gone-{}", self.host.next_number()));
        self.directory_deleted = true;
        self
    }

    pub fn umask(mut self, umask: libc::mode_t) -> Self {
        self.umask = umask;
        self
    }

    /// Soft and hard limit, such as `libc::RLIMIT_FSIZE`.
    pub fn limit(mut self, resource: libc::__rlimit_resource_t, value: u64) -> Self {
        self.limits.push((resource, libc::rlimit { rlim_cur: value, rlim_max: value }));
        self
    }

    pub fn signals_blocked(mut self) -> Self {
        self.signals_blocked = true;
        self
    }

    pub fn signals_ignored(mut self) -> Self {
        self.signals_ignored = true;
        self
    }

    pub fn no_new_privs(mut self) -> Self {
        self.no_new_privs = true;
        self
    }

    /// On a kernel without this system call: ENOSYS, to the program and all that it starts.
    pub fn without_call(mut self, number: c_long) -> Self {
        let step = |code: u32, jt, jf, k| libc::sock_filter { code: code as u16, jt, jf, k };
        self.missing_call = Some([
            step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
            step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, number as u32),
            step(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32),
            step(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
        ]);
        self
    }

    pub fn closed(mut self, descriptors: &[RawFd]) -> Self {
        self.closed = descriptors.to_vec();
        self
    }

    /// Open descriptors from 3 up, on the host's /dev/null.
    pub fn extra_descriptors(mut self, count: usize) -> Self {
        self.extra_descriptors = count;
        self
    }

    pub fn groups(mut self, groups: &[u32]) -> Self {
        self.groups = groups.to_vec();
        self
    }

    /// On a new terminal of the host, which belongs to the user and is the controlling one.
    pub fn on_terminal(self) -> Person<'h> {
        let (terminal, slave) = Terminal::open(self.host, self.uid);
        let fd = slave.as_raw_fd();
        let running = self.start([fd, fd, fd], Some(fd));
        Person::new(self.host, terminal, running)
    }

    /// Without a terminal; what it has written by the time it ends (its children may live on).
    pub fn output(self) -> Output {
        self.output_with(b"")
    }

    /// The same, with `input` (at most a pipe's worth) on standard input.
    pub fn output_with(self, input: &[u8]) -> Output {
        let (stdin, feed) = pipe();
        let (stdout_end, stdout) = pipe();
        let (stderr_end, stderr) = pipe();
        assert!(input.len() <= 65536, "more input than a pipe holds");
        io::Write::write_all(&mut File::from(feed), input).unwrap();
        let mut running = self.start([stdin.as_raw_fd(), stdout.as_raw_fd(), stderr.as_raw_fd()], None);
        drop((stdin, stdout, stderr));
        let mut texts = [Vec::new(), Vec::new()];
        let mut ends = [File::from(stdout_end), File::from(stderr_end)];
        let deadline = Instant::now() + super::LIMIT;
        loop {
            let ended = running.ended();
            for (end, text) in ends.iter_mut().zip(&mut texts) {
                drain(end, text);
            }
            if let Some(status) = ended {
                let [stdout, stderr] = texts;
                return Output { status, stdout, stderr };
            }
            if Instant::now() > deadline {
                panic!("{:?} did not end within {:?}\n{}", self.argv, super::LIMIT, self.host.snapshot());
            }
            poll(&[running.as_raw_fd(), ends[0].as_raw_fd(), ends[1].as_raw_fd()], Duration::from_millis(50));
        }
    }

    /// With these descriptors as 0, 1 and 2.
    pub fn start(&self, stdio: [RawFd; 3], terminal: Option<RawFd>) -> Running {
        if self.directory_deleted {
            let path = self.host.path(self.directory.to_str().unwrap());
            std::fs::create_dir(path).unwrap();
        }
        let (report_end, report) = pipe();
        let child = Child {
            argv: pointers(&self.argv),
            env: pointers(&self.env),
            spawn: self,
            stdio,
            terminal,
            report: report.as_raw_fd(),
        };
        // SAFETY: the child only makes system calls on memory prepared here, and never returns.
        let first = unsafe { libc::fork() };
        match first {
            0 => child.enter(),
            -1 => panic!("fork: {}", io::Error::last_os_error()),
            _ => (),
        }
        drop(report);
        let mut status = 0;
        // SAFETY: waits for the child just made.
        unsafe { libc::waitpid(first, &mut status, 0) };
        let mut words = Vec::new();
        File::from(report_end).read_to_end(&mut words).unwrap();
        let words: Vec<i32> = words.chunks_exact(4).map(|w| i32::from_ne_bytes(w.try_into().unwrap())).collect();
        match words[..] {
            [pid] => Running::new(pid),
            [.., stage, errno] => {
                panic!("{:?}: stage {stage}: {}", self.argv, io::Error::from_raw_os_error(errno))
            }
            _ => panic!("{:?}: the first child said nothing\n{}", self.argv, self.host.snapshot()),
        }
    }
}

/// What the children look at between fork and exec.
struct Child<'a> {
    spawn: &'a Spawn<'a>,
    argv: Vec<*const c_char>,
    env: Vec<*const c_char>,
    stdio: [RawFd; 3],
    terminal: Option<RawFd>,
    report: RawFd,
}

// SAFETY (whole block): system calls on memory that the parent prepared; nothing allocates, locks or returns.
impl Child<'_> {
    fn enter(&self) -> ! {
        unsafe {
            self.check(1, libc::setns(self.spawn.host.init_fd(), ENTER) as c_long);
            let flags = (libc::CLONE_PARENT | libc::SIGCHLD) as c_long;
            let pid = libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0);
            self.check(2, pid);
            if pid == 0 {
                self.become_program();
            }
            self.say(pid as i32);
            libc::_exit(0)
        }
    }

    fn become_program(&self) -> ! {
        let spawn = self.spawn;
        unsafe {
            self.signals(libc::SIG_DFL, false);
            self.check(3, libc::setsid() as c_long);
            self.descriptors();
            self.check(5, libc::chdir(spawn.directory.as_ptr()) as c_long);
            if spawn.directory_deleted {
                self.check(6, libc::rmdir(spawn.directory.as_ptr()) as c_long);
            }
            libc::umask(spawn.umask);
            if let Some(filter) = &spawn.missing_call {
                let filter = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut() };
                self.check(
                    13,
                    libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const filter) as c_long,
                );
            }
            self.check(7, libc::syscall(libc::SYS_setgroups, spawn.groups.len(), spawn.groups.as_ptr()));
            self.check(8, libc::syscall(libc::SYS_setresgid, spawn.gid, spawn.gid, spawn.gid));
            self.check(9, libc::syscall(libc::SYS_setresuid, spawn.uid, spawn.uid, spawn.uid));
            if spawn.no_new_privs {
                self.check(10, libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) as c_long);
            }
            for (resource, limit) in &spawn.limits {
                self.check(11, libc::setrlimit(*resource, limit) as c_long);
            }
            let handler = if spawn.signals_ignored { libc::SIG_IGN } else { libc::SIG_DFL };
            self.signals(handler, spawn.signals_blocked);
            libc::execve(spawn.program.as_ptr(), self.argv.as_ptr(), self.env.as_ptr());
            self.check(12, -1);
            libc::_exit(127)
        }
    }

    fn descriptors(&self) {
        unsafe {
            if let Some(terminal) = self.terminal {
                self.check(4, libc::ioctl(terminal, libc::TIOCSCTTY, 0) as c_long);
            }
            for (number, &descriptor) in (0..).zip(&self.stdio) {
                self.check(4, libc::dup2(descriptor, number) as c_long);
            }
            libc::close_range(3, !0, libc::CLOSE_RANGE_CLOEXEC as c_int);
            for _ in 0..self.spawn.extra_descriptors {
                self.check(4, libc::open(c"/dev/null".as_ptr(), libc::O_RDWR) as c_long);
            }
            for &descriptor in &self.spawn.closed {
                libc::close(descriptor);
            }
        }
    }

    fn signals(&self, handler: usize, blocked: bool) {
        unsafe {
            for signal in 1..65 {
                libc::signal(signal, handler);
            }
            let mut mask: libc::sigset_t = std::mem::zeroed();
            if blocked {
                libc::sigfillset(&mut mask);
            }
            libc::sigprocmask(libc::SIG_SETMASK, &mask, ptr::null_mut());
        }
    }

    fn check(&self, stage: i32, result: c_long) {
        if result < 0 {
            unsafe {
                let errno = *libc::__errno_location();
                self.say(stage);
                self.say(errno);
                libc::_exit(127)
            }
        }
    }

    fn say(&self, word: i32) {
        unsafe { libc::write(self.report, (&raw const word).cast(), 4) };
    }
}

fn drain(end: &mut File, text: &mut Vec<u8>) {
    let mut buffer = [0; 4096];
    while poll(&[end.as_raw_fd()], Duration::ZERO) {
        match end.read(&mut buffer) {
            Ok(0) | Err(_) => return,
            Ok(length) => text.extend(&buffer[..length]),
        }
    }
}

fn pipe() -> (OwnedFd, OwnedFd) {
    let (read, write) = io::pipe().unwrap();
    (read.into(), write.into())
}

fn c(text: impl AsRef<[u8]>) -> CString {
    CString::new(text.as_ref()).unwrap()
}

fn pointers(list: &[CString]) -> Vec<*const c_char> {
    list.iter().map(|text| text.as_ptr()).chain([ptr::null()]).collect()
}
