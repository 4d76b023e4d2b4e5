//! LDAP by nslcd, when the directory or nslcd is away: nobody is in who should not be, and it is never a wrong password.

use super::directory::{Directory, NEW, expect_out};
use super::worked::{answer, expect_unix_sessions, last_refusal};
use crate::host::WAITS;
use std::time::{Duration, Instant};

const AWAY: &str = "the users database does not answer";
const NOT_NOW: &str = "cannot authenticate now";

/// What can be away, and how.
#[derive(Debug, Clone, Copy)]
enum Away {
    SlapdStopped,
    SlapdSilent,
    NslcdStopped,
}

const WAYS: [Away; 3] = [Away::SlapdStopped, Away::SlapdSilent, Away::NslcdStopped];

impl Away {
    fn begin(self, directory: &Directory) {
        match self {
            Away::SlapdStopped => directory.stop("slapd"),
            Away::SlapdSilent => directory.silence("slapd"),
            Away::NslcdStopped => directory.stop("nslcd"),
        }
    }

    fn end(self, directory: &Directory) {
        match self {
            Away::SlapdStopped => directory.start_slapd(),
            Away::SlapdSilent => directory.wake("slapd"),
            Away::NslcdStopped => directory.start_nslcd(),
        }
        directory.expect_people();
    }
}

#[test]
fn given_a_directory_that_is_away_before_the_call_its_people_come_later_and_accounts_of_the_host_pass() {
    for way in WAYS {
        let directory = Directory::with_ldap();
        let mut lara = directory.person("lara");
        let mut alice = directory.person("alice");
        way.begin(&directory);
        expect_out(&mut lara, &[], 75, AWAY);
        let record = last_refusal(&directory);
        assert!(record.contains("uid=20001") && record.contains(AWAY), "{way:?}: {record}");
        let attempt = alice.enter("alice");
        alice.leave(&attempt);
        expect_unix_sessions(&directory, "alice", 1);
        way.end(&directory);
        let attempt = lara.enter("lara");
        lara.leave(&attempt);
        expect_unix_sessions(&directory, "lara", 1);
    }
}

#[test]
fn given_a_directory_that_goes_away_at_the_prompt_it_is_no_wrong_password() {
    for way in WAYS {
        let directory = Directory::with_ldap();
        let mut lara = directory.person("lara");
        let attempt = lara.attempt("tmux-gate");
        lara.expect("Password: ");
        way.begin(&directory);
        lara.send("lara's secret\r");
        let said = lara.expect_refused(&attempt, 75, NOT_NOW);
        assert!(!said.contains("Sorry"), "{way:?}: {said}");
        directory.expect_refusal(&["user=lara", "pam=AUTHINFO_UNAVAIL"]);
        expect_unix_sessions(&directory, "lara", 0);
    }
}

#[test]
fn given_a_directory_that_goes_away_between_the_steps_nobody_is_in() {
    let waits = format!("\naccount {WAITS}");
    for (text, waits_before) in [(NOT_NOW, "\naccount "), (AWAY, "\npassword ")] {
        for way in WAYS {
            let directory = Directory::with_ldap();
            let worked = directory.read("/etc/pam.d/tmux-gate").replace("[success=done new", "[success=ok new");
            directory.pam(&worked.replacen(waits_before, &format!("{waits}{waits_before}"), 1));
            directory.hold();
            let mut lara = directory.person("lara");
            let attempt = lara.attempt("tmux-gate");
            answer(&mut lara, &[("Password: ", "lara's secret")]);
            directory.expect_waiting();
            way.begin(&directory);
            directory.release();
            lara.expect_refused(&attempt, 75, text);
            directory.expect_refusal(&["user=lara", text]);
            directory.expect_sessions("");
        }
    }
}

#[test]
fn given_debians_own_file_a_directory_that_goes_away_is_a_no_but_never_a_yes() {
    let directory = Directory::by_nslcd();
    let installed = directory.read("/etc/pam.d/tmux-gate");
    directory.configure("[authentication]\ntries = 1\n");
    let mut lara = directory.person("lara");
    let attempt = lara.attempt("tmux-gate");
    lara.expect("Password: ");
    directory.stop("nslcd");
    lara.send("lara's secret\r");
    lara.expect_refused(&attempt, 77, "lara: authentication failed");
    assert!(last_refusal(&directory).contains("pam=AUTH_ERR"));

    directory.start_nslcd();
    directory.pam(&installed.replace("@include common-account", &format!("account {WAITS}\n@include common-account")));
    directory.hold();
    let mut sven = directory.person("sven"); // whose account has expired
    let attempt = sven.attempt("tmux-gate");
    answer(&mut sven, &[("Password: ", "sven's secret")]);
    directory.expect_waiting();
    directory.stop("nslcd");
    directory.release();
    sven.expect_refused(&attempt, 77, "sven: the account may not be used");
    directory.expect_all_closed();
    directory.expect_sessions("");
}

#[test]
fn given_nslcd_that_hangs_everything_ends_within_the_time_limit() {
    let directory = Directory::with_ldap();
    directory.configure("[attach]\nusers = [\"@crew\"]\n[authentication]\ntime_limit = \"2s\"\n");
    let mut alice = directory.person("alice");
    let mut lara = directory.person("lara");
    let attempt = lara.attempt("tmux-gate");
    lara.expect("Password: ");
    directory.silence("nslcd");
    lara.send("lara's secret\r");
    lara.expect_refused(&attempt, 75, "no verdict within 2s");
    expect_out(&mut alice, &[], 75, AWAY); // while the rule is read
    let attempt = lara.attempt("tmux-gate"); // while she is looked up, which takes longer
    directory.wait_until("a lookup", || !directory.gates().is_empty());
    lara.send("\x03");
    assert_eq!(lara.status(), 130);
    assert_eq!(lara.termios(), attempt.before);
    expect_unix_sessions(&directory, "lara", 0);
}

#[test]
fn given_somebody_in_the_place_of_the_directory_he_lets_nobody_in() {
    let directory = Directory::with_ldap();
    let mut lara = directory.person("lara");
    for impostor in ["s/server.pem/impostor.pem/", "/^TLS/d"] {
        let attempt = lara.attempt("tmux-gate");
        lara.expect("Password: ");
        let conf = directory.read("/etc/ldap/slapd.conf");
        directory.stop("slapd");
        directory.must(&["sed", "-i", impostor, "/etc/ldap/slapd.conf"]);
        directory.start_slapd();
        lara.send("lara's secret\r");
        lara.expect_refused(&attempt, 75, NOT_NOW);
        expect_out(&mut lara, &[], 75, AWAY);
        directory.stop("slapd");
        directory.write("/etc/ldap/slapd.conf", conf, 0o644);
        directory.start_slapd();
        directory.expect_people();
    }
    expect_unix_sessions(&directory, "lara", 0);
}

#[test]
fn given_a_directory_that_goes_away_inside_the_session_goes_on_and_is_closed() {
    for way in WAYS {
        let directory = Directory::with_ldap();
        let mut lara = directory.person("lara");
        let attempt = lara.enter("lara");
        way.begin(&directory);
        assert_eq!(lara.inside("echo still").text.trim(), "still");
        let begin = Instant::now();
        lara.leave(&attempt);
        directory.expect_no_gate();
        assert!(begin.elapsed() < Duration::from_secs(10), "{way:?}: {:?}", begin.elapsed()); // tmux asks for names
        expect_unix_sessions(&directory, "lara", 1);
    }
}

#[test]
fn given_a_rule_by_a_group_that_cannot_be_read_nobody_passes_and_nobody_is_refused() {
    for way in WAYS {
        let directory = Directory::with_ldap();
        directory.configure("[attach]\nusers = [\"@crew\", \"alice\"]\n");
        let mut people = ["alice", "bob", "lara"].map(|name| directory.person(name));
        way.begin(&directory);
        for person in &mut people {
            expect_out(person, &[], 75, AWAY);
            let record = last_refusal(&directory);
            assert!(record.contains(AWAY), "{way:?}: {record}");
            person.expect_not("Password: ");
        }
        // Whom an entry before the group names needs no group.
        directory.configure("[attach]\nusers = [\"alice\", \"@crew\"]\n");
        people[0].enter("alice");
        people[0].send("\x02d");
        assert_eq!(people[0].status(), 0);
        directory.expect_all_closed();
    }
}

#[test]
fn given_a_directory_that_goes_away_while_a_password_is_changed_it_is_not_now() {
    for way in WAYS {
        let directory = Directory::with_ldap();
        let mut rita = directory.person("rita");
        let attempt = rita.attempt("tmux-gate");
        answer(&mut rita, &[("Password: ", "rita's secret"), ("New password: ", NEW)]);
        rita.expect("Retype new password: ");
        way.begin(&directory);
        rita.send(format!("{NEW}\r"));
        rita.expect_refused(&attempt, 75, NOT_NOW);
        directory.expect_refusal(&["user=rita", "pam=AUTHINFO_UNAVAIL"]);
        expect_unix_sessions(&directory, "rita", 0);
    }
}
