//! A guest's visit: bob at his shell with things that are his, in alice's session and out of it again.

use crate::host::{Attempt, Host, Person};
use std::fs;
use std::os::unix::fs::MetadataExt;

/// Stands in bob's files and environment, and nowhere else.
pub const CANARY: &str = "canary-of-bob-7351";

/// What the gate writes before and after the session's bytes: they are its own, and not on the list.
const BEGIN: &[u8] = b"\x1b[22;0t\x1b[?1049h";
const END: &[u8] = b"\x1b\\\x1b[?2026l\x1b[0m\x1b(B";

/// alice in her session `work`.
pub fn at_work(host: &Host) -> Person<'_> {
    let mut alice = host.person("alice");
    alice.attempt("tmux-gate attach work");
    alice.expect_inside();
    alice
}

/// alice invites somebody into `work`, with these options besides; the grant's id.
pub fn invite(host: &Host, guest: &str, options: &str) -> String {
    let line = format!("tmux-gate invite {guest} work --reason 'to see db1' --for 30m {options}");
    let said = host.person("alice").command(&line);
    assert_eq!(said.status, 0, "{said:?}");
    said.text.split_once(": invited").expect("an invitation").0.rsplit('\n').next().unwrap().to_owned()
}

/// bob, who may come, and perhaps type.
pub struct Visit<'h> {
    pub person: Person<'h>,
    host: &'h Host,
    pub id: String,
    shell: i32,
    attempt: Option<Attempt>,
}

impl<'h> Visit<'h> {
    /// alice has invited him, for looking.
    pub fn prepare(host: &'h Host) -> Self {
        Self::invited(host, "")
    }

    /// alice has invited him with these options. He has a key in his session's keyring, as a ticket may be, and variables.
    pub fn invited(host: &'h Host, options: &str) -> Self {
        let mut visit = Self::plain(host, options);
        let shell_again = r"PS1='bob\\$ ' exec bash --norc --noprofile --noediting -i";
        visit.person.command(&format!("exec key session bash \"key add {CANARY}; {shell_again}\""));
        assert_eq!(visit.person.command("key read").text.trim(), CANARY);
        let names = ["CANARY=", "SSH_AUTH_SOCK=/tmp/", "LC_CANARY=", "DISPLAY=:0."];
        let canaries: String = names.map(|name| format!(" {name}{CANARY}")).concat();
        assert_eq!(visit.person.command(&format!("export{canaries}")).status, 0);
        visit
    }

    /// alice has invited bob with these options, and he has nothing to lose.
    pub fn plain(host: &'h Host, options: &str) -> Self {
        let id = invite(host, "bob", options);
        let person = host.person("bob");
        let shell = person.running.inner_pid();
        Self { person, host, id, shell, attempt: None }
    }

    /// Types `tmux-gate join`, and says no more of it.
    pub fn set_out(&mut self) {
        self.attempt = Some(self.person.attempt(&format!("tmux-gate join {}", self.id)));
    }

    /// Is in, and sees the owner's prompt.
    pub fn join(&mut self) {
        self.set_out();
        self.person.expect_inside();
    }

    /// Nothing is shown yet, but he is in.
    pub fn expect_begun(&mut self) {
        self.person.expect("\x1b[22;0t\x1b[?1049h");
    }

    /// What ends a visit has been written, since the last one began.
    pub fn is_sent_home(&self) -> bool {
        let bytes = self.person.bytes();
        let begun = bytes.windows(BEGIN.len()).rposition(|window| window == BEGIN).expect("he is in");
        find(&bytes[begun..], END).is_some()
    }

    /// None of these files, by device and inode, is his terminal.
    pub fn expect_no_way_to_his_terminal(&self, files: &[(u64, u64)]) {
        assert!(files.len() > 2, "the clients gave none away");
        let terminal = fs::metadata(self.host.path(&self.person.terminal.name)).unwrap();
        assert!(!files.contains(&(terminal.dev(), terminal.ino())));
    }

    /// Leaves by these keys.
    pub fn leave(&mut self, keys: &str) {
        self.person.send(keys);
        self.expect_back(0);
    }

    /// The owner ended it: he is told so, and at his shell again.
    pub fn expect_cut_off(&mut self) {
        self.person.expect("you were detached");
        self.expect_back(0);
    }

    /// Back at the shell, with this status and the terminal as it was.
    pub fn expect_back(&mut self, status: i32) {
        let attempt = self.attempt.take().expect("he set out");
        assert_eq!(self.person.status(), status, "{}", self.person.transcript());
        self.person.expect_as_before(&attempt);
        self.person.expect_main_screen();
    }

    /// No process but his shell and the gate's own has his uid, his variables or his terminal.
    pub fn expect_nothing_of_his_elsewhere(&self) {
        let host = self.host;
        let bob = host.account("bob").uid;
        let terminal = fs::metadata(host.path(&self.person.terminal.name)).unwrap();
        for process in host.processes() {
            if process.pid == self.shell {
                continue;
            }
            assert!(!process.uids.contains(&bob), "runs as the guest: {process}\n{}", host.snapshot());
            // What is the gate's is root's, or the relay's, and nobody of theirs looks into it.
            if process.is_gate() {
                continue;
            }
            let folder = host.path(&format!("/proc/{}", process.pid));
            let environment = fs::read(format!("{folder}/environ")).unwrap_or_default();
            assert!(!String::from_utf8_lossy(&environment).contains(CANARY), "has the guest's variables: {process}");
            let Ok(descriptors) = fs::read_dir(format!("{folder}/fd")) else { continue };
            for descriptor in descriptors.filter_map(|entry| fs::metadata(entry.ok()?.path()).ok()) {
                let same = (descriptor.dev(), descriptor.ino()) == (terminal.dev(), terminal.ino());
                assert!(!same, "holds the guest's terminal: {process}");
            }
        }
    }

    /// Of every visit so far: what came between the gate's own first and last bytes is on the list.
    pub fn expect_only_the_allow_list(&self) {
        for shown in self.sessions() {
            let breach = super::grammar::breach(&shown);
            if let Some(at) = breach.filter(|at| !is_a_beginning(&shown[*at..])) {
                let from = at.saturating_sub(40);
                let text = shown[from..(at + 60).min(shown.len())].escape_ascii();
                panic!("at {at} of {}: {text}", shown.len());
            }
        }
    }

    /// What each visit's session showed.
    pub fn sessions(&self) -> Vec<Vec<u8>> {
        let bytes = self.person.bytes();
        let mut sessions = Vec::new();
        let mut rest = bytes.as_slice();
        while let Some(begin) = find(rest, BEGIN) {
            rest = &rest[begin + BEGIN.len()..];
            let end = find(rest, END).unwrap_or(rest.len());
            sessions.push(rest[..end].to_vec());
            rest = &rest[end..];
        }
        assert!(!sessions.is_empty(), "no session began in {}", self.person.transcript());
        sessions
    }
}

pub fn find(bytes: &[u8], text: &[u8]) -> Option<usize> {
    bytes.windows(text.len()).position(|window| window == text)
}

/// The cut may come between any two bytes: what is left of a sequence or letter then, of which nothing comes after.
fn is_a_beginning(rest: &[u8]) -> bool {
    match rest {
        [0x1b] | [0x1b, b'(' | b')' | b']'] => true,
        [0x1b, b'[', numbers @ ..] => numbers.iter().all(|byte| (0x20..0x40).contains(byte)),
        [0x1b, b']', b'0'..=b'2', title @ ..] => {
            title.is_empty() || title[0] == b';' && !title[..title.len() - 1].contains(&0x1b)
        }
        letter => str::from_utf8(letter).is_err_and(|error| error.valid_up_to() == 0 && error.error_len().is_none()),
    }
}
