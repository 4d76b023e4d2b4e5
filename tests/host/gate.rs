//! The gate in words of the tests: passing it, leaving the session, being refused.

use super::{Host, Person, RECORD, SERVICE};
use nix::sys::termios::Termios;

/// A PAM service of pam_unix alone, which does not make wrong passwords wait.
pub const UNIX: &str = "\
auth     required pam_unix.so nodelay
account  required pam_unix.so
password required pam_unix.so
session  required pam_unix.so
";

/// The installed program.
pub const GATE: &str = "/usr/bin/tmux-gate";

/// The same without a password.
pub const NO_QUESTION: &str = "\
auth     required pam_permit.so
account  required pam_permit.so
password required pam_permit.so
session  required pam_permit.so
";

/// A service that asks for no password, with pam_fixture.so doing this in each of its chains.
pub fn fixture(arguments: &str) -> String {
    let kinds = ["auth", "account", "password", "session"].iter();
    let lines: String = kinds.map(|kind| format!("{kind} required pam_fixture.so {arguments}\n")).collect();
    format!("{NO_QUESTION}{lines}")
}

impl Host {
    /// A host whose gate asks no question.
    pub fn open() -> Host {
        let host = Host::new();
        host.pam(NO_QUESTION);
        host
    }

    /// A host whose service is `fixture(arguments)`, with the sessions recorded after it.
    pub fn with_fixture(arguments: &str) -> Host {
        let host = Host::new();
        host.pam(&fixture(arguments));
        host
    }

    /// Makes this the gate's PAM service, and records sessions after all its lines.
    pub fn pam(&self, service: &str) {
        self.pam_exactly(&format!("{}\n{RECORD}", service.trim_end()));
    }

    /// The same, and records sessions before its lines.
    pub fn pam_recorded_first(&self, service: &str) {
        self.pam_exactly(&format!("{RECORD}{service}"));
    }

    pub fn pam_exactly(&self, service: &str) {
        self.write(SERVICE, service, 0o644);
    }

    /// What `pam_exec` recorded: a line `open alice` or `close alice` for each call.
    pub fn sessions(&self) -> String {
        std::fs::read_to_string(self.path("/var/log/gate-sessions")).unwrap_or_default()
    }

    pub fn expect_sessions(&self, lines: &str) {
        self.wait_until(&format!("PAM sessions {lines:?}"), || self.sessions() == lines);
    }

    /// Nobody is in, and nobody was let in who was not let out: no process, no half of a pair.
    pub fn expect_all_closed(&self) {
        self.expect_nothing_left();
        let sessions = self.sessions();
        let count = |word: &str| sessions.lines().filter(|line| line.starts_with(word)).count();
        assert_eq!(count("open "), count("close "), "{}", self.snapshot());
    }

    /// Nobody came in, and the record says why, once.
    pub fn expect_refusal(&self, parts: &[&str]) {
        let line = self.syslog_wait(&[&["event=refused"], parts].concat());
        let events = self.events();
        let count = |event: &str| events.iter().filter(|line| line.contains(event)).count();
        let server = self.processes().into_iter().any(|process| process.comm.starts_with("tmux:"));
        let nobody_in = count("event=refused") == 1 && count("event=attached") == 0 && !server;
        assert!(nobody_in, "after {line}\n{}", self.snapshot());
        self.expect_all_closed();
    }
}

/// An attempt to pass, with what the terminal was like before.
pub struct Attempt {
    pub before: Termios,
}

impl Person<'_> {
    /// Types `line` and looks at the terminal's modes first.
    pub fn attempt(&mut self, line: &str) -> Attempt {
        let before = self.termios();
        self.send(format!("{line}\r"));
        self.expect("\n");
        Attempt { before }
    }

    /// Waits for a refusal: back at the prompt with this status, a line that holds this text, and the terminal as it
    /// was; everything the gate said is returned.
    pub fn expect_refused(&mut self, attempt: &Attempt, status: i32, text: &str) -> String {
        let said = self.finished();
        let lines: Vec<_> = said.text.lines().filter(|line| line.contains("tmux-gate: ")).collect();
        let as_said = said.status == status && lines.len() == 1 && lines[0].contains(text);
        assert!(as_said, "expected {status}, {text:?}: {said:?}\n{}", self.host.snapshot());
        assert_eq!(self.termios(), attempt.before, "the terminal's modes");
        said.text
    }

    /// The terminal's modes come to be what they were; after a death the tmux server helps, in its own time.
    pub fn expect_as_before(&self, attempt: &Attempt) {
        self.host.wait_until("the terminal's old modes", || self.termios() == attempt.before);
    }

    /// Passes the gate with the right password, and is at the prompt of a pane.
    pub fn enter(&mut self, user: &str) -> Attempt {
        let attempt = self.attempt("tmux-gate");
        self.expect("Password: ");
        self.send(format!("{user}'s secret\r"));
        self.expect_inside();
        attempt
    }

    /// Waits until the person's program has ended or a pane's prompt is on the screen: is she in?
    pub fn is_in(&mut self) -> bool {
        let host = self.host;
        host.wait_until("a session or an end", || self.screen().contains("in$") || self.running.ended().is_some());
        self.running.ended().is_none()
    }

    /// Waits for the prompt of a pane.
    pub fn expect_inside(&self) {
        self.expect_screen("in$");
    }

    /// Detaches, and is back at the shell with status 0 and the terminal as it was.
    pub fn leave(&mut self, attempt: &Attempt) {
        self.send("\x02d");
        self.expect("[detached");
        assert_eq!(self.status(), 0);
        assert_eq!(self.termios(), attempt.before, "the terminal's modes");
    }
}
