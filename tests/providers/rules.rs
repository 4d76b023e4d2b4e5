//! Linux-PAM's modules that judge by user, group, terminal, service or list: each lets in and keeps out, and whom it keeps
//! out is on record with PAM's code.

use super::worked::last_refusal;
use crate::host::{GATE, Host, NO_QUESTION};

/// Is alice let in by a service with this line first? If not, this code is on record.
fn passes(host: &Host, line: &str, code: &str) -> bool {
    host.pam(&format!("{line}\n{NO_QUESTION}"));
    let before = host.sessions();
    let mut alice = host.spawn("alice", &[GATE]).on_terminal();
    let is_in = alice.is_in();
    if is_in {
        alice.send("\x02d");
        assert_eq!(alice.exit_status(), 0, "{line}");
    } else {
        assert_eq!(alice.exit_status(), 77, "{line}: {}", alice.transcript());
        let record = last_refusal(host);
        assert!(record.contains(&format!("pam={code}")), "{line}: {record}");
    }
    host.expect_sessions(&(before + if is_in { "open alice\nclose alice\n" } else { "" }));
    host.expect_all_closed();
    is_in
}

#[test]
fn pam_succeed_if_judges_by_group_uid_terminal_and_service() {
    let host = Host::new();
    host.must(&["groupadd", "ops"]);
    let rule =
        |condition: &str| passes(&host, &format!("account required pam_succeed_if.so quiet {condition}"), "AUTH_ERR");
    assert!(!rule("user ingroup ops"));
    host.must(&["usermod", "-aG", "ops", "alice"]);
    for (condition, expected) in [
        ("user ingroup ops", true),
        ("user notingroup ops", false),
        ("uid >= 1000", true),
        ("uid < 1000", false),
        ("service = tmux-gate", true),
        ("service = sshd", false),
        ("tty =~ /dev/pts/*", true),
        ("tty =~ /dev/tty*", false),
        ("ruser = alice", true),
        ("rhost = somewhere.example.org", false),
        ("shell = /bin/bash", true),
    ] {
        assert_eq!(rule(condition), expected, "{condition}");
    }
}

#[test]
fn lists_and_groups_of_the_administrators_judge_the_caller() {
    let host = Host::new();
    host.must(&["groupadd", "wheel"]);
    host.write("/etc/gate-users", "bob\n", 0o600);
    let listed = "auth required pam_listfile.so item=user sense=allow onerr=fail file=/etc/gate-users";
    let denied = "auth required pam_listfile.so item=user sense=deny onerr=fail file=/etc/gate-users";
    let wheel = "auth required pam_wheel.so use_uid";
    assert!(!passes(&host, listed, "AUTH_ERR"));
    assert!(passes(&host, denied, ""));
    assert!(!passes(&host, wheel, "PERM_DENIED"));
    host.write("/etc/gate-users", "bob\nalice\n", 0o600);
    host.must(&["usermod", "-aG", "wheel", "alice"]);
    assert!(passes(&host, listed, ""));
    assert!(!passes(&host, denied, "AUTH_ERR"));
    assert!(passes(&host, wheel, ""));
    host.remove("/etc/gate-users");
    assert!(!passes(&host, listed, "SERVICE_ERR"));
    assert!(!passes(&host, denied, "SERVICE_ERR"));
}

#[test]
fn the_caller_is_not_root_whatever_the_gate_runs_as() {
    let host = Host::new();
    assert!(!passes(&host, "auth required pam_rootok.so", "AUTH_ERR"));
    assert!(!passes(&host, "account requisite pam_rootok.so", "AUTH_ERR"));
}
