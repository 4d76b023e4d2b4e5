//! The caller against the processes of the gate: what he cannot read, trace, signal, stop or outlive.

use crate::host::{GATE, Host, NO_QUESTION, Person, Process};

/// Front and monitor of the only gate.
fn pair(host: &Host) -> (Process, Process) {
    let find = || {
        let gates = host.gates();
        let front = gates.iter().find(|front| gates.iter().any(|monitor| monitor.ppid == front.pid))?.clone();
        let monitor = gates.iter().find(|monitor| monitor.ppid == front.pid)?.clone();
        Some((front, monitor))
    };
    host.wait_until("a front and a monitor", || find().is_some());
    find().unwrap()
}

/// The caller's own attempts, from another terminal, to look into these processes.
fn expect_closed(host: &Host, gates: &[&Process]) {
    for gate in gates {
        for file in ["mem", "environ", "maps", "auxv", "stack", "syscall", "fd", "map_files", "cwd", "exe"] {
            let path = format!("/proc/{}/{file}", gate.pid);
            let look = "if (-d $p && !-l $p) { opendir(my $d, $p) and exit 0 } elsif (-l $p) { readlink $p and exit 0 } \
                        else { open(my $f, '<', $p) and sysread($f, my $x, 1) and exit 0 } exit 9";
            let output = host.run_as("alice", &["perl", "-e", &format!("my $p = '{path}'; {look}")]);
            assert_eq!(output.status.code(), Some(9), "{path}: {output:?}");
        }
        let output = host.run_as("alice", &["seize", &gate.pid.to_string()]);
        assert_eq!(output.status.code(), Some(9), "ptrace: {output:?}");
    }
}

const SEIZE: &str = "#include <stdlib.h>\n#include <sys/ptrace.h>\nint main(int argc, char **argv) { \
                     return ptrace(PTRACE_SEIZE, atoi(argv[1]), 0, 0) ? 9 : 0; }\n";

#[test]
fn the_caller_can_neither_trace_nor_read_front_and_monitor() {
    let host = Host::with_fixture("auth:ask=Go:");
    host.write("/tmp/seize.c", SEIZE, 0o644);
    host.must(&["cc", "-o", "/usr/local/bin/seize", "/tmp/seize.c"]);
    let mut alice = host.person("alice");
    let shell = alice.running.inner_pid().to_string();
    assert_eq!(host.run_as("alice", &["seize", &shell]).status.code(), Some(0), "the attempt itself does not work");
    let attempt = alice.attempt("tmux-gate");
    alice.expect("Go:");
    let (front, monitor) = pair(&host);
    expect_closed(&host, &[&front, &monitor]);
    alice.send("\r");
    alice.expect_inside();
    expect_closed(&host, &[&front, &monitor]);
    alice.leave(&attempt);
}

#[test]
fn once_pam_has_judged_the_caller_cannot_signal_front_or_monitor() {
    let host = Host::new();
    host.pam(NO_QUESTION);
    let mut alice = host.person("alice");
    let attempt = alice.attempt("tmux-gate");
    alice.expect_inside();
    let (front, monitor) = pair(&host);
    assert_eq!((front.uids, monitor.uids), ([0; 3], [0; 3]));
    for gate in [&front, &monitor] {
        let status = host.read(&format!("/proc/{}/status", gate.pid));
        assert!(status.contains("\nUid:\t0\t0\t0\t0\n"), "{status}");
        for signal in ["KILL", "STOP", "TSTP", "TERM", "HUP", "USR1", "SEGV", "ABRT", "QUIT"] {
            for target in [gate.pid, -gate.pgrp] {
                let output = host.run_as("alice", &["kill", "-s", signal, "--", &target.to_string()]);
                assert!(!output.status.success(), "{signal} to {target} was allowed");
            }
        }
    }
    assert_eq!(pair(&host).1.pid, monitor.pid);
    alice.leave(&attempt);
    host.expect_sessions("open alice\nclose alice\n");
}

#[test]
fn a_caller_who_kills_a_part_of_the_gate_before_pam_has_judged_is_not_in() {
    for (part, signals) in [("front", &["KILL", "TERM"][..]), ("monitor", &["KILL", "SEGV", "ABRT"])] {
        for signal in signals {
            let host = Host::with_fixture("auth:ask=Go:");
            let mut alice = host.person("alice");
            alice.attempt("ulimit -c unlimited; cd /tmp; tmux-gate");
            alice.expect("Go:");
            let (front, monitor) = pair(&host);
            let target = if part == "front" { front } else { monitor };
            assert!(host.run_as("alice", &["kill", "-s", signal, &target.pid.to_string()]).status.success());
            host.expect_no_gate(); // a monitor that lost its front throws away what is typed until it has given up
            let said = alice.finished();
            assert_ne!(said.status, 0, "{signal} {part}: {said:?}");
            assert!(!said.text.contains("core dumped"), "{said:?}");
            host.expect_sessions("");
            assert!(host.clients().is_empty());
            if (part, *signal) != ("front", "KILL") {
                host.expect_refusal(&["user=alice"]); // whoever kills the guard leaves nobody to say so
            }
            let cores = host.must(&["find", "/tmp", "/run", "/home", "/var/tmp", "-name", "core*"]);
            assert_eq!(cores, "");
        }
    }
}

#[test]
fn a_monitor_that_the_caller_stopped_is_ended_by_the_time_limit() {
    let host = Host::with_fixture("auth:ask=Go:");
    host.configure("[authentication]\ntime_limit = \"2s\"\n");
    let mut alice = host.person("alice");
    let attempt = alice.attempt("tmux-gate");
    alice.expect("Go:");
    let (_, monitor) = pair(&host);
    assert!(host.run_as("alice", &["kill", "-STOP", &monitor.pid.to_string()]).status.success());
    alice.expect_refused(&attempt, 75, "no verdict within 2s");
    host.expect_refusal(&["user=alice", "no verdict"]);
}

/// Without a shell that would take the terminal: the front is a session leader and its parent does not care.
#[test]
fn a_front_that_the_caller_stopped_does_not_stop_the_time_limit() {
    // Past the limit, for the watch for it is what was stopped: before the kernel ends the monitor, and after it has.
    for (late, stopped) in [(2050, 100), (3000, 1000)] {
        let host = Host::with_fixture("auth:ask=Go:");
        host.configure("[authentication]\ntime_limit = \"2s\"\n");
        let mut alice = host.spawn("alice", &[GATE]).on_terminal();
        alice.expect("Go:");
        let (front, _) = pair(&host);
        assert!(host.run_as("alice", &["kill", "-STOP", &front.pid.to_string()]).status.success());
        std::thread::sleep(std::time::Duration::from_millis(late));
        alice.send("\r");
        let entered = || host.syslog().iter().any(|line| line.contains("event=attached"));
        std::thread::sleep(std::time::Duration::from_millis(stopped));
        assert!(!entered(), "let in after the time limit: {}", host.snapshot());
        assert!(host.run_as("alice", &["kill", "-CONT", &front.pid.to_string()]).status.success());
        assert!(!alice.is_in(), "let in after the time limit: {}", host.snapshot());
        assert_eq!(alice.exit_status(), 77);
        host.expect_sessions("");
    }
}

#[test]
fn a_module_that_hangs_does_not_outlive_a_front_that_the_caller_killed() {
    let host = Host::with_fixture("auth:say=here auth:hang");
    host.configure("[authentication]\ntime_limit = \"2s\"\n");
    let mut alice = host.person("alice");
    alice.attempt("tmux-gate");
    alice.expect("here");
    let (front, _) = pair(&host);
    assert!(host.run_as("alice", &["kill", "-KILL", &front.pid.to_string()]).status.success());
    alice.finished();
    host.expect_no_gate();
}

/// The front ends orphans of modules as root: they must be its own, not what its process had started before it became
/// the gate. Else whoever fails at a second gate kills the first one, and whatever else of root's he has started.
#[test]
fn a_gate_that_fails_kills_no_child_that_its_process_had_before() {
    let host = Host::new();
    host.pam(NO_QUESTION);
    let script = "
        tail -f /dev/null | script -qc /usr/bin/tmux-gate /dev/null >/dev/null 2>&1 &
        while [ ! -e /tmp/go ]; do sleep 0.1; done
        exec /usr/bin/tmux-gate";
    let mut alice = host.spawn("alice", &["bash", "-c", script]).on_terminal();
    host.syslog_wait(&["event=attached"]);
    host.wait_until("the client", || host.clients().len() == 1);
    let (front, monitor) = pair(&host);
    host.with_hanging_service();
    host.write("/tmp/go", "", 0o644);
    assert_eq!(alice.exit_status(), 75);
    let alive = |gate: &Process| host.gates().iter().any(|other| other.pid == gate.pid);
    assert!(alive(&front) && alive(&monitor), "a refused gate killed another one: {}", host.snapshot());
    host.run(&["pkill", "-9", "-f", "^tmux -S"]);
    host.expect_sessions("open alice\nclose alice\n");
    drop(alice);
}

impl Host {
    fn with_hanging_service(&self) {
        self.pam(&crate::host::fixture("auth:hang"));
        self.configure("[authentication]\ntime_limit = \"2s\"\n");
    }
}

#[test]
fn no_secret_is_in_the_record_or_on_the_screen_or_in_what_the_session_sees() {
    let host = Host::new();
    let mut alice = host.person("alice");
    let attempt = alice.enter("alice");
    let search: fn(&mut Person<'_>) -> i32 = |alice| {
        alice.inside("cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null | grep -c 'secre[t]' >/tmp/n").status
    };
    search(&mut alice);
    assert_eq!(host.read("/tmp/n"), "0\n");
    alice.leave(&attempt);
    assert!(!host.syslog().join("\n").contains("secret"));
    alice.expect_not("secret");
}
