//! Where the gate stands: its processes by role, signals to them, and modules that wait until they are let go.

use super::process::Process;
use super::{Host, LIMIT, Person};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

/// For a line of a PAM service: a module that works, without a question, until `Host::release`.
pub const WAITS: &str = "required pam_exec.so quiet /bin/sh /usr/local/lib/wait";

impl Host {
    /// The process that guards the terminal.
    pub fn front(&self) -> Process {
        self.the_only("front", || self.gates().into_iter().filter(|p| p.comm == "tmux-gate:front").collect())
    }

    /// The process that talks to PAM.
    pub fn monitor(&self) -> Process {
        self.the_only("monitor", || self.gates().into_iter().filter(|p| p.comm == "tmux-gate:mon").collect())
    }

    /// The tmux client that the gate started.
    pub fn client(&self) -> Process {
        self.the_only("client", || self.clients())
    }

    fn the_only(&self, role: &str, find: impl Fn() -> Vec<Process>) -> Process {
        let mut found = Vec::new();
        self.wait_until(&format!("exactly one {role}"), || {
            found = find();
            found.len() == 1
        });
        found.remove(0)
    }

    pub fn tmux_servers(&self) -> Vec<i32> {
        self.processes().into_iter().filter(Process::is_tmux_server).map(|process| process.pid).collect()
    }

    /// Sends a signal (`KILL`) to these processes, one after the other.
    pub fn kill(&self, signal: &str, pids: &[i32]) {
        self.kill_as("root", signal, pids);
    }

    /// The same, as somebody who may do that.
    pub fn kill_as(&self, user: &str, signal: &str, pids: &[i32]) {
        let mut argv = vec!["kill".to_owned(), format!("-{signal}")];
        argv.extend(pids.iter().map(i32::to_string));
        let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
        let output = self.run_as(user, &argv);
        // With the first one the second may have ended.
        let ended = pids.len() > 1 && String::from_utf8_lossy(&output.stderr).contains("No such process");
        assert!(output.status.success() || ended, "{argv:?} as {user}: {output:?}\n{}", self.snapshot());
    }

    /// The state of that process, as in ps; `None` when it is gone.
    pub fn state(&self, pid: i32) -> Option<char> {
        self.processes().into_iter().find(|process| process.pid == pid).map(|process| process.state)
    }

    /// The gate's records once everything that was sent has arrived.
    pub fn recorded(&self) -> Vec<String> {
        let mark = format!("mark {}", self.next_number());
        self.must(&["logger", "-t", "test", &mark]);
        self.syslog_wait(&[&mark]);
        self.events()
    }

    /// How often these bytes stand in the memory of that process.
    pub fn memory_holds(&self, pid: i32, bytes: &[u8]) -> usize {
        let folder = self.path(&format!("/proc/{pid}"));
        let memory = File::open(format!("{folder}/mem")).expect("root reads the memory of others");
        let maps = fs::read_to_string(format!("{folder}/maps")).unwrap();
        let mut count = 0;
        for line in maps.lines().filter(|line| line.contains(" rw") && !line.contains("[vvar")) {
            let (start, rest) = line.split_once('-').unwrap();
            let (end, _) = rest.split_once(' ').unwrap();
            let number = |text: &str| u64::from_str_radix(text, 16).unwrap();
            let mut region = vec![0; usize::try_from(number(end) - number(start)).unwrap()];
            memory.read_exact_at(&mut region, number(start)).unwrap_or_else(|error| panic!("{line}: {error}"));
            count += region.windows(bytes.len()).filter(|window| *window == bytes).count();
        }
        count
    }

    /// From now on modules of `WAITS` wait; the script tells by a file that one does.
    pub fn hold(&self) {
        let script = "touch /tmp/waiting\nuntil [ -e /tmp/go ]; do sleep 0.02; done\n";
        self.write("/usr/local/lib/wait", script, 0o755);
        for path in ["/tmp/waiting", "/tmp/go"].into_iter().filter(|path| self.exists(path)) {
            self.remove(path);
        }
    }

    /// Waits until a module of `WAITS` is at work.
    pub fn expect_waiting(&self) {
        self.wait_until("a module at work", || self.exists("/tmp/waiting"));
    }

    /// Lets the modules of `WAITS` go on.
    pub fn release(&self) {
        self.write("/tmp/go", "", 0o644);
    }

    /// Waits until the fixture wrote this note (`CALL:note=TEXT`), whose lines end where the next test begins.
    pub fn expect_note(&self, start: &str) {
        let path = self.path("/var/log/gate-notes");
        let noted = || std::fs::read_to_string(&path).unwrap_or_default().lines().any(|line| line.starts_with(start));
        self.wait_until(&format!("the note {start:?}"), noted);
    }
}

impl Person<'_> {
    /// What the last gate that was typed here showed, up to the shell's next prompt.
    pub fn shown(&self) -> String {
        let bytes = String::from_utf8(self.bytes()).expect("the gate writes UTF-8");
        let after = bytes.rsplit_once("$ tmux-gate\r\n").expect("a gate was started").1;
        let end = after.find("alice$ ").unwrap_or(after.len());
        after[..end].to_owned()
    }

    /// No piece of five bytes of `secret` was ever on this terminal.
    pub fn expect_never_shown(&self, secret: &str) {
        let bytes = self.bytes();
        for piece in secret.as_bytes().windows(5) {
            let seen = bytes.windows(5).any(|window| window == piece);
            assert!(!seen, "{:?} in {}", String::from_utf8_lossy(piece), self.transcript());
        }
    }

    /// The terminal comes back to its main screen, with bracketed paste and mouse off, as far as was written to it.
    pub fn expect_main_screen(&self) {
        let on = |bytes: &[u8], mode: &str| {
            let last = |text: String| bytes.windows(text.len()).rposition(|window| window == text.as_bytes());
            let other = if mode == "1049" { "47" } else { mode };
            let off = last(format!("\x1b[?{mode}l")).max(last(format!("\x1b[?{other}l")));
            last(format!("\x1b[?{mode}h")).is_some_and(|on| off < Some(on))
        };
        let left_on = || ["1049", "2004", "1000", "1006"].into_iter().find(|mode| on(&self.bytes(), mode));
        let deadline = Instant::now() + LIMIT;
        while let Some(mode) = left_on() {
            let late = Instant::now() > deadline;
            assert!(!late, "mode {mode} is left on: {}\n{}", self.transcript(), self.host.snapshot());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
