//! PAM modules that hang, crash, lie about the user, ask and talk: nobody is in who should not be, and whoever is has a
//! sane terminal and a session that is closed.

use crate::host::{Host, NO_QUESTION, fixture};

#[test]
fn given_a_module_that_changes_the_user_nobody_is_in() {
    for call in ["auth", "account", "password"] {
        for name in ["bob", "root", "ALICE", ""] {
            let expired = if call == "password" { "account:fail=12 " } else { "" }; // PAM_NEW_AUTHTOK_REQD
            let next = if call == "auth" { "account" } else { "setcred" }; // nobody is asked about the other user
            let host = Host::with_fixture(&format!("{expired}{call}:setuser={name} {next}:note=asked"));
            let mut alice = host.person("alice");
            let attempt = alice.attempt("tmux-gate");
            alice.expect_refused(&attempt, 77, "changed the user");
            host.expect_refusal(&["user=alice", "changed the user"]);
            host.expect_sessions("");
            assert!(!host.exists("/var/log/gate-notes"), "after {call}: {}", host.read("/var/log/gate-notes"));
        }
    }
}

#[test]
fn given_a_module_that_changes_the_user_while_the_session_opens_it_is_closed_as_the_caller() {
    for name in ["bob", "root", ""] {
        let host = Host::new();
        host.pam_recorded_first(&fixture(&format!("open:setuser={name}")));
        let mut alice = host.person("alice");
        let attempt = alice.attempt("tmux-gate");
        alice.expect_refused(&attempt, 77, "changed the user");
        host.expect_refusal(&["user=alice", "changed the user"]);
        host.expect_sessions("open alice\nclose alice\n");
        alice.expect_not("login:");
    }
}

#[test]
fn given_a_module_that_hangs_with_all_signals_blocked_the_time_limit_holds() {
    for call in ["auth", "account", "setcred", "open"] {
        let host = Host::with_fixture(&format!("{call}:hang"));
        host.configure("[authentication]\ntime_limit = \"2s\"\n");
        let mut alice = host.person("alice");
        let attempt = alice.attempt("tmux-gate");
        // It was not the person who took so long.
        let judging = matches!(call, "auth" | "account");
        let what = if judging { "no verdict within 2s" } else { "not opened within 2s" };
        alice.expect_refused(&attempt, 75, what);
        host.expect_refusal(&["user=alice", what]);
        host.expect_sessions("");
    }
}

#[test]
fn given_a_module_that_crashes_or_exits_nobody_is_in_and_the_terminal_is_sane() {
    for how in ["crash", "exit0"] {
        for call in ["auth", "account", "setcred", "open"] {
            let host = Host::with_fixture(&format!("{call}:{how}"));
            let mut alice = host.person("alice");
            let attempt = alice.attempt("tmux-gate");
            let what = if matches!(call, "auth" | "account") { "without a verdict" } else { "a module crashed" };
            alice.expect_refused(&attempt, 77, what);
            host.expect_refusal(&["user=alice", what]);
            host.expect_sessions("");
        }
    }
}

#[test]
fn given_a_module_that_crashes_after_a_hidden_prompt_the_terminal_echoes_again() {
    let host = Host::with_fixture("auth:ask=hidden: auth:crash");
    let mut alice = host.person("alice");
    let attempt = alice.attempt("tmux-gate");
    alice.expect("hidden:");
    alice.send("one\r");
    alice.expect_refused(&attempt, 77, "without a verdict");
    host.expect_refusal(&["user=alice"]);
    alice.expect_not("one");
}

#[test]
fn given_a_module_that_fails_later_each_call_is_checked() {
    let opened = "open alice\nclose alice\n"; // by the modules around the one that failed
    for (call, code, sessions) in [("account", 6, ""), ("setcred", 17, ""), ("open", 14, opened)] {
        let host = Host::with_fixture(&format!("{call}:fail={code}"));
        let mut alice = host.person("alice");
        let attempt = alice.attempt("tmux-gate");
        alice.expect_refused(&attempt, 77, "");
        host.expect_refusal(&["user=alice", "pam="]);
        host.expect_sessions(sessions);
    }
}

#[test]
fn given_that_the_session_does_not_close_properly_the_person_still_gets_her_terminal_back() {
    let quietly = [("close:fail=14 delete:note=x", false), ("delete:fail=17", false)];
    let unclosed = [("close:crash", true), ("close:exit0", true), ("close:hang", true), ("delete:crash", true)];
    for (how, recorded) in quietly.into_iter().chain(unclosed) {
        let host = Host::with_fixture(how);
        host.configure("[authentication]\ntime_limit = \"2s\"\n"); // for closing as well
        let mut alice = host.person("alice");
        let attempt = alice.attempt("tmux-gate");
        alice.expect_inside();
        alice.send("\x02d");
        alice.expect("[detached");
        assert_eq!(alice.status(), 0, "{how}");
        assert_eq!(alice.termios(), attempt.before, "the terminal's modes after {how}");
        host.syslog_wait(&["event=detached", "user=alice", "status=0"]);
        host.expect_nothing_left();
        if how.contains("note") {
            host.expect_note("delete x"); // the credentials go even if the session does not
        }
        if recorded {
            host.syslog_wait(&["event=unclosed", "user=alice"]);
        } else {
            assert!(!host.events().iter().any(|line| line.contains("event=unclosed")), "{how}");
        }
    }
}

#[test]
fn given_several_questions_the_answers_arrive_byte_for_byte() {
    let host = Host::with_fixture("auth:two auth:say=done auth:show=again:\\_");
    let mut alice = host.person("alice");
    let attempt = alice.attempt("tmux-gate");
    alice.expect("two questions follow");
    alice.expect("hidden: ");
    alice.send(" räksmörgås \r");
    alice.expect("visible: ");
    alice.send("seen by all\r");
    alice.expect("seen by all");
    alice.expect("done");
    alice.expect("again: ");
    alice.send("\r");
    alice.expect_inside();
    alice.leave(&attempt);
    alice.expect_not("räk");
    let hex = |text: &str| text.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
    let expected = format!("{}\n{}\n\n", hex(" räksmörgås "), hex("seen by all"));
    assert_eq!(host.read("/var/log/gate-answers"), expected);
}

#[test]
fn given_messages_with_control_bytes_none_of_them_reaches_the_terminal() {
    let text = "\\x1b[2J\\x1b]52;c;aGk=\\x07\\x9b31mred\\x0dover\\x08\\x7f";
    let host = Host::with_fixture(&format!("auth:say=info{text} auth:error=error{text} auth:show=ask{text}"));
    let mut alice = host.person("alice");
    let attempt = alice.attempt("tmux-gate");
    alice.expect("info");
    alice.expect("error");
    alice.expect("ask");
    alice.send("\x03");
    let said = alice.expect_refused(&attempt, 77, "interrupted");
    let before = said.replace("\r\n", "");
    assert!(!before.contains('\r'), "{before:?}");
    for raw in ["\x1b[2J", "\x1b]52", "\x07", "\x7f", "\u{fffd}"] {
        alice.expect_not(raw);
    }
}

#[test]
fn given_hosts_of_messages_long_ones_and_odd_ones_the_gate_goes_on() {
    let host = Host::with_fixture("auth:many=32 auth:long=4000 auth:say auth:error");
    let mut alice = host.person("alice");
    let attempt = alice.attempt("tmux-gate");
    alice.expect_inside();
    alice.leave(&attempt);
    host.expect_sessions("open alice\nclose alice\n");
    host.expect_all_closed();
}

#[test]
fn given_modules_that_spoil_the_process_the_session_runs_as_if_they_had_not() {
    // What session modules do to the umask is pam_umask's word.
    for (calls, umask) in [("auth:attributes account:attributes", "0022"), ("open:attributes", "0000")] {
        let host = Host::new();
        host.pam_recorded_first(&fixture(calls));
        let mut alice = host.person("alice");
        let attempt = alice.attempt("tmux-gate");
        alice.expect_inside();
        let said = alice.inside("umask; grep -E 'Sig(Blk|Ign)' /proc/self/status; pwd");
        assert!(said.text.starts_with(umask), "{said:?}");
        for part in ["SigBlk: 0000000000000000", "/home/alice"] {
            assert!(said.text.replace("\t", " ").contains(part), "{part:?} in {said:?}");
        }
        alice.leave(&attempt);
        host.expect_sessions("open alice\nclose alice\n");
        host.expect_all_closed();
    }
}

#[test]
fn helpers_of_modules_start_with_the_same_mask_when_the_session_opens_and_when_it_closes() {
    let host = Host::new();
    let show = "session required pam_exec.so log=/tmp/masks /bin/grep SigBlk /proc/self/status\n";
    host.pam(&format!("{NO_QUESTION}{show}"));
    let mut alice = host.person("alice");
    let attempt = alice.attempt("tmux-gate");
    alice.expect_inside();
    alice.leave(&attempt);
    let masks = host.read("/tmp/masks");
    let masks: Vec<&str> = masks.lines().filter(|line| line.starts_with("SigBlk")).collect();
    assert!(masks.len() == 2 && masks[0] == masks[1], "{masks:?}");
}

#[test]
fn given_a_module_that_closes_all_descriptors_nobody_is_in_and_what_was_opened_is_closed() {
    for call in ["auth", "account", "setcred", "open"] {
        let host = Host::with_fixture(&format!("{call}:closefds"));
        let mut alice = host.person("alice");
        let attempt = alice.attempt("tmux-gate");
        assert_eq!(alice.status(), 77, "{call}");
        assert_eq!(alice.termios(), attempt.before, "the terminal's modes after {call}");
        host.syslog_wait(&["event=refused", "user=alice"]);
        host.expect_all_closed();
        assert!(!host.processes().iter().any(|process| process.comm.starts_with("tmux:")), "{}", host.snapshot());
    }
}

#[test]
fn given_a_module_that_leaves_a_process_behind_the_gate_does_not_wait_for_it() {
    let host = Host::with_fixture("open:linger");
    let mut alice = host.person("alice");
    let attempt = alice.attempt("tmux-gate");
    alice.expect_inside();
    alice.leave(&attempt);
    host.syslog_wait(&["event=detached"]);
    host.expect_sessions("open alice\nclose alice\n");
    host.expect_no_gate();
}

#[test]
fn pam_is_told_who_asks_and_where_and_the_real_uid_is_the_callers_until_it_has_judged() {
    let host = Host::with_fixture("any:note=x");
    let mut alice = host.person("alice");
    let attempt = alice.attempt("SSH_CONNECTION='1.2.3.4 5 6.7.8.9 22' tmux-gate");
    alice.expect_inside();
    alice.leave(&attempt);
    host.expect_all_closed();
    let notes = host.read("/var/log/gate-notes");
    let who = "x user=alice ruser=alice tty=/dev/pts/0 rhost=-";
    let expected = [
        format!("auth {who} uids=1001,0,0\n"),
        format!("account {who} uids=1001,0,0\n"),
        format!("setcred {who} uids=0,0,0\n"),
        format!("open {who} uids=0,0,0\n"),
        format!("renew {who} uids=0,0,0\n"), // pam-client's; what pam_krb5 and pam_group set stays
        format!("close {who} uids=0,0,0\n"),
        format!("delete {who} uids=0,0,0\n"),
    ];
    assert_eq!(notes, expected.concat());
}
