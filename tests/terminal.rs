//! The terminal at the prompt: nothing typed is seen, read twice or left over, and the modes come back in every ending.

use crate::host::{Host, UNIX, WAITS, fixture};

const ANSWERS: &str = "/var/log/gate-answers";

fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

/// A module that works until it is let go, then asks; and one that works again when the answer is given.
fn slow_question(host: &Host) {
    host.hold();
    host.pam(&format!("auth {WAITS}\n{}", fixture("auth:ask=Code:\\_")));
}

#[test]
fn an_answer_of_512_bytes_is_refused_and_none_of_it_reaches_the_shell() {
    let host = Host::with_fixture("auth:ask=Code:\\_");
    for length in [512, 20_000] {
        let mut alice = host.person("alice");
        let attempt = alice.attempt("tmux-gate");
        alice.expect("Code: ");
        alice.send("secret; ".repeat(length / 8)); // a paste by mistake
        alice.send("\r");
        alice.expect_refused(&attempt, 77, "511");
        alice.expect_never_shown("secret; ");
    }
    assert!(!host.exists(ANSWERS), "{}", host.read(ANSWERS));
    host.expect_sessions("");
}

#[test]
fn given_ctrl_z_while_a_module_works_the_gate_goes_on() {
    let host = Host::new();
    slow_question(&host);
    let mut alice = host.person("alice");
    let attempt = alice.attempt("tmux-gate");
    host.expect_waiting();
    alice.send("\x1a");
    alice.expect("^Z");
    host.release();
    alice.expect("Code: ");
    alice.send("1\x1a2\r");
    alice.expect_inside();
    alice.leave(&attempt);
    assert_eq!(host.read(ANSWERS), format!("{}\n", hex("12")));
    host.expect_all_closed();
}

#[test]
fn given_that_the_terminal_hangs_up_at_the_prompt_everything_ends_and_is_recorded_once() {
    let host = Host::with_fixture("auth:ask=Code:\\_ auth:ask=again:\\_");
    for round in 1..=10 {
        let mut alice = host.person("alice");
        alice.attempt("tmux-gate");
        alice.expect("Code: ");
        alice.send("half");
        alice.hang_up();
        alice.wait();
        host.expect_all_closed();
        let events = host.recorded();
        assert_eq!(events.len(), round, "{}", host.snapshot());
        for part in ["event=refused", "user=alice", "tty=/dev/pts/"] {
            assert!(events[round - 1].contains(part), "{part:?} in {}", events[round - 1]);
        }
    }
}

#[test]
fn no_password_is_ever_shown_right_or_wrong() {
    let host = Host::new();
    host.pam(UNIX);
    let mut alice = host.person("alice");
    let attempt = alice.attempt("tmux-gate");
    alice.expect("Password: ");
    alice.send("mistyped7\x7f9\r");
    alice.expect("Password: ");
    alice.send("alice's secret\r");
    alice.expect_inside();
    alice.leave(&attempt);
    alice.expect_never_shown("mistyped7");
    alice.expect_never_shown("secret");
    assert!(!host.syslog().join("\n").contains("secret"));
}

#[test]
fn what_is_typed_ahead_reaches_neither_the_question_nor_the_session() {
    let host = Host::new();
    host.hold();
    host.pam(&format!("auth {WAITS}\n{}account {WAITS}\n", fixture("auth:ask=Code:\\_")));
    let mut alice = host.person("alice");
    let attempt = alice.attempt("tmux-gate");
    host.expect_waiting();
    alice.send("too early\r");
    alice.expect("too early\r\n");
    host.release();
    alice.expect("Code: ");
    host.hold();
    alice.send("answer\r");
    host.expect_waiting();
    alice.send("touch typed-ahead\r");
    alice.expect("touch typed-ahead\r\n");
    host.release();
    alice.expect_inside();
    alice.inside("true");
    assert!(!host.exists("/home/alice/typed-ahead"), "the pane ran what was typed before it was there");
    alice.leave(&attempt);
    assert_eq!(host.read(ANSWERS), format!("{}\n", hex("answer")));
}

#[test]
fn the_terminal_is_as_it_was_whoever_is_killed_at_the_prompt_and_nothing_typed_is_left() {
    const BOTH: [&str; 2] = ["front", "monitor"];
    let host = Host::with_fixture("auth:ask=Code:\\_");
    let mut alice = host.person("alice");
    for (signal, whom, status) in [
        ("KILL", &BOTH[..1], 137),
        ("KILL", &BOTH[1..], 77),
        ("KILL", &["front", "monitor"], 137),
        ("KILL", &["monitor", "front"], 137),
        ("TERM", &BOTH[..1], 77),
        ("HUP", &BOTH[..1], 77),
        ("INT", &BOTH[..1], 77),
        ("QUIT", &BOTH[..1], 77),
    ] {
        let before = host.recorded().len();
        let attempt = alice.attempt("tmux-gate");
        alice.expect("Code: ");
        let (front, monitor) = (host.front().pid, host.monitor().pid);
        if whom.len() == 1 {
            // Who is left throws it away. Nobody can keep it from the shell while it was not read: so it is waited for.
            let read = || host.read(&format!("/proc/{monitor}/io"))["rchar: ".len()..].lines().next().unwrap().parse();
            let before: u64 = read().unwrap();
            alice.send("jq8xz4wk");
            host.wait_until("what was typed is read", || read().unwrap() >= before + 8);
        }
        let pids: Vec<i32> = whom.iter().map(|role| if *role == "front" { front } else { monitor }).collect();
        host.kill_as("alice", signal, &pids); // his real uid is theirs, so he may
        host.expect_no_gate(); // a monitor that lost its front throws away what is typed until it has given up
        let shown = alice.status();
        // The one killed second may have ended before.
        let right = shown == status || (whom[..] == ["monitor", "front"] && shown == 77);
        assert!(right, "{signal} {whom:?}: {shown}");
        alice.expect_as_before(&attempt);
        alice.expect_never_shown("jq8xz4wk");
        let recorded = host.recorded().len() - before;
        let right = if whom.len() == 2 { recorded <= 1 } else { recorded == 1 };
        assert!(right, "{signal} {whom:?}: {}", host.snapshot());
    }
    host.expect_all_closed();
    host.expect_sessions("");
}

#[test]
fn modes_that_a_person_chose_are_found_again() {
    let host = Host::with_fixture("auth:ask=Code:\\_");
    let mut alice = host.person("alice");
    for modes in ["tostop", "erase ^H intr ^G eof ^Y", "-icanon min 1 time 0", "-opost -isig", "noflsh ixoff iutf8"] {
        assert_eq!(alice.command(&format!("stty {modes}")).status, 0);
        let attempt = alice.attempt("tmux-gate");
        alice.expect("Code: ");
        alice.send("x\r");
        alice.expect_inside();
        alice.leave(&attempt);
        let attempt = alice.attempt("tmux-gate");
        alice.expect("Code: ");
        alice.send("half\x03");
        alice.expect_refused(&attempt, 77, "interrupted");
        alice.command("stty sane");
    }
    host.expect_all_closed();
}

#[test]
fn no_process_of_a_running_session_holds_the_password() {
    let host = Host::new();
    host.pam(UNIX);
    host.must(&["sh", "-c", "echo 'alice:Zq7-kept-by-nobody' | chpasswd"]);
    let mut alice = host.person("alice");
    let attempt = alice.attempt("tmux-gate");
    alice.expect("Password: ");
    alice.send("Zq7-kept-by-nobody\r");
    alice.expect_inside();
    let mut searched = vec![host.front(), host.monitor(), host.client()];
    searched.extend(host.processes().into_iter().filter(|process| process.is_tmux_server()));
    assert_eq!(searched.len(), 4);
    for process in searched {
        assert!(host.memory_holds(process.pid, b"alice") > 0, "the search finds what is there: {process}");
        for part in ["Zq7-kept", "kept-by-nobody"] {
            assert_eq!(host.memory_holds(process.pid, part.as_bytes()), 0, "{part} in {process}");
        }
    }
    alice.leave(&attempt);
}
