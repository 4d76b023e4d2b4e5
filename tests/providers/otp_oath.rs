//! pam_oath's own: counters, locks, what is not a key.

use super::otp::{FOLDER, KEY, OATH, PASSWORD, code, expect_nobody_in};
use super::worked::expect_unix_sessions;

/// Without digits=6 pam_oath takes a used code of a counter once more with one of ten digits before it.
#[test]
fn given_a_counter_each_code_is_good_once_and_no_longer_form_of_it_is() {
    let host = OATH.host();
    host.write(OATH.file, format!("HOTP alice - {KEY}\n"), 0o600);
    let codes = |digits: &str| -> Vec<String> {
        host.must(&["oathtool", "-d", digits, "-w", "3", KEY]).lines().map(str::to_owned).collect()
    };
    let (short, long) = (codes("6"), codes("7"));
    let mut alice = host.person("alice");
    let attempt = OATH.enter(&mut alice, &short[0]);
    alice.leave(&attempt);
    for used in [&short[0], &long[0]] {
        OATH.refused(&host, &mut alice, PASSWORD, used);
    }
    let attempt = OATH.enter(&mut alice, &short[1]);
    alice.leave(&attempt);
    for bad in [&short[0], &long[1], &short[3]] {
        OATH.refused(&host, &mut alice, PASSWORD, bad);
    }
    host.expect_refusals(5);
    expect_unix_sessions(&host, "alice", 2);
}

#[test]
fn given_no_key_or_a_broken_one_a_person_is_refused() {
    let host = OATH.host();
    host.configure("[authentication]\ntries = 1\n");
    let mut alice = host.person("alice");
    let now = code(&host, 0);
    for content in ["", "# alice\n", "HOTP/T30/6 bob - 31323334\n", "HOTP/T30/6 alice -\n"] {
        host.write(OATH.file, content, 0o600);
        let attempt = alice.attempt("tmux-gate");
        alice.expect("Password: ");
        alice.send(format!("{PASSWORD}\r"));
        alice.expect_refused(&attempt, 77, "authentication failed");
    }
    host.syslog_wait(&["event=refused", "user=alice", "pam=USER_UNKNOWN"]);
    for content in ["HOTP/T30/6 alice - not-hex\n", &OATH.key.replace(" - ", " pin ")] {
        host.write(OATH.file, content, 0o600);
        OATH.refused(&host, &mut alice, PASSWORD, &now);
    }
    host.remove(OATH.file);
    OATH.refused(&host, &mut alice, PASSWORD, &now);
    expect_nobody_in(&host, 7);
}

/// pam_oath's lock is a file that is there: one left behind keeps its own person out, and nobody else.
#[test]
fn given_a_lock_that_was_left_behind_one_person_is_out_and_the_others_are_not() {
    let host = OATH.host();
    let (mut alice, mut bob) = (host.person("alice"), host.person("bob"));
    let now = code(&host, 0);
    for left in ["lock", "new"] {
        let file = format!("{FOLDER}/alice.oath.{left}");
        host.write(&file, "", 0o600);
        OATH.refused(&host, &mut alice, PASSWORD, &now);
        host.remove(&file);
    }
    host.write(&format!("{FOLDER}/alice.oath.lock"), "", 0o600);
    host.write(&format!("{FOLDER}/bob.oath"), format!("HOTP/T30/6 bob - {KEY}\n"), 0o600);
    let attempt = bob.attempt("tmux-gate");
    OATH.answer_as("bob", &mut bob, "bob's secret", &now);
    bob.expect_inside();
    bob.leave(&attempt);
    host.remove(&format!("{FOLDER}/alice.oath.lock"));
    let attempt = OATH.enter(&mut alice, &now);
    alice.leave(&attempt);
    host.expect_refusals(2);
    expect_unix_sessions(&host, "alice", 1);
    expect_unix_sessions(&host, "bob", 1);
}
