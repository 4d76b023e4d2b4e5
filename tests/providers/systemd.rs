//! pam_systemd, logind and KillUserProcesses: what becomes of the tmux server at detach and at logout.
//!
//! Debian's default service file contains common-session, and so pam_systemd; so does sshd's.

use crate::host::{Host, Person};
use std::time::{Duration, Instant};

const SERVICE: &str = "/etc/pam.d/tmux-gate";
/// Beside the default file: notes what becomes of credentials and session.
const NOTES: &str = "\
auth    optional pam_fixture.so setcred:note=. delete:note=.
session optional pam_fixture.so open:note=. close:note=.
";
/// The second is for the user manager, which else waits ten seconds.
const KILLS: &str = "KillUserProcesses=yes\nUserStopDelaySec=0\n";
/// A tmux whose server is in the care of the person's user manager.
const LASTING: &str = r#"#!/bin/sh -p
case " $* " in
*" new-session "*) XDG_RUNTIME_DIR=/run/user/$(id -u) exec systemd-run --quiet --user --scope /usr/bin/tmux "$@" ;;
esac
exec /usr/bin/tmux "$@"
"#;

/// A booted host with the default service, these settings of logind, and its ssh server.
fn host(logind: &str, sshd: &str) -> Host {
    let host = Host::booted();
    host.pam_exactly(&format!("{}{NOTES}", host.read(SERVICE)));
    host.logind(logind);
    host.ssh_service(sshd);
    host
}

/// The same, on which sshd makes no session of logind's: the gate's pam_systemd does.
fn host_without_sshds_sessions(logind: &str) -> Host {
    let host = host(logind, "");
    let service = host.read("/etc/pam.d/sshd");
    let without = service.replace("@include common-session\n", "session required pam_unix.so\n");
    assert_ne!(service, without);
    host.write("/etc/pam.d/sshd", without, 0o644);
    host
}

/// What became of credentials and sessions so far: `setcred`, `open`, `close` or `delete` for each call.
fn calls(host: &Host) -> Vec<String> {
    host.expect_no_gate();
    let notes = host.read("/var/log/gate-notes");
    notes.lines().map(|line| line.split(' ').next().unwrap().to_owned()).collect()
}

/// As often somebody was in, and is out again in order.
fn expect_passages(host: &Host, count: usize) {
    let calls = calls(host);
    for name in ["setcred", "open", "close", "delete"] {
        assert_eq!(calls.iter().filter(|call| *call == name).count(), count, "{name} in {calls:?}");
    }
    let events = host.recorded().join("\n");
    let counted =
        ["attached", "detached", "cut", "unclosed"].map(|event| events.matches(&format!("={event} ")).count());
    assert_eq!(counted, [count, count, 0, 0], "{events}");
}

fn server(host: &Host) -> i32 {
    let servers = host.tmux_servers();
    assert_eq!(servers.len(), 1, "{}", host.snapshot());
    servers[0]
}

fn expect_no_server(host: &Host) {
    host.wait_until("the end of the tmux server", || host.tmux_servers().is_empty());
}

/// A variable of the pane's shell; empty if it is not set.
fn variable(person: &mut Person, name: &str) -> String {
    person.inside(&format!("echo \"<${name}>\"")).text.trim().trim_matches(['<', '>']).to_owned()
}

#[test]
#[ignore = "needs a machine on which systemd can be started; see make check-identity"]
fn a_booted_host_leaves_no_process_and_no_control_group_behind() {
    let folder = |path: &str| std::path::Path::new(path).is_dir();
    let host = Host::booted();
    assert!(!host.run(&["sh", "-c", "f=/proc/sys/kernel/core_uses_pid; v=$(cat $f); echo $v >$f"]).status.success());
    let group = host.own_control_group();
    assert!(folder(&group));
    drop(host);
    assert!(!folder(&group));

    let mut host = Host::booted();
    let orphaned = host.own_control_group();
    host.kill_holder();
    drop(host);
    drop(Host::booted());
    assert!(!folder(&orphaned), "{orphaned}: the next host has not removed it");
}

#[test]
#[ignore = "needs a machine on which systemd can be started; see make check-identity"]
fn given_logind_does_not_kill_the_tmux_server_outlives_the_login_and_is_found_again() {
    let host = host("KillUserProcesses=no\n", "");
    let mut alice = host.by_ssh("alice");
    let attempt = alice.enter("alice");
    let first_server = server(&host);
    // The gate's pam_systemd finds itself in the session that sshd's made, makes none and gives no variables.
    assert_eq!(host.logins(), ["alice sshd active"]);
    let groups = [first_server, host.monitor().pid, host.front().pid].map(|pid| host.control_group(pid));
    assert!(groups[0].starts_with("/user.slice/user-1001.slice/session-"), "{groups:?}");
    assert!(groups.iter().all(|group| *group == groups[0]), "{groups:?}");
    assert_eq!(["XDG_SESSION_ID", "XDG_RUNTIME_DIR"].map(|name| variable(&mut alice, name)), ["", ""]);
    alice.leave(&attempt);
    alice.log_out();
    host.expect_logins(&["alice sshd closing"]);
    assert!(host.exists("/run/user/1001"));

    let mut alice = host.by_ssh("alice");
    alice.enter("alice");
    assert_eq!(host.tmux_servers(), [first_server]);
    assert_eq!(host.logins(), ["alice sshd closing", "alice sshd active"]);
    alice.send("tmux kill-server\r");
    alice.expect("[server exited]");
    host.expect_logins(&["alice sshd active"]);
    alice.log_out();
    host.expect_logins(&[]);
    expect_passages(&host, 2);
}

#[test]
#[ignore = "needs a machine on which systemd can be started; see make check-identity"]
fn given_logind_kills_the_tmux_server_outlives_the_detach_and_dies_with_the_login_it_was_started_in() {
    let host = host(KILLS, "");
    let mut alice = host.by_ssh("alice");
    let attempt = alice.enter("alice");
    let first_server = server(&host);
    alice.leave(&attempt);
    expect_passages(&host, 1);
    assert_eq!(host.tmux_servers(), [first_server]);
    let mut elsewhere = host.by_ssh("alice");
    let attempt = elsewhere.enter("alice");
    assert_eq!(host.tmux_servers(), [first_server]);
    alice.log_out();
    expect_no_server(&host);
    elsewhere.expect("[server exited]");
    assert_eq!(elsewhere.termios(), attempt.before);
    host.expect_logins(&["alice sshd active"]);
    expect_passages(&host, 2);

    // The line is lost: sshd and logind end the gate, and it still closes what it opened.
    elsewhere.enter("alice");
    elsewhere.hang_up();
    expect_no_server(&host);
    host.expect_logins(&[]);
    expect_passages(&host, 3);
}

#[test]
#[ignore = "needs a machine on which systemd can be started; see make check-identity"]
fn given_a_forced_command_detaching_is_logging_out() {
    let host = host("KillUserProcesses=no\n", "Match User alice\n\tForceCommand /usr/bin/tmux-gate\n");
    let pass = || {
        let mut alice = host.ssh_to("alice", &[]);
        alice.pass_as_alice();
        let server = server(&host);
        alice.send("\x02d");
        assert_eq!(alice.exit_status(), 0);
        server
    };
    let first_server = pass();
    host.expect_logins(&["alice sshd closing"]);
    assert_eq!(pass(), first_server);
    host.expect_logins(&["alice sshd closing"]);
    host.kill("KILL", &[first_server]);
    host.expect_logins(&[]);
    host.logind(KILLS);
    let second_server = pass();
    expect_no_server(&host);
    assert_ne!(pass(), second_server);
    expect_no_server(&host);
    host.expect_logins(&[]);
    expect_passages(&host, 4);
}

#[test]
#[ignore = "needs a machine on which systemd can be started; see make check-identity"]
fn given_only_the_gate_makes_a_session_and_logind_kills_the_server_dies_at_the_first_detach() {
    let host = host_without_sshds_sessions(KILLS);
    let mut alice = host.by_ssh("alice");
    assert!(host.logins().is_empty());
    let attempt = alice.enter("alice");
    assert_eq!(host.logins(), ["alice tmux-gate active"]);
    assert_eq!(host.control_group(server(&host)), host.control_group(host.monitor().pid));
    assert_eq!(host.control_group(host.front().pid), "/system.slice/ssh.service");
    alice.leave(&attempt);
    expect_no_server(&host);
    host.expect_logins(&[]);
    expect_passages(&host, 1);

    // Also while somebody else is attached to it.
    let attempt = alice.enter("alice");
    let mut elsewhere = host.by_ssh("alice");
    let other = elsewhere.enter("alice");
    assert_eq!(host.logins(), ["alice tmux-gate active", "alice tmux-gate active"]);
    alice.leave(&attempt);
    elsewhere.expect("[server exited]");
    assert_eq!(elsewhere.termios(), other.before);
    host.expect_logins(&[]);
    expect_passages(&host, 3);
}

#[test]
#[ignore = "needs a machine on which systemd can be started; see make check-identity"]
fn given_only_the_gate_makes_a_session_its_variables_are_those_of_the_first_entry() {
    let host = host_without_sshds_sessions("KillUserProcesses=no\n");
    let mut alice = host.by_ssh("alice");
    let attempt = alice.enter("alice");
    let first = variable(&mut alice, "XDG_SESSION_ID");
    assert_eq!(host.control_group(server(&host)), format!("/user.slice/user-1001.slice/session-{first}.scope"));
    assert_eq!(variable(&mut alice, "XDG_RUNTIME_DIR"), "/run/user/1001");
    alice.leave(&attempt);
    host.expect_logins(&["alice tmux-gate closing"]);

    let attempt = alice.enter("alice");
    assert_eq!(host.logins(), ["alice tmux-gate closing", "alice tmux-gate active"]);
    alice.send("tmux new-window\r");
    alice.expect_screen("1:bash*");
    assert_eq!(variable(&mut alice, "XDG_SESSION_ID"), first);
    let client = host.control_group(host.client().pid);
    assert!(!client.contains(&format!("session-{first}.scope")), "{client}");
    assert!(alice.inside("[ -w $XDG_RUNTIME_DIR ]").status == 0);
    alice.leave(&attempt);
    host.expect_logins(&["alice tmux-gate closing"]);
    host.kill("KILL", &host.tmux_servers());
    host.expect_logins(&[]);
    expect_passages(&host, 2);
}

#[test]
#[ignore = "needs a machine on which systemd can be started; see make check-identity"]
fn given_logind_kills_lingering_alone_keeps_no_server_and_an_exception_in_logind_conf_does() {
    let host = host(KILLS, "");
    let visit = |user: &str| {
        let mut person = host.by_ssh(user);
        let attempt = person.enter(user);
        person.leave(&attempt);
        person.log_out();
    };
    host.must(&["loginctl", "enable-linger", "alice"]);
    visit("alice");
    expect_no_server(&host);
    host.expect_logins(&[]);

    host.must(&["loginctl", "disable-linger", "alice"]);
    host.logind("KillUserProcesses=yes\nKillExcludeUsers=root alice\n");
    visit("alice");
    let hers = server(&host);
    visit("bob");
    host.expect_logins(&["alice sshd closing"]);
    assert_eq!(host.tmux_servers(), [hers]);
    visit("alice");
    assert_eq!(host.tmux_servers(), [hers]);
    expect_passages(&host, 4);
}

#[test]
#[ignore = "needs a machine on which systemd can be started; see make check-identity"]
fn given_logind_kills_a_server_in_the_care_of_a_lingering_user_manager_stays() {
    for host in [host(KILLS, ""), host_without_sshds_sessions(KILLS)] {
        host.write("/etc/tmux-gate/lasting-tmux", LASTING, 0o755);
        host.configure("[tmux]\npath = \"/etc/tmux-gate/lasting-tmux\"\n");
        host.must(&["loginctl", "enable-linger", "alice"]);
        let mut alice = host.by_ssh("alice");
        let attempt = alice.enter("alice");
        let first_server = server(&host);
        let group = host.control_group(first_server);
        assert!(group.starts_with("/user.slice/user-1001.slice/user@1001.service/app.slice/run-"), "{group}");
        assert_eq!(variable(&mut alice, "XDG_RUNTIME_DIR"), "/run/user/1001");
        alice.leave(&attempt);
        alice.log_out();
        host.expect_logins(&[]);

        let mut alice = host.by_ssh("alice");
        assert!(alice.command("tmux-gate list").text.starts_with("main: 1 window"));
        let attempt = alice.enter("alice");
        assert_eq!(host.tmux_servers(), [first_server]);
        alice.leave(&attempt);
        alice.log_out();
        host.expect_logins(&[]);
        assert_eq!(host.tmux_servers(), [first_server]);

        // It is her user manager that keeps it, and that goes with her last login unless she lingers.
        host.must(&["loginctl", "disable-linger", "alice"]);
        expect_no_server(&host);
        expect_passages(&host, 2);
    }
}

#[test]
#[ignore = "needs a machine on which systemd can be started; see make check-identity"]
fn given_logind_kills_a_server_in_a_scope_of_the_gates_own_stays() {
    for (host, service) in [(host(KILLS, ""), "sshd"), (host_without_sshds_sessions(KILLS), "tmux-gate")] {
        host.follow("own-scope");
        let visit = || {
            let mut alice = host.by_ssh("alice");
            let attempt = alice.enter("alice");
            let monitor = host.control_group(host.monitor().pid);
            assert!(monitor.starts_with("/user.slice/user-1001.slice/tmux-gate-"), "{monitor}");
            assert_eq!(host.control_group(host.client().pid), monitor);
            assert_eq!(host.logins(), [format!("alice {service} active")]);
            alice.leave(&attempt);
            alice.log_out();
            host.expect_logins(&[]);
            (server(&host), monitor)
        };
        let (first_server, its_group) = visit();
        assert_eq!(host.control_group(first_server), its_group);
        host.wait_until("the end of the runtime directory", || !host.exists("/run/user/1001"));
        let (second_server, other_group) = visit();
        assert_eq!(first_server, second_server);
        assert_ne!(its_group, other_group);
        let scopes = || host.must(&["systemctl", "--no-legend", "list-units", "tmux-gate-*.scope"]).lines().count();
        host.wait_until("one scope", || scopes() == 1);
        host.kill("KILL", &[first_server]);
        host.wait_until("no scope", || scopes() == 0);
        expect_passages(&host, 2);
    }
}

#[test]
#[ignore = "needs a machine on which systemd can be started; see make check-identity"]
fn given_a_logind_that_hangs_the_gate_neither_opens_nor_closes_longer_than_its_limit() {
    let host = host_without_sshds_sessions(KILLS);
    host.configure("[authentication]\ntime_limit = \"2s\"\n");
    let logind = |signal: &str| host.must(&["systemctl", "kill", "-s", signal, "systemd-logind"]);
    let mut alice = host.by_ssh("alice");
    logind("STOP");
    let attempt = alice.attempt("tmux-gate");
    alice.expect("Password: ");
    alice.send("alice's secret\r");
    alice.expect_refused(&attempt, 75, "not opened within 2s");
    logind("CONT");
    host.expect_logins(&[]);

    let attempt = alice.enter("alice");
    logind("STOP");
    alice.leave(&attempt);
    host.syslog_wait(&["event=unclosed", "user=alice"]);
    logind("CONT");
    host.expect_logins(&[]);
    expect_no_server(&host);
    host.expect_no_gate();
}

#[test]
fn given_no_systemd_pam_systemd_lets_pass_and_does_not_wait() {
    let host = Host::layered("systemd");
    host.pam_exactly(&format!("{}{NOTES}", host.read(SERVICE)));
    let mut alice = host.person("alice");
    let mut pass = || {
        let start = Instant::now();
        let attempt = alice.enter("alice");
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
        alice.leave(&attempt);
    };
    pass();
    expect_passages(&host, 1);
    assert!(!host.syslog().join("\n").contains("pam_systemd"));

    // logind's folder, but no bus: an error, which is fatal only where the administrator says so.
    host.must(&["mkdir", "-p", "/run/systemd/seats"]);
    pass();
    host.syslog_wait(&["pam_systemd(tmux-gate:session): Failed to connect to system bus"]);
    expect_passages(&host, 2);
    host.must(&["sed", "-i", "/pam_systemd/s/optional/required/", "/etc/pam.d/common-session"]);
    let attempt = alice.attempt("tmux-gate");
    alice.expect("Password: ");
    alice.send("alice's secret\r");
    alice.expect_refused(&attempt, 77, "the PAM session could not be opened");
    host.syslog_wait(&["event=refused", "user=alice", "pam=SERVICE_ERR"]);
    let calls = calls(&host);
    let count = |name| calls.iter().filter(|call| *call == name).count();
    assert_eq!((count("open"), count("close"), calls.last().unwrap().as_str()), (3, 3, "delete"), "{calls:?}");
}
