//! Accounts that are locked, expired or without a shell, and passwords that must be changed: what the person is told, what
//! is recorded, and that nothing is opened for whom it is not.

use super::worked::{answer, last_refusal};
use crate::host::{Attempt, Host, Person, UNIX};

const NEW: &str = "quite another 7 words";
const CURRENT: (&str, &str) = ("Current password: ", "alice's secret");
const CHANGE: &str = "You are required to change your password immediately";

/// pam_unix alone, with the rules for new passwords that Debian has.
fn unix() -> Host {
    let host = Host::new();
    host.pam(&UNIX.replace("password required pam_unix.so", "password required pam_unix.so obscure"));
    host
}

/// Sets what chage(1) sets; `-d DAYS` and `-E DAYS` count from today.
fn age(host: &Host, options: &str) {
    let today: i64 = host.must(&["date", "+%s"]).trim().parse::<i64>().unwrap() / 86400;
    let day = |days: &str| (today + days.parse::<i64>().unwrap()).to_string();
    let mut dated = false;
    let words = options.split_whitespace().map(|word| {
        let word = if dated { day(word) } else { word.to_owned() };
        dated = matches!(word.as_str(), "-d" | "-E");
        word
    });
    let words: Vec<String> = words.collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    host.must(&[&["chage"], words.as_slice(), &["alice"]].concat());
}

fn shadow(host: &Host) -> String {
    host.must(&["getent", "shadow", "alice"])
}

fn with_her_password(alice: &mut Person<'_>) -> Attempt {
    let attempt = alice.attempt("tmux-gate");
    answer(alice, &[("Password: ", "alice's secret")]);
    attempt
}

/// She is refused after this text of PAM's, with this code in the record, and nothing was ever opened.
fn expect_out(host: &Host, alice: &mut Person<'_>, attempt: &Attempt, text: &str, code: &str) {
    let said = alice.expect_refused(attempt, 77, "alice: ");
    assert!(said.contains(text), "{text:?}: {said}");
    let line = last_refusal(host);
    assert!(line.contains(&format!("pam={code}")), "{code}: {line}");
    host.expect_sessions("");
    host.expect_all_closed();
}

#[test]
fn an_account_locked_with_usermod_takes_no_password() {
    let host = unix();
    host.configure("[authentication]\ntries = 1\n");
    host.must(&["usermod", "-L", "alice"]);
    let mut alice = host.person("alice");
    let attempt = with_her_password(&mut alice);
    expect_out(&host, &mut alice, &attempt, "authentication failed", "AUTH_ERR");
    host.must(&["usermod", "-U", "alice"]);
    let attempt = alice.enter("alice");
    alice.leave(&attempt);
    host.expect_sessions("open alice\nclose alice\n");
}

#[test]
fn an_account_that_expired_yesterday_or_was_inactive_too_long_stays_out() {
    let host = unix();
    let mut alice = host.person("alice");
    let told = "Your account has expired; please contact your system administrator.";
    for (options, code) in [("-E -1", "ACCT_EXPIRED"), ("-E +9 -d -60 -M 30 -I 10", "AUTHTOK_EXPIRED")] {
        age(&host, options);
        let attempt = with_her_password(&mut alice);
        expect_out(&host, &mut alice, &attempt, told, code);
    }
    age(&host, "-E +1 -d 0");
    let attempt = alice.enter("alice");
    alice.leave(&attempt);
    host.expect_sessions("open alice\nclose alice\n");
}

#[test]
fn an_account_that_expires_while_she_is_away_does_not_come_back_to_its_session() {
    let host = unix();
    let mut alice = host.person("alice");
    let attempt = alice.enter("alice");
    alice.leave(&attempt);
    host.expect_sessions("open alice\nclose alice\n");
    age(&host, "-E -1");
    let attempt = with_her_password(&mut alice);
    alice.expect_refused(&attempt, 77, "the account may not be used");
    assert!(last_refusal(&host).contains("pam=ACCT_EXPIRED"));
    host.expect_all_closed();
    host.expect_sessions("open alice\nclose alice\n");
}

#[test]
fn a_warning_that_the_password_will_expire_reaches_the_person_who_is_let_in() {
    let host = unix();
    age(&host, "-d -25 -M 30 -W 7");
    let mut alice = host.person("alice");
    let attempt = with_her_password(&mut alice);
    alice.expect("Warning: your password will expire in 5 days.");
    alice.expect_inside();
    alice.leave(&attempt);
    host.expect_sessions("open alice\nclose alice\n");
}

#[test]
fn a_password_past_its_age_is_changed_and_a_bad_choice_is_asked_for_again() {
    let host = unix();
    age(&host, "-d -35 -M 30 -I 10");
    let mut alice = host.person("alice");
    let attempt = with_her_password(&mut alice);
    alice.expect(CHANGE);
    answer(&mut alice, &[CURRENT]);
    for (choice, why) in [
        ("x7", "You must choose a longer password."),
        ("alice's secret", "The password has not been changed."), // the old one again
        (NEW, "\n"),
    ] {
        answer(&mut alice, &[("New password: ", choice), ("Retype new password: ", choice)]);
        alice.expect(why);
    }
    alice.expect_inside();
    alice.leave(&attempt);
    let attempt = alice.attempt("tmux-gate");
    answer(&mut alice, &[("Password: ", NEW)]);
    alice.expect_inside();
    alice.leave(&attempt);
    host.expect_sessions(&"open alice\nclose alice\n".repeat(2));
    alice.expect_never_shown(NEW);
}

#[test]
fn a_password_that_must_be_changed_and_is_not_keeps_her_out_and_stays_as_it_was() {
    let host = unix();
    host.must(&["chage", "-d", "0", "alice"]);
    let before = shadow(&host);
    let short = [("New password: ", "x7"), ("Retype new password: ", "x7")];
    let mut alice = host.person("alice");
    for (dialogue, told, code) in [
        (&[("New password: ", NEW), ("Retype new password: ", "other")][..], "Sorry, passwords do not match.", "ABORT"),
        (&[short, short, short].concat(), "You must choose a longer password.", "AUTHTOK_ERR"),
    ] {
        let attempt = with_her_password(&mut alice);
        answer(&mut alice, &[CURRENT]);
        answer(&mut alice, dialogue);
        expect_out(&host, &mut alice, &attempt, told, code);
    }
    let attempt = with_her_password(&mut alice);
    answer(&mut alice, &[("Current password: ", "wrong")]);
    expect_out(&host, &mut alice, &attempt, "the expired password was not changed", "AUTH_ERR");
    for key in ["\x03", "\x04"] {
        let attempt = with_her_password(&mut alice);
        answer(&mut alice, &[CURRENT]);
        alice.expect("New password: ");
        alice.send(key);
        alice.expect_refused(&attempt, 77, "run tmux-gate again");
    }
    assert_eq!(shadow(&host), before);
    host.expect_sessions("");
}

#[test]
fn without_a_shell_in_the_users_database_panes_run_sh() {
    for shell in ["", "/does/not/exist"] {
        let host = unix();
        host.must(&["usermod", "-s", shell, "alice"]);
        let mut alice = host.person("alice");
        let attempt = with_her_password(&mut alice);
        let is_pane = |name: &str| host.processes().iter().any(|process| process.cmdline == name);
        host.wait_until("a pane of sh", || is_pane("-sh"));
        alice.expect_on_screen("its prompt", |screen| screen.starts_with("$").then_some(()));
        alice.leave(&attempt);
        host.expect_sessions("open alice\nclose alice\n");
    }
}

/// The gate starts tmux, and that asks the person's own ~/.tmux.conf what to run.
#[test]
fn nologin_as_a_shell_keeps_nobody_out_and_pam_shells_does() {
    let host = unix();
    host.must(&["usermod", "-s", "/usr/sbin/nologin", "alice"]);
    let mut alice = host.person("alice");
    let attempt = with_her_password(&mut alice);
    alice.expect("[exited]");
    assert_eq!((alice.status(), alice.termios()), (0, attempt.before));
    host.expect_sessions("open alice\nclose alice\n");
    host.write("/home/alice/.tmux.conf", "set -g default-shell /bin/bash\n", 0o644);
    let attempt = alice.enter("alice");
    alice.leave(&attempt);
    host.expect_sessions(&"open alice\nclose alice\n".repeat(2));

    let service = UNIX.replace("account ", "account required pam_shells.so\naccount ");
    host.pam(&service);
    let attempt = with_her_password(&mut alice);
    alice.expect_refused(&attempt, 77, "the account may not be used");
    assert!(last_refusal(&host).contains("pam=AUTH_ERR"));
    host.expect_all_closed();
    host.must(&["usermod", "-s", "/bin/bash", "alice"]);
    let attempt = alice.enter("alice");
    alice.leave(&attempt);
    host.expect_sessions(&"open alice\nclose alice\n".repeat(3));
}
