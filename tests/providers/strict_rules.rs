//! The worked file strict: who may pass, from where and when, and what happens to passwords that have expired.

use super::worked::{answer, expect_unix_sessions, followed, last_refusal};
use crate::host::{GATE, Host, Person};

const NEVER: &str = "!Al0000-2400";

/// Is alice in with her password? She has left again then; else the record names this code, for the account.
fn is_in(host: &Host, alice: &mut Person<'_>, code: &str) -> bool {
    let attempt = alice.attempt("SSH_CONNECTION='10.0.0.1 5 10.0.0.2 22' tmux-gate");
    alice.expect("Password: ");
    alice.send("alice's secret\r");
    if alice.expect_one_of(&["\x1b[?1049h", "tmux-gate: "]) == 0 {
        alice.expect_inside();
        alice.leave(&attempt);
        return true;
    }
    alice.expect("alice: the account may not be used");
    assert_eq!((alice.status(), alice.termios()), (77, attempt.before));
    assert!(last_refusal(host).contains(&format!("pam={code}")), "{}", host.snapshot());
    false
}

#[test]
fn what_nologin_says_reaches_the_person_and_root_passes() {
    let host = followed("strict");
    host.write("/etc/nologin", "Closed for the night.\n", 0o644);
    let mut alice = host.person("alice");
    let attempt = alice.attempt("tmux-gate");
    alice.expect("Password: ");
    alice.send("alice's secret\r");
    let said = alice.expect_refused(&attempt, 77, "the account may not be used");
    assert!(said.contains("Closed for the night."), "{said:?}");
    assert!(last_refusal(&host).contains("pam=AUTH_ERR"));
    expect_unix_sessions(&host, "alice", 0);
    let mut root = host.spawn("root", &[GATE]).on_terminal();
    root.expect("Password: ");
    root.send("root's secret\r");
    root.expect("Closed for the night.");
    root.expect_on_screen("a session", |screen| screen.contains("[main]").then_some(()));
    root.send("\x02d");
    assert_eq!(root.exit_status(), 0);
    expect_unix_sessions(&host, "root", 1);
}

/// PAM_RHOST is not set, whatever SSH_CONNECTION says: the origin is the terminal, and that is always LOCAL.
#[test]
fn access_conf_judges_by_user_by_group_and_by_terminal_and_knows_no_remote_host() {
    let host = followed("strict");
    host.must(&["groupadd", "ops"]);
    let mut alice = host.person("alice");
    let nobody_else = "\n-:ALL:ALL";
    let remote = "10.0.0.1 10.0.0.0/8 10. .example.org shell.example.org 127.0.0.1 localhost gatehost";
    let mut passed = 0;
    let mut judge = |rules: &str| {
        host.write("/etc/security/access.conf", format!("{rules}\n"), 0o644);
        let is_in = is_in(&host, &mut alice, "PERM_DENIED");
        passed += usize::from(is_in);
        is_in
    };
    assert!(judge(""));
    assert!(judge(&format!("+:alice:ALL{nobody_else}")));
    assert!(!judge("-:alice:ALL"));
    assert!(!judge(&format!("+:bob:ALL{nobody_else}")));
    assert!(!judge(&format!("+:(ops):ALL{nobody_else}")));
    host.must(&["usermod", "-aG", "ops", "alice"]);
    assert!(judge(&format!("+:(ops):ALL{nobody_else}")));
    assert!(!judge("-:(ops):ALL"));

    assert!(judge(&format!("+:alice:LOCAL{nobody_else}")));
    assert!(!judge("-:ALL:LOCAL"));
    assert!(judge(&format!("+:alice:pts/0{nobody_else}")));
    assert!(!judge(&format!("+:alice:pts/1 tty1{nobody_else}")));
    assert!(!judge(&format!("+:alice:tmux-gate{nobody_else}"))); // a service is none (CVE-2024-10963)

    assert!(!judge(&format!("+:alice:{remote}{nobody_else}")));
    assert!(judge(&format!("-:alice:{remote}")));
    expect_unix_sessions(&host, "alice", passed);
}

#[test]
fn time_conf_judges_by_service_terminal_user_and_hour() {
    let host = followed("strict");
    let mut alice = host.person("alice");
    let mut passed = 0;
    let mut judge = |rules: &str| {
        host.write("/etc/security/time.conf", format!("{rules}\n"), 0o644);
        let is_in = is_in(&host, &mut alice, "PERM_DENIED");
        passed += usize::from(is_in);
        is_in
    };
    assert!(!judge(&format!("tmux-gate;*;*;{NEVER}")));
    assert!(judge(&format!("sshd|login;*;*;{NEVER}")));
    assert!(!judge(&format!("*;*;bob|alice;{NEVER}")));
    assert!(judge(&format!("*;*;!alice;{NEVER}")));
    assert!(!judge(&format!("tmux-gate;pts/*;*;{NEVER}")));
    assert!(judge(&format!("tmux-gate;tty*;*;{NEVER}")));
    assert!(judge("tmux-gate;*;*;Al0000-2400"));
    for (rule, allowed) in [(hours_around_now(&host), true), (format!("!{}", hours_around_now(&host)), false)] {
        assert_eq!(judge(&format!("tmux-gate;*;alice;{rule}")), allowed, "{rule}");
    }
    expect_unix_sessions(&host, "alice", passed);
}

/// From the hour before this one to the end of the next.
fn hours_around_now(host: &Host) -> String {
    let hour: u32 = host.must(&["date", "+%H"]).trim().parse().unwrap();
    format!("Al{:02}00-{:02}00", (hour + 23) % 24, (hour + 2) % 24)
}

#[test]
fn the_hours_are_the_hosts_and_not_those_of_the_callers_time_zone() {
    let host = followed("strict");
    host.write("/etc/security/time.conf", format!("tmux-gate;*;*;!{}\n", hours_around_now(&host)), 0o644);
    for zone in ["XXX+8", "XXX-8"] {
        let mut alice = host.spawn("alice", &[GATE]).env(format!("TZ={zone}")).on_terminal();
        alice.expect("Password: ");
        alice.send("alice's secret\r");
        assert_eq!(alice.exit_status(), 77, "{zone}");
        assert!(last_refusal(&host).contains("pam=PERM_DENIED"));
    }
}

/// common-account ends the stack at an expired password, so whatever may say no stands before it.
#[test]
fn an_expired_password_is_changed_by_whom_the_rules_let_in_and_by_nobody_else() {
    let host = followed("strict");
    host.must(&["chage", "-d", "0", "alice"]);
    let before = host.must(&["grep", "^alice:", "/etc/shadow"]);
    let mut alice = host.person("alice");
    for (file, rule) in [("time.conf", format!("tmux-gate;*;alice;{NEVER}")), ("access.conf", "-:alice:ALL".to_owned())]
    {
        let path = format!("/etc/security/{file}");
        host.write(&path, format!("{rule}\n"), 0o644);
        assert!(!is_in(&host, &mut alice, "PERM_DENIED"), "{rule}");
        alice.expect_not("Current password");
        host.write(&path, "", 0o644);
    }
    assert_eq!(host.must(&["grep", "^alice:", "/etc/shadow"]), before);
    expect_unix_sessions(&host, "alice", 0);

    const NEW: &str = "quite another 7 words";
    let change = [
        ("Password: ", "alice's secret"),
        ("Current password: ", "alice's secret"),
        ("New password: ", NEW),
        ("Retype new password: ", NEW),
    ];
    for dialogue in [&change[..], &[("Password: ", NEW)]] {
        let attempt = alice.attempt("tmux-gate");
        answer(&mut alice, dialogue);
        alice.expect_inside();
        alice.leave(&attempt);
    }
    expect_unix_sessions(&host, "alice", 2);
}

#[test]
fn an_account_that_has_expired_stays_out() {
    let host = followed("strict");
    host.must(&["sh", "-ec", "chage -E $(($(date +%s) / 86400 - 1)) alice"]); // yesterday, as a number of days
    let mut alice = host.person("alice");
    // The code is that of pam_deny, with which Debian's common-account ends; pam_unix says more to both readers.
    assert!(!is_in(&host, &mut alice, "AUTH_ERR"));
    host.syslog_wait(&["pam_unix(tmux-gate:account)", "account alice has expired"]);
    assert!(alice.transcript().contains("Your account has expired; please contact your system administrator."));
    expect_unix_sessions(&host, "alice", 0);
}

/// What stands between .nf and .fi under that heading of the manual page.
fn examples(host: &Host) -> Vec<String> {
    let page = host.read("/usr/share/man/man7/tmux-gate-pam.7");
    let section = page.split_once("\n.SS strict\n").unwrap().1.split("\n.S").next().unwrap();
    let blocks = section.split("\n.nf\n").skip(1).map(|block| block.split("\n.fi\n").next().unwrap());
    blocks.map(|block| block.replace("\\-", "-") + "\n").collect()
}

#[test]
fn the_examples_of_the_manual_page_do_what_it_says() {
    let host = followed("strict");
    let [commands, access, time] = &examples(&host)[..] else { panic!("three examples: {:?}", examples(&host)) };
    host.write("/etc/security/access.conf", access, 0o644);
    host.must(&["groupadd", "ops"]);
    let mut alice = host.person("alice");
    assert!(!is_in(&host, &mut alice, "PERM_DENIED"));
    host.must(&["usermod", "-aG", "ops", "alice"]);
    assert!(is_in(&host, &mut alice, ""));
    host.write("/etc/security/time.conf", time, 0o644);
    let now = || host.must(&["date", "+%u %H"]);
    let mut visits = 1;
    loop {
        let time = now();
        let by_day = is_in(&host, &mut alice, "PERM_DENIED");
        visits += usize::from(by_day);
        let (day, hour) = time.trim().split_once(' ').unwrap();
        if now() == time {
            assert_eq!(by_day, day < "6" && ("08".."18").contains(&hour), "{time}");
            break;
        }
    }
    let mut root = host.spawn("root", &[GATE]).on_terminal();
    answer(&mut root, &[("Password: ", "root's secret")]);
    root.expect_on_screen("a session", |screen| screen.contains("[main]").then_some(()));
    root.send("\x02d");
    assert_eq!(root.exit_status(), 0);
    expect_unix_sessions(&host, "root", 1);
    expect_unix_sessions(&host, "alice", visits);
    assert!(host.must(&["sh", "-euxc", commands]).contains("alice:"));
    assert!(!host.syslog().iter().any(|line| line.contains("pam_time") || line.contains("bad field")));
}
