//! What the death of each of the gate's processes means for the others, for the terminal and for the session.

use crate::host::{Attempt, Host, NO_QUESTION, Person, WAITS, fixture};
use crate::monitor::{inside, pane};
use std::time::Instant;

/// Nobody is in any more, the terminal is as it was, and the session that went on is found by whoever comes next.
fn expect_session_goes_on(host: &Host, alice: &mut Person<'_>, attempt: &Attempt, pane_before: &str) {
    host.expect_nothing_left();
    alice.expect_as_before(attempt);
    let again = alice.attempt("tmux-gate");
    alice.expect_inside();
    assert_eq!(pane(alice), pane_before, "the pane of the session");
    alice.leave(&again);
}

#[test]
fn whatever_ends_while_the_gate_is_suspended_the_shell_has_its_terminal() {
    for (whom, then, text) in [("monitor", "fg", "monitor died"), ("client", "fg", ""), ("front", "true", "")] {
        let host = Host::open();
        let mut alice = host.person("alice");
        let (attempt, before) = inside(&host, &mut alice);
        alice.send("\x02\x1a");
        alice.expect("Stopped");
        alice.status();
        let pid = [("front", host.front()), ("monitor", host.monitor()), ("client", host.client())];
        host.kill("KILL", &[pid.iter().find(|(role, _)| *role == whom).unwrap().1.pid]);
        let said = alice.command(then);
        alice.expect_main_screen();
        assert!(said.text.contains(text), "{whom}: {said:?}\n{}\n{}", alice.transcript(), host.snapshot());
        expect_session_goes_on(&host, &mut alice, &attempt, &before);
        if whom != "monitor" {
            host.expect_all_closed();
        }
    }
}

#[test]
fn the_death_of_any_of_its_processes_ends_the_gate_and_never_the_session() {
    // Whom it kills, the status that the shell sees, and whether the PAM session can still be closed.
    let table: [(&str, &[&str], i32, bool); 9] = [
        ("KILL", &["monitor"], 1, false),
        ("KILL", &["front"], 137, true),
        ("KILL", &["client"], 1, true),
        ("KILL", &["front", "monitor"], 137, false),
        ("KILL", &["monitor", "front"], 137, false),
        ("TERM", &["front"], 1, true),
        ("HUP", &["front"], 1, true),
        ("TERM", &["monitor"], 1, true),
        ("TERM", &["client"], 1, true),
    ];
    for (signal, whom, status, closed) in table {
        let host = Host::open();
        let mut alice = host.person("alice");
        let (attempt, before) = inside(&host, &mut alice);
        let servers = host.tmux_servers();
        let pid = |role: &str| match role {
            "front" => host.front().pid,
            "monitor" => host.monitor().pid,
            _ => host.client().pid,
        };
        let pids: Vec<i32> = whom.iter().map(|role| pid(role)).collect();
        host.kill(signal, &pids);
        // The tmux server shares the shell's descriptor and makes it non-blocking: a prompt written while it writes is
        // lost, so there is another one.
        host.expect_nothing_left();
        alice.send("\r");
        let said = alice.finished();
        if !whom.contains(&"front") {
            alice.expect_main_screen(); // without a front the server does what it can
        }
        // The one killed second may have ended the gate before.
        let right = said.status == status || (whom == ["monitor", "front"] && said.status == 1);
        assert!(right, "{signal} {whom:?}: {}\n{}", said.status, host.snapshot());
        if signal == "KILL" && whom == ["monitor"] {
            assert!(said.text.contains("monitor died"), "{}\n{}", alice.transcript(), host.snapshot());
            host.syslog_wait(&["event=cut", "user=alice"]);
        }
        expect_session_goes_on(&host, &mut alice, &attempt, &before);
        assert_eq!(host.tmux_servers(), servers, "{signal} {whom:?}");
        let mine = if closed { "open alice\nclose alice\n" } else { "open alice\n" };
        // Whoever kills both in turn may come too late for the second.
        let expected = [format!("{mine}open alice\nclose alice\n"), "open alice\nclose alice\n".repeat(2)];
        let right = host.sessions() == expected[0] || (whom.len() == 2 && host.sessions() == expected[1]);
        assert!(right, "{signal} {whom:?}\n{}", host.snapshot());
        if closed {
            host.syslog_wait(&["event=detached", "session=main", "status=1"]);
        }
        let refused = host.recorded().iter().any(|line| line.contains("event=refused"));
        assert!(!refused, "{signal} {whom:?}\n{}", host.snapshot());
    }
}

#[test]
fn signals_of_the_keyboard_do_not_end_a_session() {
    let host = Host::open();
    let mut alice = host.person("alice");
    let (attempt, before) = inside(&host, &mut alice);
    let (front, monitor) = (host.front().pid, host.monitor().pid);
    for signal in ["INT", "QUIT", "TSTP", "TTIN", "TTOU"] {
        host.kill(signal, &[monitor, front]);
    }
    host.kill("HUP", &[monitor]);
    alice.send("\x03\x1c");
    assert_eq!(pane(&mut alice), before);
    assert_eq!((host.front().pid, host.monitor().pid), (front, monitor));
    alice.leave(&attempt);
    host.expect_sessions("open alice\nclose alice\n");
}

#[test]
fn when_the_tmux_server_ends_the_terminal_is_sane_and_everything_closed() {
    for (signal, status) in [("TERM", None), ("KILL", Some(1))] {
        let host = Host::open();
        let mut alice = host.person("alice");
        let (attempt, _) = inside(&host, &mut alice);
        alice.inside("printf '\\033[?2004h\\033[?1000h\\033[?1006h'"); // as an editor would
        host.kill(signal, &host.tmux_servers());
        let said = alice.finished();
        assert!(status.is_none_or(|status| status == said.status), "{signal}: {said:?}");
        alice.expect_as_before(&attempt);
        alice.expect_main_screen();
        host.expect_sessions("open alice\nclose alice\n");
        host.expect_all_closed();
        host.syslog_wait(&["event=detached", &format!("status={}", said.status)]);
        let (attempt, _) = inside(&host, &mut alice);
        alice.leave(&attempt);
    }
}

#[test]
fn killed_at_any_stage_the_gate_leaves_nothing_behind() {
    for victim in ["front", "monitor"] {
        for stage in ["auth", "account", "setcred", "open", "close"] {
            let host = Host::with_fixture(&format!("{stage}:note=here {stage}:hang"));
            host.configure("[authentication]\ntime_limit = \"4s\"\n");
            let mut alice = host.person("alice");
            let attempt = alice.attempt("tmux-gate");
            if stage == "close" {
                alice.expect_inside();
                // tmux 3.3a leaves on what the pane switches on while it is being detached, and a front that is killed helps nobody.
                alice.expect("\x1b[?2004h");
                alice.send("\x02d");
            }
            host.expect_note(stage);
            let whom = if victim == "front" { host.front() } else { host.monitor() };
            host.kill("KILL", &[whom.pid]);
            let status = alice.status();
            let expected: &[i32] = match (victim, stage) {
                ("front", _) => &[137],
                (_, "close") => &[0, 1],
                _ => &[77],
            };
            assert!(expected.contains(&status), "{victim} at {stage}: {status}\n{}", host.snapshot());
            host.wait_until(&format!("the end of all ({victim} at {stage})"), || host.left_over().is_empty());
            alice.expect_as_before(&attempt);
            alice.expect_main_screen();
            host.pam(NO_QUESTION);
            let (attempt, _) = inside(&host, &mut alice);
            alice.leave(&attempt);
        }
    }
}

#[test]
fn a_module_that_hangs_while_the_session_closes_does_not_keep_the_terminal() {
    let host = Host::with_fixture("close:hang");
    host.configure("[authentication]\ntime_limit = \"2s\"\n");
    let mut alice = host.person("alice");
    let attempt = alice.attempt("tmux-gate");
    alice.expect_inside();
    let before = Instant::now();
    alice.send("\x02d");
    alice.expect("[detached");
    let said = alice.finished();
    assert!(before.elapsed().as_secs() < 5, "{:?}", before.elapsed());
    assert!(!said.text.contains("authentication"), "she was in, and has left: {said:?}");
    alice.expect_as_before(&attempt);
    host.expect_nothing_left();
    let events = host.recorded();
    assert!(events.iter().any(|line| line.contains("event=detached")), "{}", host.snapshot());
    assert!(!events.iter().any(|line| line.contains("event=refused")), "{}", host.snapshot());
}

#[test]
fn a_front_that_died_while_a_module_worked_lets_nobody_stay() {
    for kind in ["auth", "account"] {
        let host = Host::new();
        host.hold();
        host.pam(&format!("{kind} {WAITS}\n{}", fixture("")));
        let mut alice = host.person("alice");
        let attempt = alice.attempt("tmux-gate");
        host.expect_waiting();
        host.kill_as("alice", "KILL", &[host.front().pid]);
        assert_eq!(alice.status(), 137);
        host.release();
        host.expect_all_closed();
        alice.expect_as_before(&attempt);
        assert_eq!(host.processes().iter().filter(|process| process.comm.starts_with("tmux")).count(), 0);
        let authenticated = host.recorded().iter().any(|line| line.contains("event=attached"));
        assert!(!authenticated, "{}", host.snapshot());
    }
}
