//! Resource limits of 0 and 1: they cut nothing short half-way, save nobody from a lockout, and come back to the caller.

use crate::host::{GATE, Host, NO_QUESTION, Person, UNIX};

fn limited<'h>(host: &'h Host, limit: &str) -> Person<'h> {
    host.spawn("alice", &["prlimit", limit, GATE]).on_terminal()
}

#[test]
fn given_a_limit_of_0_or_1_the_gate_works_or_refuses_and_leaves_nothing() {
    for resource in
        ["fsize", "nofile", "nproc", "cpu", "as", "data", "stack", "core", "memlock", "sigpending", "msgqueue"]
    {
        let host = Host::new();
        host.pam(NO_QUESTION);
        if resource == "fsize" {
            host.pam_exactly(NO_QUESTION); // the file of the recorded sessions may not grow either
        }
        let before = host.must(&["sh", "-c", "cat /etc/passwd /etc/shadow /etc/group | sha256sum"]);
        for value in [0, 1] {
            let mut alice = limited(&host, &format!("--{resource}={value}:{value}"));
            if alice.is_in() {
                let client = host.clients()[0].pid;
                host.must(&["kill", "-9", &client.to_string()]);
                host.run(&["pkill", "-9", "-f", "^tmux -S"]);
            } else {
                assert_ne!(alice.exit_status(), 0, "{resource} {value}: {}", alice.transcript());
            }
            host.expect_no_gate();
        }
        host.expect_all_closed();
        assert_eq!(host.must(&["sh", "-c", "cat /etc/passwd /etc/shadow /etc/group | sha256sum"]), before);
        assert_eq!(host.must(&["find", "/run/tmux-gate", "-mindepth", "1", "!", "-path", "*/1001*"]), "");
    }
}

/// The kernel kills whoever has used up RLIMIT_CPU, root as well, and the caller decides how much the monitor has to do.
#[test]
fn a_limit_of_cpu_time_never_ends_the_monitor_of_a_session() {
    for seconds in [0, 0, 0, 0, 0, 0, 0, 0, 1] {
        let host = Host::new();
        host.pam(NO_QUESTION);
        let mut alice = limited(&host, &format!("--cpu={seconds}:{seconds}"));
        if alice.is_in() {
            let client = host.clients()[0].pid;
            let busy = format!(
                "for (1..10000) {{ kill STOP => {client}; select undef, undef, undef, 0.0001; kill CONT => {client} }}"
            );
            host.spawn("alice", &["timeout", "6", "perl", "-e", &busy]).output();
            let events = host.events();
            let unfinished = host.gates().len() < 2 && !events.iter().any(|line| line.contains("event=detached"));
            assert!(!unfinished, "{seconds} s: the monitor was killed: {}", host.snapshot());
            host.run(&["pkill", "-9", "-f", "^tmux -S"]);
        } else {
            assert_ne!(alice.exit_status(), 0);
        }
        host.expect_all_closed();
    }
}

#[test]
fn the_session_has_the_callers_limits_and_not_the_gates() {
    let host = Host::new();
    host.pam(NO_QUESTION);
    let limits = ["--core=0:4096", "--fsize=1000000:2000000", "--nofile=77:99", "--nproc=500:600"];
    let program = [&["prlimit"][..], &limits, &["--stack=1000000:2000000", GATE]].concat();
    let alice = host.spawn("alice", &program).on_terminal();
    alice.expect_inside();
    let seen = host.read(&format!("/proc/{}/limits", host.clients()[0].pid));
    for (name, soft, hard) in [
        ("Max core file size", "0", "4096"),
        ("Max file size", "1000000", "2000000"),
        ("Max open files", "77", "99"),
        ("Max processes", "500", "600"),
        ("Max stack size", "1000000", "2000000"),
        ("Max address space", "unlimited", "unlimited"),
    ] {
        let line = seen.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        let words: Vec<&str> = line.split_whitespace().take(2).collect();
        assert_eq!(words, [soft, hard], "{name}");
    }
}

#[test]
fn what_pam_limits_says_holds_over_the_callers_limits() {
    let host = Host::new();
    host.pam(&format!("{NO_QUESTION}session required pam_limits.so\n"));
    host.write("/etc/security/limits.conf", "alice hard nofile 60\nalice soft nofile 50\nalice - fsize 2048\n", 0o644);
    let alice = host.spawn("alice", &["prlimit", "--nofile=100:200", GATE]).on_terminal();
    alice.expect_inside();
    let seen = host.read(&format!("/proc/{}/limits", host.clients()[0].pid));
    for (name, value) in [("Max open files", ["50", "60"]), ("Max file size", ["2097152", "2097152"])] {
        let line = seen.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        assert_eq!(line.split_whitespace().take(2).collect::<Vec<_>>(), value, "{name}");
    }
    let seen = host.read(&format!("/proc/{}/limits", host.monitor().pid));
    let line = seen.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap_or_default();
    assert_ne!(line.split_whitespace().next(), Some("50"), "the monitor's own limit was raised again");
}

/// A soft limit is nobody's last word.
#[test]
fn a_soft_limit_that_can_be_raised_keeps_nobody_out() {
    let host = Host::with_fixture("auth:ask=Go:");
    let limits = ["--fsize=0:unlimited", "--nofile=8:1024", "--cpu=1:unlimited", GATE];
    let mut alice = host.spawn("alice", &[&["prlimit"][..], &limits].concat()).on_terminal();
    alice.expect("Go:");
    alice.send("\x03");
    assert_eq!(alice.exit_status(), 77);
}

/// What is too small for root's work at entry is a caller's choice; after PAM it is the administrator's.
#[test]
fn a_small_limit_from_pam_limits_keeps_nobody_out() {
    let host = Host::new();
    host.pam(&format!("{NO_QUESTION}session required pam_limits.so\n"));
    host.write("/etc/security/limits.conf", "alice - fsize 100\nalice - cpu 1\n", 0o644);
    let mut alice = host.spawn("alice", &[GATE]).on_terminal();
    assert!(alice.is_in(), "{}", alice.transcript());
    let seen = host.read(&format!("/proc/{}/limits", host.clients()[0].pid));
    let line = seen.lines().find_map(|line| line.strip_prefix("Max file size")).unwrap_or_default();
    assert_eq!(line.split_whitespace().take(2).collect::<Vec<_>>(), ["102400", "102400"]);
}

/// pam_nologin takes a file that it cannot open for one that is not there.
#[test]
fn no_number_of_descriptors_gets_past_nologin() {
    let host = Host::new();
    host.pam(
        "auth required pam_permit.so\naccount required pam_warn.so\naccount required pam_nologin.so\n\
              account required pam_permit.so\nsession required pam_permit.so\n",
    );
    host.write("/etc/nologin", "closed for the night\n", 0o644);
    for count in 0..28 {
        let mut alice = limited(&host, &format!("--nofile={count}:{count}"));
        assert!(!alice.is_in(), "{count} descriptors get in: {}", alice.screen());
        assert!(!host.events().iter().any(|line| line.contains("event=attached")), "{count}: {}", host.snapshot());
    }
    host.expect_sessions("");
}

/// pam_faillock counts in a file; a caller who may write no byte must not guess without being counted.
#[test]
fn a_file_size_limit_does_not_save_a_guesser_from_the_lockout() {
    for size in ["unlimited", "0", "64"] {
        let host = Host::new();
        host.pam(
            "auth     requisite pam_faillock.so preauth deny=3 unlock_time=600\n\
             auth     [success=1 default=ignore] pam_unix.so nodelay\n\
             auth     [default=die] pam_faillock.so authfail deny=3 unlock_time=600\n\
             auth     required pam_faillock.so authsucc deny=3\n\
             account  required pam_unix.so\nsession required pam_unix.so\n",
        );
        let mut asked = 0;
        for _ in 0..6 {
            let mut alice = limited(&host, &format!("--fsize={size}:{size}"));
            while alice.expect_one_of(&["Password: ", "tmux-gate: "]) == 0 {
                alice.send("wrong\r");
                asked += 1;
            }
            assert_ne!(alice.exit_status(), 0);
        }
        assert!(asked <= 3, "a limit of {size} bytes gave {asked} guesses: {}", host.snapshot());
    }
}

#[test]
fn a_file_size_limit_does_not_harm_the_passwords_when_one_is_changed() {
    for size in [0, 1, 100, 500, 1000] {
        let host = Host::new();
        host.pam(UNIX);
        host.must(&["chage", "-d", "0", "alice"]);
        let others = || host.must(&["sh", "-c", "grep -v ^alice: /etc/shadow; ls /etc/*shadow* /etc/*passwd*"]);
        let before = others();
        let mut alice = limited(&host, &format!("--fsize={size}:{size}"));
        loop {
            match alice.expect_one_of(&["Password: ", "Current password: ", "ew password: ", "tmux-gate: ", "in$"]) {
                0 | 1 => alice.send("alice's secret\r"),
                2 => alice.send("quite another 7 words\r"),
                _ => break,
            }
        }
        let after = others().replace("/etc/.pwd.lock\n", "").replace("/etc/opasswd\n", "");
        assert_eq!(after, before, "after a change with {size} bytes");
        assert_eq!(host.must(&["sh", "-c", "grep -c ^alice: /etc/shadow"]), "1\n");
    }
}

#[test]
fn what_pam_umask_says_holds_also_where_it_is_what_root_works_under() {
    for umask in ["0077", "0027", "0002"] {
        let host = Host::new();
        host.pam(&format!("{NO_QUESTION}session required pam_umask.so umask={umask}\n"));
        let mut alice = host.person("alice");
        let attempt = alice.attempt("tmux-gate");
        alice.expect_inside();
        let said = alice.inside("umask");
        assert!(said.text.starts_with(umask), "{umask}: {said:?}");
        alice.leave(&attempt);
    }
}
