//! A private host for each test: its own processes, users, PAM files, terminals, syslog and ssh server, with the product
//! installed by `make install`. `host.sh` makes it and says how; nothing of the real machine changes.
//!
//! ```ignore
//! let host = Host::new();
//! host.pam("auth required pam_deny.so\naccount required pam_permit.so\n...");
//! let mut alice = host.person("alice");              // a shell on a terminal of hers, at its prompt
//! alice.send("tmux-gate\r");
//! alice.expect("Password: ");                        // in what came since the last thing expected
//! alice.send("alice's secret\r");
//! alice.expect_screen("in$");                        // on the screen, as tmux draws it
//! let said = alice.inside("tmux ls");                // a command in the pane: said.text, said.status
//! alice.send("\x02d");                               // the prefix key, d
//! assert_eq!(alice.status(), 0);                     // at the prompt again: the status of what was typed last
//! host.syslog_wait(&["event=detached", "user=alice"]);
//! host.expect_sessions("open alice\nclose alice\n"); // what pam_exec saw
//! host.expect_nothing_left();                        // no process but shells, ssh and tmux servers
//! ```
//!
//! Users alice, bob, carol and dave (uids 1001 to 1004) have passwords like `alice's secret`; root has one too.
//! `host.run`, `host.run_as` and `host.spawn` start other programs; `host.spawn(...)` has the options of hostile callers
//! (spawn.rs); `host.sshd` starts the real server. The PAM module pam_fixture.so (pam_fixture.c) misbehaves on request.
//! Every wait has a limit, and what overruns it panics with processes, syslog and screen. A missing tool or privilege is
//! a panic that names it. The host ends with the `Host`, and with the test process whatever happens.

mod booted;
mod gate;
mod layers;
mod manual;
mod person;
mod process;
mod running;
mod screen;
mod sharing;
mod spawn;
mod ssh;
mod stage;
mod stepper;
mod syslog;

pub use gate::{Attempt, GATE, NO_QUESTION, UNIX, fixture};
pub use person::{Person, Said};
pub use process::Process;
pub use sharing::HOSTILE;
pub use spawn::Spawn;
pub use stage::WAITS;
pub use stepper::Stepper;

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Read};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

/// How long anything may take.
pub const LIMIT: Duration = Duration::from_secs(20);

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/host/host.sh");
const SCRIPT_IN_BASE: &str = "/mnt/checkout/tests/host/host.sh";
const SERVICE: &str = "/etc/pam.d/tmux-gate";
const RECORD: &str = "session required pam_exec.so quiet /usr/local/lib/gate-tests/record-session\n";

/// A process of host.sh that holds namespaces until its standard input ends, that is, at the latest when we end.
struct Holder {
    child: Child,
    /// It has something to do when the host ends, and must not be killed before.
    tidies_up: bool,
}

impl Holder {
    fn start(command: &mut Command) -> Result<Holder, String> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| format!("{command:?}: {error}"))?;
        let mut complaints = child.stderr.take().expect("piped");
        let reader = std::thread::spawn(move || {
            let mut text = String::new();
            let _ = complaints.read_to_string(&mut text);
            text
        });
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).unwrap();
        if line != "ready\n" {
            drop(child.stdin.take());
            let status = child.wait().unwrap();
            return Err(format!("no private host ({status}): {}", reader.join().unwrap_or_default()));
        }
        Ok(Holder { child, tidies_up: false })
    }

    /// The first process in the new process namespace.
    fn init(&self) -> i32 {
        let ours = fs::read_link("/proc/self/ns/pid").unwrap();
        let mut pid = self.child.id();
        while fs::read_link(format!("/proc/{pid}/ns/pid")).unwrap() == ours {
            let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
            pid = children.trim().parse().unwrap_or_else(|_| panic!("{pid} has not one child but: {children:?}"));
        }
        pid as i32
    }
}

/// What all hosts share, built once: the mount namespace that holds the overlays with the installed product.
fn base() -> &'static Holder {
    static BASE: OnceLock<Result<Holder, String>> = OnceLock::new();
    let base = BASE.get_or_init(|| {
        let mut command = Command::new("unshare");
        Holder::start(command.args(["--mount", "--propagation", "private", "bash", "-eu", SCRIPT, "base"]))
    });
    base.as_ref().unwrap_or_else(|error| panic!("{error}"))
}

/// A program in the mount namespace of the base.
fn in_base(program: &str) -> Command {
    let mut command = Command::new("nsenter");
    command.arg(format!("--mount=/proc/{}/ns/mnt", base().child.id())).arg(program);
    command
}

/// A line of the users database.
pub(crate) struct Account {
    pub uid: u32,
    pub gid: u32,
    pub groups: Vec<u32>,
    pub home: String,
}

impl Account {
    fn without_entry(uid: u32) -> Account {
        Account { uid, gid: uid, groups: vec![uid], home: "/".to_owned() }
    }
}

/// A private host. It ends when this is dropped.
pub struct Host {
    holder: Holder,
    init: i32,
    init_fd: OwnedFd,
    syslog: Mutex<syslog::Syslog>,
    expected: Mutex<Vec<i32>>,
    number: AtomicU32,
}

impl Host {
    /// A host with the product as installed, and a line in its PAM service that records sessions.
    pub fn new() -> Host {
        let host = Host::as_installed();
        let service = host.read(SERVICE);
        host.pam(&service);
        host
    }

    /// A host on which nothing but `make install` has happened.
    pub fn as_installed() -> Host {
        Host::start(None)
    }

    /// A host in which the packages of layers/NAME.sh are installed and set up, and the product as after `make install`.
    pub fn layered(layer: &'static str) -> Host {
        layers::built(layer);
        Host::start(Some(layer))
    }

    fn start(layer: Option<&str>) -> Host {
        let mut command = in_base("unshare");
        command.args(["--mount", "--propagation", "private", "--pid", "--fork", "--kill-child"]);
        command.args(["--uts", "--ipc", "--net", "bash", "-eu", SCRIPT_IN_BASE, "host"]).args(layer);
        Host::held_by(Holder::start(&mut command).unwrap_or_else(|error| panic!("{error}")))
    }

    fn held_by(holder: Holder) -> Host {
        let init = holder.init();
        let host = Host {
            init_fd: running::pidfd_open(init),
            holder,
            init,
            syslog: Mutex::new(syslog::Syslog::new()),
            expected: Mutex::default(),
            number: AtomicU32::new(0),
        };
        host.syslog_start();
        host
    }

    /// The path of a host's file as this process sees it. Symbolic links with absolute targets lead astray.
    pub fn path(&self, path: &str) -> String {
        format!("/proc/{}/root{path}", self.init)
    }

    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    pub fn write(&self, path: &str, text: impl AsRef<[u8]>, mode: u32) {
        let real = self.path(path);
        fs::write(&real, text).unwrap_or_else(|error| panic!("{path}: {error}"));
        fs::set_permissions(&real, Permissions::from_mode(mode)).unwrap();
    }

    pub fn remove(&self, path: &str) {
        fs::remove_file(self.path(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    }

    pub fn exists(&self, path: &str) -> bool {
        fs::symlink_metadata(self.path(path)).is_ok()
    }

    /// Makes this the gate's configuration.
    pub fn configure(&self, text: &str) {
        self.write("/etc/tmux-gate/config.toml", text, 0o644);
    }

    /// Runs a program as root, without a terminal.
    pub fn run(&self, argv: &[&str]) -> Output {
        self.run_as("root", argv)
    }

    /// Runs a program as that user, without a terminal.
    pub fn run_as(&self, user: &str, argv: &[&str]) -> Output {
        self.spawn(user, argv).output()
    }

    /// Runs a program as root that has to succeed; its standard output.
    pub fn must(&self, argv: &[&str]) -> String {
        let output = self.run(argv);
        let stderr = person::visible(&output.stderr);
        assert!(output.status.success(), "{argv:?}: {}: {stderr}", output.status);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// A program about to be started, with the options of `Spawn`.
    pub fn spawn(&self, user: &str, argv: &[&str]) -> Spawn<'_> {
        Spawn::new(self, user, argv)
    }

    /// A person at the prompt of a shell, on a terminal of this host.
    pub fn person(&self, user: &str) -> Person<'_> {
        let home = self.account(user).home;
        let prompt = format!("{user}$ ");
        let shell = self.spawn(user, &["bash", "--norc", "--noprofile", "--noediting", "-i"]);
        let shell = shell.env(format!("PS1={prompt}")).env("BASH_SILENCE_DEPRECATION_WARNING=1").directory(&home);
        shell.on_terminal().at_prompt(&prompt)
    }

    /// Waits until `done`; panics with a snapshot when it takes too long.
    pub fn wait_until(&self, what: &str, mut done: impl FnMut() -> bool) {
        let deadline = Instant::now() + LIMIT;
        while !done() {
            assert!(Instant::now() < deadline, "waited in vain for {what}\n{}", self.snapshot());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The state of the host, for a failed test's message.
    pub fn snapshot(&self) -> String {
        let processes: String = self.processes().iter().map(|process| format!("{process}\n")).collect();
        let (syslog, sessions) = (self.syslog().join("\n"), self.sessions());
        format!("--- processes\n{processes}--- syslog\n{syslog}\n--- PAM sessions\n{sessions}---")
    }

    pub(crate) fn account(&self, user: &str) -> Account {
        let database = self.read("/etc/passwd");
        let mut lines = database.lines().map(|line| line.split(':').collect::<Vec<_>>());
        let Some(line) = lines.find(|line| line[0] == user) else {
            return user.parse().map_or_else(|_| self.account_elsewhere(user), Account::without_entry);
        };
        let (uid, gid) = (line[2].parse().unwrap(), line[3].parse().unwrap());
        let mut groups = vec![gid];
        for line in self.read("/etc/group").lines().map(|line| line.split(':').collect::<Vec<_>>()) {
            if line.len() == 4 && line[3].split(',').any(|member| member == user) {
                groups.push(line[2].parse().unwrap());
            }
        }
        Account { uid, gid, groups, home: line[5].to_owned() }
    }

    /// An account that is in no file of the host.
    fn account_elsewhere(&self, user: &str) -> Account {
        let line = self.must(&["getent", "passwd", user]);
        let fields: Vec<_> = line.trim().split(':').collect();
        let groups = self.must(&["id", "-G", user]).split_whitespace().map(|gid| gid.parse().unwrap()).collect();
        let (uid, gid) = (fields[2].parse().unwrap(), fields[3].parse().unwrap());
        Account { uid, gid, groups, home: fields[5].to_owned() }
    }

    pub(crate) fn find_program(&self, name: &str) -> String {
        let folders = ["/usr/local/bin", "/usr/bin", "/usr/local/sbin", "/usr/sbin"];
        let mut places = folders.iter().map(|folder| format!("{folder}/{name}"));
        match name.contains('/') {
            true => name.to_owned(),
            false => places.find(|path| self.exists(path)).unwrap_or_else(|| panic!("{name}: not installed")),
        }
    }

    pub(crate) fn next_number(&self) -> u32 {
        self.number.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn init_fd(&self) -> RawFd {
        self.init_fd.as_raw_fd()
    }

    pub(crate) fn expect_process(&self, inner_pid: i32) {
        self.expected.lock().unwrap().push(inner_pid);
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // unshare is a parent that waits for the first process, whose end the kernel holds back until all others of the
        // host are gone; with them go its mounts.
        self.holder.end();
        let gone = running::poll(&[self.init_fd.as_raw_fd()], LIMIT);
        assert!(gone || std::thread::panicking(), "the host's processes did not end within {LIMIT:?}");
    }
}
