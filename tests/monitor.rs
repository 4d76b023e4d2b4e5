//! The gate while a session runs: its processes, and what the shell and the terminal see of them.

use crate::host::{Attempt, Host, Person};
use std::time::Instant;

/// A host without questions, and somebody inside; the pid of the pane's shell is returned too.
pub(crate) fn inside<'h>(host: &'h Host, alice: &mut Person<'h>) -> (Attempt, String) {
    let attempt = alice.attempt("tmux-gate");
    alice.expect("\x1b[?1049h"); // tmux draws from here on: the prompt of a pane of before is not this one's
    alice.expect_inside();
    host.client();
    (attempt, pane(alice))
}

pub(crate) fn pane(person: &mut Person<'_>) -> String {
    let said = person.inside("echo pane=$$=");
    said.text.split("pane=").last().unwrap().split('=').next().unwrap().to_owned()
}

/// Waits until a gate that was continued in the background has stopped, and the shell has seen it: bash now and then
/// misses a job that stops as soon as it goes on, and is shown it once more.
fn expect_stopped_again(host: &Host, alice: &mut Person<'_>, pid: i32) {
    host.wait_until("a gate that stopped again", || host.state(pid) == Some('T'));
    host.wait_until("a shell that has seen it", || {
        let seen = alice.command("jobs").text.contains("Stopped");
        if !seen {
            host.kill("CONT", &[pid]);
            host.wait_until("a gate that stopped again", || host.state(pid) == Some('T'));
        }
        seen
    });
}

#[test]
fn the_processes_are_those_of_the_manual() {
    let host = Host::with_fixture("auth:ask=Code:\\_");
    let mut alice = host.person("alice");
    let attempt = alice.attempt("tmux-gate main");
    alice.expect("Code: ");
    let shell = alice.running.inner_pid();
    let (front, monitor) = (host.front(), host.monitor());
    assert_eq!((front.ppid, monitor.ppid, monitor.pgrp), (shell, front.pid, front.pgrp));
    assert_eq!((front.uids, monitor.uids), ([1001, 0, 0], [1001, 0, 0]), "pam_rootok looks at the real uid");
    alice.send("x\r");
    alice.expect_inside();
    let (front, monitor, client) = (host.front(), host.monitor(), host.client());
    assert_eq!((front.ppid, monitor.ppid, client.ppid), (shell, front.pid, monitor.pid));
    assert_eq!((front.uids, monitor.uids, client.uids), ([0; 3], [0; 3], [1001; 3]), "\n{}", host.snapshot());
    assert_eq!((client.pgrp, client.session), (client.pid, front.session));
    assert_ne!(client.pgrp, front.pgrp);
    assert_eq!(client.cmdline, "tmux -S /run/tmux-gate/1001/default new-session -A -s main");
    let denied = host.run_as("alice", &["kill", "-STOP", &monitor.pid.to_string(), &front.pid.to_string()]);
    assert!(!denied.status.success(), "alice may stop neither of them now");
    assert_eq!(host.gates().len(), 2);
    alice.leave(&attempt);
    host.expect_all_closed();
}

#[test]
fn suspending_gives_the_shell_back_and_fg_returns_each_time() {
    let host = Host::open();
    let mut alice = host.person("alice");
    let (attempt, before) = inside(&host, &mut alice);
    for round in 0..3 {
        alice.send("\x02\x1a");
        alice.expect("Stopped");
        assert_eq!(alice.status(), 148);
        alice.expect_as_before(&attempt);
        alice.expect_main_screen();
        assert!(alice.command("echo at the $0").text.contains("at the bash"));
        assert_eq!(host.sessions(), "open alice\n");
        if round == 1 {
            alice.command("bg");
            expect_stopped_again(&host, &mut alice, host.front().pid);
            alice.expect_as_before(&attempt);
        }
        alice.send("fg\r");
        alice.expect_inside();
        assert_eq!(pane(&mut alice), before);
    }
    alice.leave(&attempt);
    host.expect_all_closed();
    host.syslog_wait(&["event=detached", "status=0"]);
}

/// A client that stops by itself has told its server to let go of the terminal. One that is stopped from outside has not:
/// were the shell given back, shell and server would both read what is typed, passwords too.
#[test]
fn a_client_that_is_stopped_from_outside_goes_on_and_the_shell_never_shares_the_terminal_with_tmux() {
    let host = Host::open();
    let mut alice = host.person("alice");
    let (attempt, before) = inside(&host, &mut alice);
    let client = host.client().pid;
    for _ in 0..3 {
        host.kill_as("alice", "STOP", &[client]);
        host.wait_until("a client that goes on", || host.state(client) == Some('S'));
        assert_eq!(pane(&mut alice), before);
    }
    alice.expect_not("Stopped");
    alice.leave(&attempt);
    host.expect_all_closed();
}

#[test]
fn a_terminal_that_hangs_up_while_the_gate_is_suspended_ends_everything() {
    let host = Host::open();
    let mut alice = host.person("alice");
    inside(&host, &mut alice);
    alice.send("\x02\x1a");
    alice.expect("Stopped");
    alice.hang_up();
    alice.wait();
    host.expect_sessions("open alice\nclose alice\n");
    host.expect_all_closed();
    host.syslog_wait(&["event=detached", "tty=/dev/pts/"]);
}

#[test]
fn a_new_window_size_reaches_the_pane() {
    let host = Host::open();
    let mut alice = host.person("alice");
    let (attempt, _) = inside(&host, &mut alice);
    for (rows, columns) in [(40, 100), (24, 80), (50, 132)] {
        alice.resize(rows, columns);
        let expected = format!("{} {columns}\n", rows - 1);
        host.wait_until("the new size in the pane", || alice.inside("stty size").text.contains(&expected));
    }
    alice.leave(&attempt);
}

#[test]
fn a_terminal_that_hangs_up_ends_gate_and_client_and_leaves_the_session() {
    let host = Host::open();
    let mut alice = host.person("alice");
    let (_, before) = inside(&host, &mut alice);
    alice.hang_up();
    alice.wait();
    host.expect_sessions("open alice\nclose alice\n");
    host.expect_all_closed();
    host.syslog_wait(&["event=detached", "user=alice", "tty=/dev/pts/", "session=main", "seconds="]);
    let mut alice = host.person("alice");
    let (attempt, after) = inside(&host, &mut alice);
    assert_eq!(after, before);
    alice.leave(&attempt);
}

#[test]
fn the_exit_status_of_tmux_is_passed_on() {
    let host = Host::open();
    let mut alice = host.person("alice");
    for status in [7, 0, 255] {
        let (attempt, _) = inside(&host, &mut alice);
        alice.send(format!("clear; tmux detach-client -E 'exit {status}'\r"));
        assert_eq!(alice.status(), status);
        alice.expect_as_before(&attempt);
        host.syslog_wait(&["event=detached", &format!("status={status}")]);
    }
    host.expect_all_closed();
}

#[test]
fn the_record_says_how_long_somebody_was_in() {
    let host = Host::open();
    host.configure("[authentication]\ntime_limit = \"1s\"\n"); // which ends no session
    let mut alice = host.person("alice");
    let outer = Instant::now();
    let (attempt, _) = inside(&host, &mut alice);
    let inner = Instant::now();
    alice.inside("sleep 2.1");
    let least = inner.elapsed().as_secs();
    alice.leave(&attempt);
    let most = outer.elapsed().as_secs();
    let line = host.syslog_wait(&["event=detached"]);
    let seconds = line.split("seconds=").nth(1).unwrap().split(' ').next().unwrap().parse::<u64>().unwrap();
    assert!(seconds >= 2 && (least..=most).contains(&seconds), "{least} to {most}: {line}");
}

#[test]
fn in_the_background_it_stops_before_it_asks_and_fg_brings_the_question() {
    let host = Host::with_fixture("auth:note=here auth:ask=Code:\\_");
    let mut alice = host.person("alice");
    alice.command("tmux-gate &");
    host.wait_until("a stopped job", || alice.command("jobs").text.contains("Stopped"));
    alice.command("bg");
    let gate = host.gates()[0].pid;
    expect_stopped_again(&host, &mut alice, gate);
    assert!(!host.exists("/var/log/gate-notes"), "PAM was asked in the background");
    let attempt = alice.attempt("fg");
    alice.expect("Code: ");
    alice.send("x\r");
    alice.expect_inside();
    alice.leave(&attempt);
    host.expect_all_closed();
}

#[test]
fn without_the_terminal_on_standard_input_and_output_nobody_is_asked() {
    let host = Host::with_fixture("auth:note=here auth:ask=Code:\\_");
    let mut alice = host.person("alice");
    let other = host.person("alice");
    for line in [
        "echo x | tmux-gate",
        "tmux-gate </dev/null",
        "tmux-gate | cat",
        "tmux-gate >/dev/null",
        &format!("tmux-gate <{}", other.terminal.name),
        &format!("tmux-gate >{}", other.terminal.name),
        "tmux-gate <&-",
        "setsid -w tmux-gate",
    ] {
        let said = alice.command(&format!("set -o pipefail; {line}"));
        assert_eq!((said.status, said.text.contains("ssh -t")), (1, true), "{line}: {said:?}");
    }
    let output = host.spawn("alice", &["tmux-gate"]).output_with(b"x\n");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("ssh -t"), "{output:?}");
    assert!(output.stdout.is_empty());
    assert!(!host.exists("/var/log/gate-notes"), "{}", host.read("/var/log/gate-notes"));
    host.expect_sessions("");
}

#[test]
fn two_terminals_share_a_session_and_each_has_a_gate_of_its_own() {
    let host = Host::open();
    let (mut one, mut two) = (host.person("alice"), host.person("alice"));
    let (first, shell) = inside(&host, &mut one);
    let second = two.attempt("tmux-gate");
    two.expect_inside();
    assert_eq!(pane(&mut two), shell);
    assert_eq!((host.gates().len(), host.clients().len(), host.tmux_servers().len()), (4, 2, 1));
    two.leave(&second);
    assert_eq!(pane(&mut one), shell);
    assert_eq!((host.gates().len(), host.clients().len()), (2, 1));
    one.leave(&first);
    host.expect_sessions("open alice\nopen alice\nclose alice\nclose alice\n");
    host.expect_all_closed();
}

#[test]
fn inside_the_session_another_attach_is_refused_before_any_question() {
    let host = Host::with_fixture("auth:note=here");
    let mut alice = host.person("alice");
    let attempt = alice.attempt("tmux-gate");
    alice.expect_inside();
    let said = alice.inside("tmux-gate; echo status=$?");
    assert!(said.text.contains("status=1") && said.text.contains("pane"), "{said:?}");
    assert_eq!(host.read("/var/log/gate-notes").lines().count(), 1);
    assert_eq!(host.clients().len(), 1);
    alice.leave(&attempt);
    host.expect_all_closed();
}

/// A shell without job control takes no terminal back by itself.
#[test]
fn whoever_reads_next_has_the_terminal() {
    let host = Host::open();
    let mut alice = host.person("alice");
    alice.attempt("sh -c 'tmux-gate; read -r line; echo got=$line'");
    alice.expect_inside();
    alice.send("\x02d");
    alice.expect("[detached");
    host.expect_no_gate();
    alice.send("word\r");
    alice.expect("got=word");
    assert_eq!(alice.status(), 0);
}

#[test]
fn suspended_below_a_shell_without_job_control_the_whole_job_stops() {
    let host = Host::open();
    let mut alice = host.person("alice");
    alice.attempt("sh -c 'tmux-gate; echo af''ter'");
    alice.expect_inside();
    alice.send("\x02\x1a");
    alice.expect("Stopped");
    alice.status();
    alice.send("fg\r");
    alice.expect("[main]");
    alice.send("\x02d");
    alice.expect("after");
    alice.status();
    host.expect_sessions("open alice\nclose alice\n");
    host.expect_all_closed();
}
