//! Who passes and who does not, and what is left behind: passwords, accounts and stacks, at the prompt.

use crate::host::{Host, NO_QUESTION, UNIX};

#[test]
fn given_the_right_password_a_person_is_in_her_session_and_comes_back() {
    let host = Host::new();
    let mut alice = host.person("alice");
    let attempt = alice.enter("alice");
    host.syslog_wait(&["event=authenticated", "user=alice", "uid=1001", "tty=/dev/pts/0"]);
    host.syslog_wait(&["event=attached", "user=alice", "session=main"]);
    host.expect_sessions("open alice\n");
    alice.leave(&attempt);
    host.syslog_wait(&["event=detached", "user=alice", "session=main", "seconds=", "status=0"]);
    host.expect_sessions("open alice\nclose alice\n");
    host.expect_nothing_left();
    assert_eq!(host.events().len(), 3, "{:?}", host.events());
    assert!(!host.syslog().join("\n").contains("secret"));
    alice.expect_not("secret");
}

#[test]
fn given_a_wrong_password_and_then_the_right_one_a_person_is_in() {
    let host = Host::new();
    host.pam(UNIX);
    let mut alice = host.person("alice");
    let attempt = alice.attempt("tmux-gate");
    alice.expect("Password: ");
    alice.send("bob's secret\r");
    alice.expect("Sorry, try again.");
    alice.expect("Password: ");
    alice.send("alice's secret\r");
    alice.expect_inside();
    alice.leave(&attempt);
    host.expect_sessions("open alice\nclose alice\n");
    host.expect_all_closed();
}

#[test]
fn given_a_wrong_password_three_times_the_gate_refuses_and_nothing_is_opened() {
    let host = Host::new();
    host.pam(UNIX);
    let mut alice = host.person("alice");
    let attempt = alice.attempt("tmux-gate");
    for _ in 0..3 {
        alice.expect("Password: ");
        alice.send("wrong\r");
    }
    let text = alice.expect_refused(&attempt, 77, "alice: authentication failed");
    assert!(!text.contains("Password: ") && !text.contains("Sorry"), "{text}");
    host.expect_refusal(&["user=alice", "pam=MAXTRIES"]); // pam_unix's word for the third
    host.expect_sessions("");
    alice.expect_not("wrong");
}

#[test]
fn given_that_the_installed_service_is_used_wrong_passwords_are_refused_too() {
    let host = Host::new();
    host.configure("[authentication]\ntries = 1\n");
    let mut alice = host.person("alice");
    let attempt = alice.attempt("tmux-gate");
    alice.expect("Password: ");
    alice.send("wrong\r");
    alice.expect_refused(&attempt, 77, "authentication failed");
    host.expect_refusal(&["user=alice", "pam=AUTH_ERR"]);
}

#[test]
fn given_an_account_without_a_password_the_gate_refuses_whatever_nullok_says() {
    let host = Host::new();
    host.pam(&UNIX.replace("nodelay", "nodelay nullok"));
    host.must(&["passwd", "-d", "alice"]);
    let mut alice = host.person("alice");
    alice.attempt("tmux-gate");
    while alice.expect_one_of(&["Password: ", "authentication failed"]) == 0 {
        alice.send("\r");
    }
    assert_eq!(alice.status(), 77);
    host.expect_refusal(&["user=alice"]);
    host.expect_sessions("");
}

#[test]
fn given_an_empty_answer_the_gate_asks_again_and_then_refuses() {
    let host = Host::new();
    host.pam(UNIX);
    let mut alice = host.person("alice");
    let attempt = alice.attempt("tmux-gate");
    for _ in 0..3 {
        alice.expect("Password: ");
        alice.send("\r");
    }
    alice.expect_refused(&attempt, 77, "authentication failed");
    host.expect_refusal(&["user=alice"]);
}

#[test]
fn given_a_uid_without_an_entry_the_gate_refuses_before_pam_is_asked() {
    let host = Host::with_fixture("any:note=called");
    let mut stranger = host.spawn("4242", &["/usr/bin/tmux-gate"]).env("USER=alice").on_terminal();
    assert_eq!(stranger.exit_status(), 77);
    stranger.expect("tmux-gate: ");
    stranger.expect("4242");
    host.expect_refusal(&["uid=4242"]);
    assert!(!host.exists("/var/log/gate-notes"));
}

#[test]
fn given_a_locked_account_the_right_password_is_refused() {
    let host = Host::new();
    host.pam(UNIX);
    host.must(&["passwd", "-l", "alice"]);
    let mut alice = host.person("alice");
    let attempt = alice.attempt("tmux-gate");
    for _ in 0..3 {
        alice.expect("Password: ");
        alice.send("alice's secret\r");
    }
    alice.expect_refused(&attempt, 77, "authentication failed");
    host.expect_refusal(&["user=alice", "pam="]);
    host.expect_sessions("");
}

#[test]
fn given_an_expired_account_the_right_password_is_refused() {
    let host = Host::new();
    host.pam(UNIX);
    host.must(&["chage", "-E", "0", "alice"]);
    let mut alice = host.person("alice");
    let attempt = alice.attempt("tmux-gate");
    alice.expect("Password: ");
    alice.send("alice's secret\r");
    alice.expect_refused(&attempt, 77, "account");
    host.expect_refusal(&["user=alice", "pam=ACCT_EXPIRED"]);
    host.expect_sessions("");
}

#[test]
fn given_an_expired_password_it_is_changed_at_the_gate() {
    let host = Host::new();
    host.must(&["chage", "-d", "0", "alice"]);
    let mut alice = host.person("alice");
    let attempt = alice.attempt("tmux-gate");
    alice.expect("Password: ");
    alice.send("alice's secret\r");
    for new in ["Current password: ", "New password: ", "Retype new password: "] {
        alice.expect(new);
        alice.send(if new.starts_with("Current") { "alice's secret\r" } else { "quite another 7 words\r" });
    }
    alice.expect_inside();
    alice.leave(&attempt);
    let attempt = alice.attempt("tmux-gate");
    alice.expect("Password: ");
    alice.send("quite another 7 words\r");
    alice.expect_inside();
    alice.leave(&attempt);
    host.expect_sessions(&"open alice\nclose alice\n".repeat(2));
}

#[test]
fn given_an_expired_password_that_is_not_changed_the_gate_refuses() {
    let host = Host::new();
    host.pam(UNIX);
    host.must(&["chage", "-d", "0", "alice"]);
    let mut alice = host.person("alice");
    let attempt = alice.attempt("tmux-gate");
    alice.expect("Password: ");
    alice.send("alice's secret\r");
    alice.expect("Current password: ");
    alice.send("wrong\r");
    alice.expect_refused(&attempt, 77, "password");
    host.expect_refusal(&["user=alice"]);
    host.expect_sessions("");
}

#[test]
fn given_that_the_service_file_is_missing_the_gate_names_it_and_never_falls_back_to_other() {
    let host = Host::new();
    host.remove("/etc/pam.d/tmux-gate");
    host.write("/etc/pam.d/other", NO_QUESTION, 0o644);
    let mut alice = host.person("alice");
    let attempt = alice.attempt("tmux-gate");
    let text = alice.expect_refused(&attempt, 78, "/etc/pam.d/tmux-gate");
    assert!(text.contains("missing"), "{text}");
    host.expect_refusal(&["user=alice", "/etc/pam.d/tmux-gate"]);
}

#[test]
fn given_pam_deny_the_gate_refuses_at_once() {
    let host = Host::new();
    host.pam("auth required pam_deny.so\naccount required pam_permit.so\npassword required pam_deny.so\n");
    let mut alice = host.person("alice");
    let attempt = alice.attempt("tmux-gate");
    let text = alice.expect_refused(&attempt, 77, "authentication failed");
    assert!(!text.contains("Sorry"), "{text}");
    host.expect_refusal(&["user=alice", "pam=AUTH_ERR"]);
}

#[test]
fn given_a_stack_in_which_nobody_says_yes_the_gate_refuses() {
    for (auth, account) in [
        ("optional pam_fixture.so auth:fail=25", "required pam_permit.so"), // PAM_IGNORE
        ("required pam_permit.so", "required pam_deny.so"),
        ("required no_such_module.so", "required pam_permit.so"),
        ("sufficient pam_rootok.so", "required pam_permit.so"), // the real uid is the caller's while PAM judges
    ] {
        let host = Host::new();
        host.pam(&format!("auth {auth}\naccount {account}\npassword required pam_deny.so\n"));
        let mut alice = host.person("alice");
        let attempt = alice.attempt("tmux-gate");
        alice.expect_refused(&attempt, 77, "");
        host.expect_refusal(&["user=alice", "pam="]);
        host.expect_sessions("");
    }
}

#[test]
fn given_nobody_at_the_prompt_the_time_limit_holds_and_nothing_typed_reaches_the_shell() {
    let host = Host::new();
    host.configure("[authentication]\ntime_limit = \"2s\"\n");
    let mut alice = host.person("alice");
    let attempt = alice.attempt("tmux-gate");
    alice.expect("Password: ");
    alice.send("alice's sec");
    alice.expect_refused(&attempt, 77, "no answer within the time limit");
    host.expect_refusal(&["user=alice"]);
    alice.expect_not("alice's sec");
}

#[test]
fn given_ctrl_c_or_the_end_of_input_at_the_prompt_the_gate_stops_asking() {
    for (key, text) in [("\x03", "interrupted"), ("\x04", "no answer")] {
        let host = Host::new();
        let mut alice = host.person("alice");
        let attempt = alice.attempt("tmux-gate");
        alice.expect("Password: ");
        alice.send(key);
        alice.expect_refused(&attempt, 77, text);
        host.expect_refusal(&["user=alice"]);
        host.expect_sessions("");
    }
}

/// pam_unix has a wrong password wait for two seconds: past the time limit that would be killed, and look like an outage.
#[test]
fn given_a_wrong_password_right_before_the_time_limit_it_is_a_wrong_password_on_record() {
    let host = Host::new();
    host.configure("[authentication]\ntime_limit = \"2s\"\n");
    let mut alice = host.person("alice");
    let attempt = alice.attempt("tmux-gate");
    alice.expect("Password: ");
    std::thread::sleep(std::time::Duration::from_millis(1500)); // time itself is what is tested
    alice.send("wrong\r");
    alice.expect_refused(&attempt, 77, "no answer within the time limit");
    host.expect_refusal(&["user=alice"]);
}

#[test]
fn a_wrong_password_makes_whoever_stays_wait_and_a_right_one_nobody() {
    let host = Host::new();
    let mut alice = host.person("alice");
    alice.attempt("tmux-gate");
    alice.expect("Password: ");
    let asked = std::time::Instant::now();
    alice.send("wrong\r");
    alice.expect("Sorry, try again.");
    assert!(asked.elapsed().as_millis() >= 1000, "{:?}", asked.elapsed());
    alice.expect("Password: ");
    let asked = std::time::Instant::now();
    alice.send("alice's secret\r");
    alice.expect_inside();
    assert!(asked.elapsed().as_millis() < 1000, "{:?}", asked.elapsed());
    alice.send("\x02d");
    assert_eq!(alice.status(), 0);
}
