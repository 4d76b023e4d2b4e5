//! One-time passwords by pam_oath and by pam_google_authenticator, with the worked files as tmux-gate-pam(7) says: both
//! questions for everybody, one code for one session. What is peculiar to either is in a file of its own.

use super::worked::expect_unix_sessions;
use crate::host::{Attempt, Host, Person};

pub(super) const FOLDER: &str = "/var/lib/tmux-gate/otp";
/// In hexadecimal and in base 32.
pub(super) const KEY: &str = "3132333435363738393031323334353637383930";
pub(super) const KEY_32: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";
pub(super) const PASSWORD: &str = "alice's secret";

/// A worked file, and what its module asks and keeps.
#[derive(Clone, Copy)]
pub(super) struct Module {
    pub worked: &'static str,
    pub prompt: &'static str,
    /// alice's key.
    pub file: &'static str,
    pub key: &'static str,
}

pub(super) const OATH: Module = Module {
    worked: "otp",
    prompt: "One-time password (OATH) for `alice': ",
    file: "/var/lib/tmux-gate/otp/alice.oath",
    key: "HOTP/T30/6 alice - 3132333435363738393031323334353637383930\n",
};

pub(super) const GOOGLE: Module = Module {
    worked: "otp-google",
    prompt: "Verification code: ",
    file: "/var/lib/tmux-gate/otp/alice.google",
    key: "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ\n\" DISALLOW_REUSE\n\" TOTP_AUTH\n12345678\n87654321\n",
};

impl Module {
    /// A host on which somebody did what the manual page says, and where alice has a key.
    pub fn host(&self) -> Host {
        let host = Host::layered("otp");
        host.follow(self.worked);
        host.write(self.file, self.key, 0o600);
        host
    }

    /// Answers both questions, as alice.
    pub fn answer(&self, person: &mut Person<'_>, password: &str, code: &str) {
        self.answer_as("alice", person, password, code);
    }

    pub fn answer_as(&self, user: &str, person: &mut Person<'_>, password: &str, code: &str) {
        person.expect("Password: ");
        person.send(format!("{password}\r"));
        person.expect(&self.prompt.replace("alice", user));
        person.send(format!("{code}\r"));
    }

    pub fn enter(&self, alice: &mut Person<'_>, code: &str) -> Attempt {
        let attempt = alice.attempt("tmux-gate");
        self.answer(alice, PASSWORD, code);
        alice.expect_inside();
        attempt
    }

    /// One round of answers, and a refusal.
    pub fn refused(&self, host: &Host, alice: &mut Person<'_>, password: &str, code: &str) -> String {
        host.configure("[authentication]\ntries = 1\n");
        let attempt = alice.attempt("tmux-gate");
        self.answer(alice, password, code);
        alice.expect_refused(&attempt, 77, "authentication failed")
    }
}

/// The code of the time step at so many seconds from now: with 30 it is good already, for the window is one step.
pub(super) fn code(host: &Host, seconds: i32) -> String {
    host.must(&["oathtool", "--totp", "--now", &format!("{seconds:+} seconds"), KEY]).trim().to_owned()
}

pub(super) fn wrong(code: &str) -> String {
    format!("{:06}", (code.parse::<u32>().unwrap() + 1) % 1_000_000)
}

/// alice was refused so often, and nobody was let in.
pub(super) fn expect_nobody_in(host: &Host, refusals: usize) {
    host.expect_refusals(refusals);
    assert!(!host.events().join("\n").contains("event=authenticated"), "{}", host.snapshot());
    expect_unix_sessions(host, "alice", 0);
    host.expect_all_closed();
}

#[test]
fn given_password_and_code_a_person_is_in_and_the_code_is_used_up() {
    for (module, mode) in [(OATH, "600"), (GOOGLE, "400")] {
        let host = module.host();
        let mut alice = host.person("alice");
        let (now, next) = (code(&host, 0), code(&host, 30));
        let attempt = module.enter(&mut alice, &now);
        host.syslog_wait(&["event=attached", "user=alice"]);
        alice.leave(&attempt);
        let attempt = alice.attempt("tmux-gate");
        module.answer(&mut alice, PASSWORD, &now);
        alice.expect("Sorry, try again.");
        module.answer(&mut alice, PASSWORD, &next);
        alice.expect_inside();
        alice.leave(&attempt);
        module.refused(&host, &mut alice, PASSWORD, &next);
        host.expect_refusals(1);
        host.syslog_wait(&["event=refused", "user=alice", "pam=AUTH_ERR"]);
        expect_unix_sessions(&host, "alice", 2);
        host.expect_all_closed();
        let name = module.file.rsplit('/').next().unwrap();
        let files = host.must(&["find", FOLDER, "-printf", "%f %U %m\n"]);
        assert_eq!(files, format!("otp 0 700\n{name} 0 {mode}\n")); // written anew, and nothing beside it
        assert_ne!(host.read(module.file), module.key);
        for secret in [&now, &next, "secret", KEY, KEY_32] {
            assert!(!host.syslog().join("\n").contains(secret), "{secret} in the log");
            alice.expect_not(secret);
        }
    }
}

#[test]
fn whatever_was_wrong_both_questions_come_and_the_answer_is_the_same() {
    for module in [OATH, GOOGLE] {
        let host = module.host();
        let mut alice = host.person("alice");
        let now = code(&host, 0);
        let mut said = Vec::new();
        for (password, code) in [("wrong", &*now), (PASSWORD, &wrong(&now)), ("wrong", &wrong(&now))] {
            module.refused(&host, &mut alice, password, code);
            said.push(alice.shown());
        }
        assert!(said[0].contains(module.prompt) && said.iter().all(|one| *one == said[0]), "{said:?}");
        expect_nobody_in(&host, 3);
        let events = host.events();
        let of_event = |line: &String| line.split_once("event=").unwrap().1.to_owned();
        assert!(events.iter().all(|line| of_event(line) == of_event(&events[0])), "{events:?}");
    }
}

#[test]
fn the_worked_files_have_no_line_that_the_gate_finds_fault_with() {
    for worked in ["otp", "otp-google", "second-factor"] {
        let host = Host::layered("otp");
        host.follow(worked);
        assert_eq!(host.must(&["tmux-gate", "check"]), "everything is set up right\n", "{worked}");
    }
}

#[test]
fn given_an_expired_password_it_is_changed_after_the_code() {
    let host = OATH.host();
    host.must(&["chage", "-d", "0", "alice"]);
    let mut alice = host.person("alice");
    let attempt = alice.attempt("tmux-gate");
    OATH.answer(&mut alice, PASSWORD, &code(&host, 0));
    for (question, answer) in [
        ("Current password: ", PASSWORD),
        ("New password: ", "quite another 7 words"),
        ("Retype new password: ", "quite another 7 words"),
    ] {
        alice.expect(question);
        alice.send(format!("{answer}\r"));
    }
    alice.expect_inside();
    alice.leave(&attempt);
    OATH.refused(&host, &mut alice, PASSWORD, &code(&host, 30));
    expect_unix_sessions(&host, "alice", 1);
}

#[test]
fn given_three_wrong_rounds_the_gate_refuses() {
    for module in [OATH, GOOGLE] {
        let host = module.host();
        let mut alice = host.person("alice");
        let bad = wrong(&code(&host, 0));
        let attempt = alice.attempt("tmux-gate");
        for round in 0..3 {
            module.answer(&mut alice, PASSWORD, &bad);
            if round < 2 {
                alice.expect("Sorry, try again.");
            }
        }
        alice.expect_refused(&attempt, 77, "authentication failed");
        host.expect_refusal(&["user=alice", "pam=AUTH_ERR"]);
        expect_nobody_in(&host, 1);
    }
}

#[test]
fn given_a_module_that_suffices_in_common_auth_the_code_is_asked_for_all_the_same() {
    for module in [OATH, GOOGLE] {
        let host = module.host();
        host.write("/etc/pam.d/common-auth", "auth sufficient pam_unix.so\nauth required pam_deny.so\n", 0o644);
        let mut alice = host.person("alice");
        let now = code(&host, 0);
        module.refused(&host, &mut alice, PASSWORD, &wrong(&now));
        module.refused(&host, &mut alice, "wrong", &now);
        expect_nobody_in(&host, 2);
        let attempt = module.enter(&mut alice, &code(&host, 30));
        alice.leave(&attempt);
        expect_unix_sessions(&host, "alice", 1);
    }
}

#[test]
fn given_one_code_at_two_prompts_one_session_is_opened() {
    for module in [OATH, GOOGLE] {
        let host = module.host();
        host.configure("[authentication]\ntries = 1\n");
        let (mut first, mut second) = (host.person("alice"), host.person("alice"));
        let now = code(&host, 0);
        let attempts = [&mut first, &mut second].map(|person| {
            let attempt = person.attempt("tmux-gate");
            person.expect("Password: ");
            person.send(format!("{PASSWORD}\r"));
            person.expect(module.prompt);
            attempt
        });
        first.send(format!("{now}\r"));
        first.expect_inside();
        second.send(format!("{now}\r"));
        second.expect_refused(&attempts[1], 77, "authentication failed");
        first.leave(&attempts[0]);
        host.expect_refusals(1);
        expect_unix_sessions(&host, "alice", 1);
        host.expect_all_closed();
    }
}

#[test]
fn given_a_code_out_of_the_window_a_person_is_refused() {
    for module in [OATH, GOOGLE] {
        let host = module.host();
        let mut alice = host.person("alice");
        for seconds in [-90, 90, -3600] {
            module.refused(&host, &mut alice, PASSWORD, &code(&host, seconds));
        }
        expect_nobody_in(&host, 3);
        assert!(!host.read(module.file).contains("SKEW"), "old codes move no clock: {}", host.read(module.file));
        let attempt = module.enter(&mut alice, &code(&host, 30));
        alice.leave(&attempt);
        expect_unix_sessions(&host, "alice", 1);
    }
}

/// What the manual page says about keys, too: alice's phone would know what these files hold.
#[test]
fn given_a_key_as_the_manual_page_makes_it_its_codes_let_in() {
    for (module, heading) in [(OATH, "A key for otp"), (GOOGLE, "A key for otp-google")] {
        let host = module.host();
        host.remove(module.file);
        host.follow(heading);
        let file = host.read(module.file);
        let key = match module.worked {
            "otp" => file.split_whitespace().nth(3).unwrap().to_owned(),
            _ => file.lines().next().unwrap().to_owned(),
        };
        let form = if module.worked == "otp" { "-v" } else { "-bv" };
        let shown = host.must(&["oathtool", "--totp", form, &key]);
        let code = shown.trim().rsplit('\n').next().unwrap();
        let mode = if module.worked == "otp" { "0 600\n" } else { "0 400\n" };
        assert_eq!(host.must(&["stat", "-c", "%u %a", module.file]), mode);
        let mut alice = host.person("alice");
        let attempt = module.enter(&mut alice, code);
        alice.leave(&attempt);
        module.refused(&host, &mut alice, PASSWORD, code);
        expect_unix_sessions(&host, "alice", 1);
    }
}
