//! pam_limits through the gate: what it grants holds in the session, and the gate still closes what it opened.

use crate::host::{Host, UNIX};

/// A host with pam_limits in the session, and these lines for it.
fn limited(lines: &str) -> Host {
    let host = Host::new();
    host.pam(&format!("{UNIX}session required pam_limits.so\n"));
    host.write("/etc/security/limits.conf", lines, 0o644);
    host
}

/// Soft and hard limit of a process, as /proc names them.
fn limit_of(host: &Host, pid: i32, name: &str) -> [String; 2] {
    let text = host.read(&format!("/proc/{pid}/limits"));
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{name}: {text}"));
    let mut words = line.split_whitespace().map(str::to_owned);
    [words.next().unwrap(), words.next().unwrap()]
}

#[test]
fn small_limits_hold_in_the_session_and_the_gate_closes_it_all_the_same() {
    for (lines, name, expected) in [
        ("alice - nofile 20\n", "Max open files", "20"),
        ("alice - as 100000\n", "Max address space", "102400000"),
        ("alice - data 20000\n", "Max data size", "20480000"),
        ("alice - stack 512\n", "Max stack size", "524288"),
        ("alice - sigpending 8\n", "Max pending signals", "8"),
        ("alice - memlock 0\n", "Max locked memory", "0"),
    ] {
        let host = limited(lines);
        let mut alice = host.person("alice");
        let attempt = alice.enter("alice");
        for pid in [host.client().pid, host.tmux_servers()[0]] {
            assert_eq!(limit_of(&host, pid, name), [expected; 2], "{lines}");
        }
        alice.leave(&attempt);
        host.expect_sessions("open alice\nclose alice\n");
        host.expect_all_closed();
        let attempt = alice.enter("alice"); // the session goes on, and she comes back to it
        alice.leave(&attempt);
        host.expect_sessions(&"open alice\nclose alice\n".repeat(2));
    }
}

/// The kernel counts the processes of a uid on the whole machine, so this one is nobody else's.
fn add_nina(host: &Host) {
    host.must(&["useradd", "--create-home", "--shell", "/bin/bash", "--uid", "21001", "nina"]);
    host.must(&["sh", "-ec", "echo \"nina:nina's secret\" | chpasswd; cp ~alice/.bash_profile ~nina/"]);
}

#[test]
fn too_few_processes_for_a_client_or_a_server_end_in_a_closed_session() {
    let host = limited("");
    add_nina(&host);
    let mut nina = host.person("nina"); // whose shell is a process of hers too
    let why = "tmux-gate: /usr/bin/tmux: cannot be run (Resource temporarily unavailable";
    let pair = "open nina\nclose nina\n";
    for (times, (limit, status, why)) in (1..).zip([(0, 69, why), (1, 1, "")]) {
        host.write("/etc/security/limits.conf", format!("nina - nproc {limit}\n"), 0o644);
        let attempt = nina.attempt("tmux-gate");
        nina.expect("Password: ");
        nina.send("nina's secret\r");
        let said = nina.finished();
        assert!(said.status == status && said.text.contains(why), "{limit}: {said:?}");
        nina.expect_as_before(&attempt);
        host.syslog_wait(&["event=detached", "user=nina", &format!("status={status}")]);
        host.expect_sessions(&pair.repeat(times));
        host.expect_all_closed();
    }
    host.write("/etc/security/limits.conf", "nina - nproc 10\n", 0o644);
    let attempt = nina.enter("nina");
    assert_eq!(limit_of(&host, host.client().pid, "Max processes"), ["10"; 2]);
    nina.leave(&attempt);
    host.expect_sessions(&pair.repeat(3));
}

/// tmux records its panes as log-ins where the host keeps /run/utmp; the gate records none.
#[test]
fn maxlogins_counts_panes_and_what_it_says_reaches_the_person() {
    let host = limited("alice - maxlogins 1\n");
    host.must(&["install", "-m", "664", "-g", "utmp", "/dev/null", "/run/utmp"]);
    let mut alice = host.person("alice");
    let attempt = alice.enter("alice");
    host.wait_until("a pane in utmp", || host.must(&["who"]).lines().count() == 1);
    alice.leave(&attempt);
    host.expect_sessions("open alice\nclose alice\n");
    let attempt = alice.attempt("tmux-gate");
    alice.expect("Password: ");
    alice.send("alice's secret\r");
    let said = alice.expect_refused(&attempt, 77, "the PAM session could not be opened");
    assert!(said.contains("There were too many logins for 'alice'."), "{said:?}");
    host.syslog_wait(&["event=refused", "user=alice", "pam=PERM_DENIED"]);
    host.expect_sessions(&"open alice\nclose alice\n".repeat(2));
    host.expect_all_closed();

    host.write("/etc/security/limits.conf", "alice - maxlogins 2\n", 0o644);
    let attempt = alice.enter("alice");
    alice.leave(&attempt);
    host.expect_sessions(&"open alice\nclose alice\n".repeat(3));
}

#[test]
fn limits_of_a_group_hold_for_its_members_in_the_users_database() {
    let host = limited("@ops hard nofile 333\n@ops soft nofile 222\n");
    host.must(&["groupadd", "ops"]);
    let mut alice = host.person("alice"); // whose processes outside are in the group nowhere
    host.must(&["usermod", "-aG", "ops", "alice"]);
    let attempt = alice.enter("alice");
    assert_eq!(limit_of(&host, host.client().pid, "Max open files"), ["222", "333"]);
    alice.leave(&attempt);
    host.must(&["gpasswd", "-d", "alice", "ops"]);
    let attempt = alice.enter("alice");
    assert_ne!(limit_of(&host, host.client().pid, "Max open files")[0], "222");
    assert_eq!(limit_of(&host, host.tmux_servers()[0], "Max open files"), ["222", "333"]); // the server's are as it began
    alice.leave(&attempt);
    host.expect_sessions(&"open alice\nclose alice\n".repeat(2));
}
/// pam_limits limits the gate as well, which then has to close what was opened and to write down why.
#[test]
fn limits_too_small_for_any_program_keep_her_out_on_record_and_leave_nothing_open() {
    for limit in ["nofile 1", "nofile 4", "nofile 8", "as 1", "data 1", "stack 1"] {
        let host = Host::new();
        let failing = "session required pam_exec.so quiet /bin/true\n"; // which these limits do not let run
        host.pam_recorded_first(&format!("{UNIX}session required pam_limits.so\n{failing}"));
        host.write("/etc/security/limits.conf", format!("alice soft {limit}\n"), 0o644);
        let mut alice = host.person("alice");
        let attempt = alice.attempt("tmux-gate");
        alice.expect("Password: ");
        alice.send("alice's secret\r");
        alice.expect_refused(&attempt, 77, "the PAM session could not be opened");
        host.expect_refusal(&["user=alice", "pam="]);
        host.expect_sessions("open alice\nclose alice\n");
    }
}
