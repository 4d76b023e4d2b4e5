//! Who called: decided by the real uid and the users database, whatever names look like; and nothing of yesterday's.

use crate::host::{GATE, Host, NO_QUESTION, Person};

fn add_user(host: &Host, line: &str) {
    let text = host.read("/etc/passwd") + line + "\n";
    host.write("/etc/passwd", text, 0o644);
}

fn gate<'h>(host: &'h Host, user: &str) -> Person<'h> {
    host.spawn(user, &[GATE]).on_terminal()
}

fn groups_of_the_client(host: &Host) -> Vec<u32> {
    host.wait_until("a client", || host.clients().len() == 1);
    host.clients()[0].groups.clone()
}

fn leave(mut person: Person<'_>) {
    person.send("\x02d");
    assert_eq!(person.exit_status(), 0, "{}", person.transcript());
}

/// A session, with whatever prompt.
fn expect_session(person: &Person<'_>) {
    person.expect_on_screen("a session", |screen| screen.contains("[main]").then_some(()));
}

#[test]
fn names_that_are_options_paths_formats_or_escapes_are_refused() {
    for name in [
        "-froot",
        "..",
        "../../bin/x",
        "a/b",
        "#(touch /tmp/pwned)",
        "x\x1b[2J",
        "a b",
        "$(id)",
        "x\u{202e}y",
        "\u{ff}\u{9b}",
    ] {
        let host = Host::open();
        add_user(&host, &format!("{name}:x:2001:2001::/home/alice:/bin/bash"));
        for verb in [&[GATE][..], &[GATE, "list"], &[GATE, "check"]] {
            let mut person = host.spawn("2001", verb).on_terminal();
            assert_eq!(person.exit_status(), 77, "{name:?}");
            person.expect("2001");
            for raw in ["\x1b", "\u{9b}", "\u{202e}"] {
                person.expect_not(raw);
            }
        }
        host.wait_until("three refusals", || host.events().len() == 3);
        assert!(host.events().iter().all(|line| line.contains("event=refused") && !line.contains('\x1b')));
        assert!(!host.exists("/tmp/pwned"));
        host.expect_sessions("");
        assert_eq!(host.must(&["ls", "/run/tmux-gate"]), "");
    }
}

#[test]
fn homes_shells_and_full_names_that_are_formats_run_nothing() {
    let host = Host::open();
    host.must(&[
        "sh",
        "-ec",
        "mkdir '/home/#(touch '; mkdir '/home/#(touch /tmp'; mkdir '/home/#(touch /tmp/pwned)'
        chown -R 2001 '/home/#(touch '*",
    ]);
    add_user(&host, "eve:x:2001:2001:#(touch /tmp/pwned) $(touch /tmp/pwned):/home/#(touch /tmp/pwned):/bin/bash");
    let eve = gate(&host, "eve");
    expect_session(&eve);
    leave(eve);
    assert!(!host.exists("/tmp/pwned"));
    for rest in ["/home/a\x1b[2J:/bin/bash", "/home/alice:/bin/\u{7f}sh"] {
        let host = Host::open();
        add_user(&host, &format!("eve:x:2001:2001::{rest}"));
        let mut eve = gate(&host, "eve");
        assert_eq!(eve.exit_status(), 77);
        eve.expect("tmux-gate: ");
        eve.expect_not("\x1b");
        host.expect_refusal(&["uid=2001"]);
    }
}

#[test]
fn the_uid_minus_one_is_nobody() {
    let host = Host::open();
    add_user(&host, "minus:x:4294967295:1001::/home/alice:/bin/bash");
    host.configure("[attach]\nusers = [\"minus\"]\n");
    for user in ["alice", "root"] {
        let mut person = gate(&host, user);
        assert_eq!(person.exit_status(), 77, "{user}");
    }
    for uid in ["4294967295", "-1", "4294967296", "+1001", "01001", " 1001", "0x3e9"] {
        host.configure(&format!("[attach]\nusers = [\"uid:{uid}\"]\n"));
        assert_eq!(gate(&host, "alice").exit_status(), 78, "{uid}");
    }
    host.expect_sessions("");
}

#[test]
fn a_uid_past_two_to_the_31_is_a_uid_like_others() {
    let host = Host::open();
    add_user(&host, "big:x:4294967294:4294967294::/home/big:/bin/bash");
    let big = gate(&host, "big");
    expect_session(&big);
    assert_eq!(host.clients()[0].uids, [4_294_967_294; 3]);
    assert!(host.exists("/run/tmux-gate/4294967294/default"));
    leave(big);
    host.syslog_wait(&["event=attached", "user=big", "uid=4294967294"]);
}

#[test]
fn a_name_made_of_digits_is_a_name_and_never_a_uid() {
    let host = Host::open();
    host.configure("[attach]\nusers = [\"1001\"]\n");
    assert_eq!(gate(&host, "alice").exit_status(), 77);
    add_user(&host, "1001:x:2001:2001::/home/alice:/bin/bash");
    assert_eq!(gate(&host, "alice").exit_status(), 77);
    let digits = gate(&host, "1001");
    expect_session(&digits);
    assert_eq!(host.clients()[0].uids, [2001; 3]);
    leave(digits);
}

#[test]
fn two_names_for_one_uid_are_one_person() {
    let host = Host::open();
    add_user(&host, "toor:x:1001:1001::/home/alice:/bin/bash");
    host.configure("[attach]\nusers = [\"toor\"]\n");
    let alice = gate(&host, "alice");
    alice.expect_inside();
    host.syslog_wait(&["event=attached", "user=alice", "uid=1001"]);
    leave(alice);
    host.configure("[attach]\nusers = [\"bob\"]\n");
    assert_eq!(gate(&host, "toor").exit_status(), 77);
}

#[test]
fn one_name_for_two_uids_lets_the_second_in_nowhere() {
    let host = Host::open();
    add_user(&host, "alice:x:2001:2001::/home/alice:/bin/bash");
    let mut second = gate(&host, "2001");
    assert_eq!(second.exit_status(), 77);
    second.expect("another uid");
    host.expect_refusal(&["uid=2001"]);
    let alice = gate(&host, "alice");
    alice.expect_inside();
    leave(alice);
}

#[test]
fn all_groups_of_the_users_database_arrive_and_none_of_the_callers_process() {
    for count in [1, 301, 1025, 3000] {
        let host = Host::open();
        let lines: String = (0..count).map(|n| format!("g{n}:x:{}:carol,alice\n", 100_000 + n)).collect();
        host.write("/etc/group", host.read("/etc/group") + &lines, 0o644);
        host.configure(&format!("[attach]\nusers = [\"@g{}\"]\n", count - 1));
        let alice = host.spawn("alice", &[GATE]).groups(&[0, 4, 5]).on_terminal();
        alice.expect_inside();
        let gate = host.must(&["getent", "group", "tmux-gate"]).split(':').nth(2).unwrap().parse().unwrap();
        let mut expected: Vec<u32> = (100_000..100_000 + count).chain([1001, gate]).collect();
        expected.sort_unstable();
        let mut groups = groups_of_the_client(&host);
        groups.retain(|group| !(0x7800_0000..=0x7bff_ffff).contains(group)); // the drawn one of her directory
        groups.sort_unstable();
        assert_eq!(groups, expected, "{count} groups");
        leave(alice);
    }
}

#[test]
fn groups_of_the_callers_process_decide_nothing() {
    let host = Host::open();
    host.must(&["groupadd", "-g", "3000", "ops"]);
    host.configure("[attach]\nusers = [\"@ops\"]\n");
    let mut alice = host.spawn("alice", &[GATE]).groups(&[1001, 3000]).on_terminal();
    assert_eq!(alice.exit_status(), 77);
    host.expect_refusal(&["user=alice", "[attach] users"]);
    host.must(&["usermod", "-aG", "ops", "alice"]);
    let alice = host.spawn("alice", &[GATE]).groups(&[1001]).on_terminal();
    alice.expect_inside();
    assert!(groups_of_the_client(&host).contains(&3000));
    leave(alice);
}

#[test]
fn whom_no_rule_lets_in_is_refused_before_pam_is_asked() {
    let host = Host::with_fixture("any:note=called");
    host.configure("[attach]\nusers = [\"bob\"]\n");
    assert_eq!(gate(&host, "alice").exit_status(), 77);
    host.expect_refusal(&["user=alice", "not among"]);
    assert!(!host.exists("/var/log/gate-notes"), "{}", host.read("/var/log/gate-notes"));
}

/// What changes while PAM asks is judged again.
fn changed_meanwhile(script: &str, status: i32, text: &str) {
    let host = Host::new();
    host.write("/usr/local/bin/change", format!("#!/bin/sh\n{script}\n"), 0o755);
    host.pam(&format!("auth required pam_exec.so seteuid quiet /usr/local/bin/change\n{NO_QUESTION}"));
    host.must(&["sed", "-i", "s/^users:.*/users:x:100:alice/", "/etc/group"]);
    host.configure("[attach]\nusers = [\"@users\"]\n");
    let mut alice = gate(&host, "alice");
    assert!(!alice.is_in(), "let in after: {script}");
    assert_eq!(alice.exit_status(), status, "{script}: {}", alice.transcript());
    host.expect_refusal(&["user=alice", text]);
    host.expect_sessions("");
}

#[test]
fn what_changed_while_pam_asked_is_judged_again() {
    changed_meanwhile("printf '[attach]\\nusers = []' >/etc/tmux-gate/config.toml", 77, "not among");
    changed_meanwhile("chmod o+w /etc/tmux-gate/config.toml", 78, "config.toml");
    changed_meanwhile("sed -i s/^alice:x:1001:1001/alice:x:1001:1002/ /etc/passwd", 77, "changed");
    changed_meanwhile("sed -i s/^alice:/malice:/ /etc/passwd", 77, "changed");
    changed_meanwhile("sed -i /^alice:/d /etc/passwd", 77, "1001");
    changed_meanwhile("sed -i s/^users:.*/users:x:100:bob/ /etc/group", 77, "not among");
    changed_meanwhile("chmod g+w /usr/bin/tmux", 78, "/usr/bin/tmux");
}

#[test]
fn what_runs_is_what_the_configuration_says_after_pam_judged() {
    let host = Host::new();
    let set = "install /usr/bin/tmux /usr/local/bin/other; printf '[tmux]\npath = \"/usr/local/bin/other\"\n' >/etc/tmux-gate/config.toml";
    host.write("/usr/local/bin/change", format!("#!/bin/sh\n{set}\n"), 0o755);
    host.pam(&format!("auth required pam_exec.so seteuid quiet /usr/local/bin/change\n{NO_QUESTION}"));
    let mut alice = gate(&host, "alice");
    alice.expect_inside();
    let program = alice.inside("readlink /proc/$(tmux display-message -p '#{pid}')/exe");
    assert!(program.text.starts_with("/usr/local/bin/other"), "{program:?}");
    leave(alice);
}

#[test]
fn given_no_answer_from_the_users_database_nobody_is_taken_for_a_stranger() {
    let host = Host::open();
    let explain = host.spawn("alice", &[GATE, "explain"]);
    host.must(&["sh", "-ec", "sed -i 's/^passwd:.*/passwd: files/' /etc/nsswitch.conf; mv /etc/passwd /etc/passwd.away; ln -s passwd /etc/passwd"]);
    let output = explain.output();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("users database does not answer"), "{output:?}");
    assert_eq!(output.status.code(), Some(75), "{output:?}");
}
