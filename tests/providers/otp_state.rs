//! What the modules of one-time passwords keep: where it cannot be written nobody is in, nobody but root reads it, and every
//! guess is counted.

use super::otp::{FOLDER, GOOGLE, Module, OATH, PASSWORD, code, expect_nobody_in, wrong};
use super::worked::expect_unix_sessions;
use crate::host::{GATE, Host, Person};

const RESET: [&str; 6] = ["faillock", "--dir", "/var/lib/tmux-gate/faillock", "--user", "alice", "--reset"];

/// Nobody is in while `spoil` holds, and the key file stays whole; after `mend` the code is as good as before.
fn closed_while(module: Module, spoil: &str, mend: &str) {
    let host = module.host();
    let mut alice = host.person("alice");
    let now = code(&host, 0);
    let script = |script: &str| host.must(&["sh", "-exc", &format!("cd /; {}", script.replace("FOLDER", FOLDER))]);
    script(spoil);
    module.refused(&host, &mut alice, PASSWORD, &now);
    host.syslog_wait(&["event=refused", "user=alice", "pam=AUTH_ERR"]);
    expect_nobody_in(&host, 1);
    script(mend);
    assert_eq!(host.read(module.file), module.key, "after {spoil}");
    assert_eq!(host.must(&["ls", FOLDER]).lines().count(), 1, "after {spoil}");
    let attempt = module.enter(&mut alice, &now);
    alice.leave(&attempt);
    expect_unix_sessions(&host, "alice", 1);
}

#[test]
fn given_a_folder_that_cannot_be_written_nobody_is_in() {
    let full = "mkdir /tmp/keep; cp -p FOLDER/* /tmp/keep; mount -t tmpfs -o size=4k,mode=700 full FOLDER; cp -p /tmp/keep/* FOLDER";
    for module in [OATH, GOOGLE] {
        closed_while(module, "mount --bind FOLDER FOLDER; mount -o remount,bind,ro FOLDER", "umount FOLDER");
        closed_while(module, full, "umount FOLDER");
        closed_while(module, "mv FOLDER /var/lib/away", "mv /var/lib/away FOLDER");
    }
}

/// A limit of the caller's would keep a used code from being written down. A hard one can be raised only where root may do so;
/// elsewhere the gate does not even ask.
#[test]
fn given_that_the_caller_may_write_no_byte_a_code_is_used_up_or_the_gate_does_not_ask() {
    for module in [OATH, GOOGLE] {
        let host = module.host();
        host.configure("[authentication]\ntries = 1\n");
        let mut sessions = 0;
        for limit in ["--fsize=0:unlimited", "--fsize=262144:262144", "--fsize=0:0"] {
            host.write(module.file, module.key, 0o600);
            let now = code(&host, 0);
            let gate = || host.spawn("alice", &["prlimit", limit, GATE]).on_terminal();
            let mut alice = gate();
            if alice.expect_one_of(&["Password: ", "cannot be put in order"]) == 1 {
                assert_eq!((alice.exit_status(), limit), (1, "--fsize=0:0"));
                continue;
            }
            alice.send(format!("{PASSWORD}\r"));
            alice.expect(module.prompt);
            alice.send(format!("{now}\r"));
            alice.expect_inside();
            alice.send("\x02d");
            assert_eq!(alice.exit_status(), 0, "{limit}");
            sessions += 1;
            assert_ne!(host.read(module.file), module.key, "{limit}");
            let mut again = gate();
            module.answer(&mut again, PASSWORD, &now);
            assert_eq!(again.exit_status(), 77, "{limit}");
        }
        expect_unix_sessions(&host, "alice", sessions);
        assert!(sessions >= 2);
    }
}

#[test]
fn nobody_but_root_reads_a_key_or_writes_one() {
    for module in [OATH, GOOGLE] {
        let host = module.host();
        let mut alice = host.person("alice");
        let attempt = module.enter(&mut alice, &code(&host, 0)); // the file is written anew
        alice.leave(&attempt);
        let before = host.read(module.file);
        let tally = "/var/lib/tmux-gate/faillock/alice";
        for user in ["alice", "bob"] {
            for path in [module.file, tally, FOLDER, "/var/lib/tmux-gate/faillock"] {
                for how in ["cat {}", "ls {}/", "echo x >>{}", "ln {} /tmp/link", "mv {} /tmp/moved", "chmod 777 {}"] {
                    let output = host.run_as(user, &["sh", "-c", &how.replace("{}", path)]);
                    assert!(!output.status.success(), "{user}: {how} {path}: {output:?}");
                    assert_eq!(output.stdout, b"", "{user}: {how} {path}");
                }
            }
        }
        assert_eq!(host.read(module.file), before);
        expect_unix_sessions(&host, "alice", 1);
    }
}

/// A guess that ends before its count would be free, and its caller may kill the gate.
fn killed_at_the_prompt(host: &Host, alice: &mut Person<'_>) {
    let attempt = alice.attempt("tmux-gate");
    alice.expect("Password: ");
    host.kill_as("alice", "KILL", &[host.monitor().pid]);
    alice.expect_refused(&attempt, 77, "without a verdict");
}

#[test]
fn guesses_are_counted_also_those_that_are_killed_and_ten_close_the_gate_until_root_opens_it() {
    for module in [OATH, GOOGLE] {
        let host = module.host();
        let mut alice = host.person("alice");
        for _ in 0..9 {
            killed_at_the_prompt(&host, &mut alice);
        }
        let attempt = module.enter(&mut alice, &code(&host, 0)); // and the count begins anew
        alice.leave(&attempt);
        for _ in 0..10 {
            killed_at_the_prompt(&host, &mut alice);
        }
        let attempt = alice.attempt("tmux-gate");
        alice.expect("The account is locked due to 10 failed logins.");
        alice.expect_refused(&attempt, 77, "authentication failed");
        host.expect_refusals(20);
        host.syslog_wait(&["account temporarily locked"]);
        assert!(!host.run_as("alice", &RESET).status.success());
        // The module's usual tally belongs to the person.
        host.run_as("alice", &["sh", "-c", "faillock --user alice --reset; : >/run/faillock/alice"]);
        let attempt = alice.attempt("tmux-gate");
        alice.expect("The account is locked");
        alice.expect_refused(&attempt, 77, "authentication failed");
        host.must(&RESET);
        let attempt = module.enter(&mut alice, &code(&host, 30));
        alice.leave(&attempt);
        expect_unix_sessions(&host, "alice", 2);
        host.expect_all_closed();
    }
}

/// Whoever has begun before the gate closed for him has no more guesses than the others.
#[test]
fn guesses_at_many_prompts_at_once_are_counted_together() {
    let host = OATH.host();
    host.configure("[authentication]\ntries = 1\n");
    let mut asked = 0;
    let mut people: Vec<_> = (0..14).map(|_| host.spawn("alice", &[GATE]).on_terminal()).collect();
    for person in &mut people {
        asked += usize::from(person.expect_one_of(&["Password: ", "The account is locked"]) == 0);
    }
    // Looked at after it is counted: of two that are counted at once neither may be the tenth.
    assert!((1..=10).contains(&asked), "{asked}: {}", host.snapshot());
    let mut late = host.spawn("alice", &[GATE]).on_terminal();
    late.expect("The account is locked");
    assert_eq!(late.exit_status(), 77);
    host.expect_refusals(15 - asked);
    drop(people);
    expect_unix_sessions(&host, "alice", 0);
}

/// Two people at the same moment are in each other's way in one file for all; they have one each.
#[test]
fn two_people_at_once_are_both_in() {
    for module in [OATH, GOOGLE] {
        let host = module.host();
        let (of_bob, bobs) = (module.file.replace("alice", "bob"), module.key.replace("alice", "bob"));
        host.write(&of_bob, bobs, 0o600);
        for round in [0, 30] {
            let now = code(&host, round);
            let mut people = ["alice", "bob"].map(|user| {
                let mut person = host.spawn(user, &[GATE]).on_terminal();
                person.expect("Password: ");
                person.send(format!("{user}'s secret\r"));
                person.expect(&module.prompt.replace("alice", user));
                person
            });
            for person in &mut people {
                person.send(format!("{now}\r"));
            }
            for person in &mut people {
                person.expect_inside();
                person.send("\x02d");
                assert_eq!(person.exit_status(), 0);
            }
        }
        for user in ["alice", "bob"] {
            expect_unix_sessions(&host, user, 2);
        }
        host.expect_refusals(0);
        host.expect_all_closed();
    }
}

#[test]
fn given_a_right_code_after_wrong_ones_the_count_ends_and_the_lock_does_not_come() {
    let host = OATH.host();
    let mut alice = host.person("alice");
    let bad = wrong(&code(&host, 0));
    let attempt = alice.attempt("tmux-gate");
    OATH.answer(&mut alice, PASSWORD, &bad);
    alice.expect("Sorry, try again.");
    OATH.answer(&mut alice, "wrong", &bad);
    alice.expect("Sorry, try again.");
    OATH.answer(&mut alice, PASSWORD, &code(&host, 0));
    alice.expect_inside();
    alice.leave(&attempt);
    let counted = host.must(&["faillock", "--dir", "/var/lib/tmux-gate/faillock", "--user", "alice"]);
    assert!(!counted.contains("TTY"), "{counted}");
    expect_unix_sessions(&host, "alice", 1);
}

/// pam_faillock passes over a count that it cannot write; the third of its lines does not.
#[test]
fn given_no_place_to_count_attempts_in_nobody_is_asked() {
    for module in [OATH, GOOGLE] {
        let host = module.host();
        let tally = "/var/lib/tmux-gate/faillock";
        host.must(&["sh", "-ec", &format!("rm -rf {tally}; ln -s /nowhere/at/all {tally}")]);
        let mut alice = host.person("alice");
        let attempt = alice.attempt("tmux-gate");
        alice.expect_refused(&attempt, 77, "authentication failed");
        alice.expect_not("Password: ");
        host.expect_refusal(&["user=alice", "pam="]);
        expect_unix_sessions(&host, "alice", 0);
    }
}
