//! The worked file strict: its lockout, against hands that guess and code that guesses.

use super::worked::{expect_unix_sessions, followed, last_refusal};
use crate::host::{GATE, Host, Person};

const TALLY: &str = "/var/lib/tmux-gate/faillock";
const LOCKED: &str = "The account is locked due to 3 failed logins.";

/// A host with the worked file in place on which a wrong answer makes nobody wait.
fn strict() -> Host {
    let host = followed("strict");
    host.must(&["sh", "-ec", "sed -i 's/pam_unix.so/& nodelay/' /etc/pam.d/common-auth"]);
    host.must(&["sh", "-ec", "echo nodelay >>/etc/security/faillock.conf"]);
    host
}

/// How many attempts of hers count.
fn counted(host: &Host, user: &str) -> usize {
    let table = host.must(&["faillock", "--dir", TALLY, "--user", user]);
    table.lines().filter(|line| line.ends_with(" V")).count()
}

fn guess(person: &mut Person<'_>, times: u32) {
    for _ in 0..times {
        person.expect("Password: ");
        person.send("wrong\r");
    }
}

/// She is told that she is locked out, and is asked nothing.
fn expect_locked(alice: &mut Person<'_>) {
    let attempt = alice.attempt("tmux-gate");
    let said = alice.expect_refused(&attempt, 77, "authentication failed");
    assert!(said.contains(LOCKED) && !said.contains("Password"), "{said:?}");
}

/// Leaves the gate at its prompt by killing the process that asks, as code of hers can.
fn kill_at_the_prompt(host: &Host, alice: &mut Person<'_>) {
    let attempt = alice.attempt("tmux-gate");
    alice.expect("Password: ");
    host.kill_as("alice", "KILL", &[host.monitor().pid]);
    alice.expect_refused(&attempt, 77, "without a verdict");
}

#[test]
fn three_wrong_passwords_lock_the_gate_and_the_gate_alone_until_root_resets_it() {
    let host = followed("strict");
    let mut alice = host.person("alice");
    let attempt = alice.attempt("tmux-gate");
    guess(&mut alice, 3);
    alice.expect_refused(&attempt, 77, "authentication failed");
    assert!(last_refusal(&host).contains("pam=AUTH_ERR"));
    expect_locked(&mut alice);
    assert!(last_refusal(&host).contains("pam=AUTH_ERR"));
    expect_unix_sessions(&host, "alice", 0);

    let attempt = alice.attempt("su alice -c 'echo su''rely'"); // another service, with the same common-auth
    alice.expect("Password: ");
    alice.send("alice's secret\r");
    alice.expect("surely");
    assert_eq!((alice.status(), alice.termios()), (0, attempt.before));
    let mut bob = host.person("bob");
    let attempt = bob.enter("bob");
    bob.leave(&attempt);

    host.must(&["faillock", "--dir", TALLY, "--user", "alice", "--reset"]);
    let attempt = alice.enter("alice");
    alice.leave(&attempt);
    expect_unix_sessions(&host, "alice", 1);
}

#[test]
fn a_lockout_ends_with_its_time() {
    let host = strict();
    host.must(&["sh", "-ec", "echo unlock_time = 1 >>/etc/security/faillock.conf"]);
    let mut alice = host.person("alice");
    (0..3).for_each(|_| kill_at_the_prompt(&host, &mut alice));
    expect_locked(&mut alice);
    host.wait_until("the end of the lockout", || {
        alice.attempt("tmux-gate");
        let asked = alice.expect_one_of(&["Password: ", "authentication failed"]) == 0;
        if !asked {
            alice.status();
        }
        asked
    });
    alice.send("alice's secret\r");
    alice.expect_inside();
    assert_eq!(counted(&host, "alice"), 0);
    alice.send("\x02d");
    assert_eq!(alice.status(), 0);
    expect_unix_sessions(&host, "alice", 1);
}

#[test]
fn the_right_password_takes_the_count_back_to_nothing() {
    let host = strict();
    let mut alice = host.person("alice");
    for _ in 0..2 {
        let attempt = alice.attempt("tmux-gate");
        guess(&mut alice, 2);
        alice.expect("Password: ");
        assert_eq!(counted(&host, "alice"), 3, "the attempt that is under way counts");
        alice.send("alice's secret\r");
        alice.expect_inside();
        assert_eq!(counted(&host, "alice"), 0);
        alice.leave(&attempt);
    }
    expect_unix_sessions(&host, "alice", 2);
}

/// The real uid is the caller's until PAM has judged, so he can end the gate between the verdict and the count of what comes
/// after it, and systemd's journal shows him the verdict: what counts comes first.
#[test]
fn whoever_leaves_the_prompt_in_whatever_way_has_guessed() {
    let host = strict();
    let mut alice = host.person("alice");
    kill_at_the_prompt(&host, &mut alice);
    assert_eq!(counted(&host, "alice"), 1);
    let attempt = alice.attempt("tmux-gate");
    alice.expect("Password: ");
    alice.send("\x03");
    alice.expect_refused(&attempt, 77, "interrupted");
    assert_eq!(counted(&host, "alice"), 2);
    let mut lost = host.spawn("alice", &[GATE]).on_terminal();
    lost.expect("Password: ");
    lost.hang_up();
    lost.wait();
    assert_eq!(counted(&host, "alice"), 3);
    expect_locked(&mut alice);
    expect_unix_sessions(&host, "alice", 0);
}

#[test]
fn there_are_no_more_prompts_at_a_time_than_guesses() {
    let host = strict();
    let mut first = host.person("alice");
    let attempt = first.enter("alice"); // so that there is a file to count in
    first.leave(&attempt);
    let mut gates: Vec<_> = (0..6).map(|_| host.spawn("alice", &[GATE]).on_terminal()).collect();
    let asked = gates.iter_mut().map(|gate| gate.expect_one_of(&["Password: ", LOCKED]));
    let asked: Vec<_> = asked.collect();
    assert_eq!(asked.iter().filter(|found| **found == 0).count(), 3, "{asked:?}");
    let (gate, _) = gates.iter_mut().zip(&asked).find(|(_, found)| **found == 0).unwrap();
    gate.send("alice's secret\r");
    gate.expect_inside();
    gate.send("\x02d");
    assert_eq!(gate.exit_status(), 0);
    drop(gates);
    expect_unix_sessions(&host, "alice", 2);
}

#[test]
fn the_tally_is_out_of_her_reach_and_would_not_be_where_pam_faillock_has_it_by_default() {
    let host = strict();
    let mut alice = host.person("alice");
    kill_at_the_prompt(&host, &mut alice);
    let empty = format!(": >{TALLY}/alice");
    assert_eq!(host.must(&["stat", "-c", "%U %a", TALLY, &format!("{TALLY}/alice")]), "root 700\nalice 660\n");
    assert!(!host.run_as("alice", &["sh", "-c", &empty]).status.success());
    assert_eq!(counted(&host, "alice"), 1);

    host.must(&["sed", "-i", "s, dir=.*,,", "/etc/pam.d/tmux-gate"]);
    kill_at_the_prompt(&host, &mut alice);
    host.must(&["test", "-s", "/run/faillock/alice"]);
    host.must(&["chmod", "755", "/run/faillock"]); // as under the umask of other programs, which make it as well
    assert!(host.run_as("alice", &["sh", "-c", ": >/run/faillock/alice"]).status.success());
    assert!(!host.run(&["test", "-s", "/run/faillock/alice"]).status.success());
}

/// pam_faillock alone goes on without a word.
#[test]
fn given_no_place_to_count_in_nobody_is_asked() {
    let host = strict();
    let full = format!("mount -t tmpfs -o mode=700,size=4k full {TALLY}; ! head -c 9999 /dev/zero 2>&- >{TALLY}/x");
    let empty = format!("umount {TALLY}; rm -r {TALLY} /var/lib/tmux-gate");
    for broken in [full, empty] {
        host.must(&["sh", "-ec", &broken]);
        for user in ["alice", "root"] {
            let mut person = host.spawn(user, &[GATE]).on_terminal();
            assert_eq!(person.exit_status(), 77, "{user} after {broken}");
            person.expect_not("Password");
            assert!(last_refusal(&host).contains(&format!("user={user} ")));
            assert!(last_refusal(&host).contains("pam=PERM_DENIED"), "{}", host.snapshot());
        }
    }
    host.follow("strict");
    for user in ["alice", "root"] {
        let mut person = host.person(user);
        let attempt = person.attempt("tmux-gate");
        person.expect("Password: ");
        person.send("\x03");
        person.expect_refused(&attempt, 77, "interrupted");
    }
}

/// What the host asks for is its administrator's, and may be written in many ways.
#[test]
fn none_of_its_own_lines_says_yes_or_takes_a_wrong_answer_for_a_right_one() {
    let host = strict();
    let common = |text: &str| host.write("/etc/pam.d/common-auth", text, 0o644);
    common("auth [default=ignore] pam_unix.so nodelay\n");
    let mut alice = host.person("alice");
    let attempt = alice.attempt("tmux-gate");
    alice.expect("Password: ");
    alice.send("alice's secret\r");
    alice.expect_refused(&attempt, 77, "authentication failed");
    assert!(last_refusal(&host).contains("pam=PERM_DENIED"));

    host.must(&["faillock", "--dir", TALLY, "--user", "alice", "--reset"]);
    common("auth required pam_unix.so nodelay\n"); // goes on after a wrong answer
    let attempt = alice.attempt("tmux-gate");
    guess(&mut alice, 3);
    alice.expect_refused(&attempt, 77, "authentication failed");
    expect_locked(&mut alice);
    expect_unix_sessions(&host, "alice", 0);
}

#[test]
fn a_provider_that_is_down_is_no_wrong_password_but_an_attempt() {
    let host = strict();
    host.write("/etc/pam.d/common-auth", "auth required pam_fixture.so auth:fail=9\n", 0o644); // PAM_AUTHINFO_UNAVAIL
    let mut alice = host.person("alice");
    for _ in 0..3 {
        let attempt = alice.attempt("tmux-gate");
        alice.expect_refused(&attempt, 75, "cannot authenticate now");
        assert!(last_refusal(&host).contains("pam=AUTHINFO_UNAVAIL"));
    }
    expect_locked(&mut alice);
}

#[test]
fn root_is_counted_and_not_locked_out() {
    let host = strict();
    for _ in 0..4 {
        let mut root = host.spawn("root", &[GATE]).on_terminal();
        root.expect("Password: ");
        root.send("\x03");
        assert_eq!(root.exit_status(), 77);
    }
    assert_eq!(counted(&host, "root"), 4);
    let mut root = host.spawn("root", &[GATE]).on_terminal();
    root.expect("Password: ");
    root.send("root's secret\r");
    root.expect_on_screen("a session", |screen| screen.contains("[main]").then_some(()));
    assert_eq!(counted(&host, "root"), 0);
    root.send("\x02d");
    assert_eq!(root.exit_status(), 0);
    expect_unix_sessions(&host, "root", 1);
}

/// As the manual page warns. libpam takes for local who begins a line of /etc/passwd; libc forgives a space.
#[test]
fn whom_local_users_only_leaves_uncounted_is_not_let_in() {
    let host = strict();
    host.must(&["sed", "-i", "s/^dave:/ dave:/", "/etc/passwd"]);
    let mut dave = host.spawn("dave", &[GATE]).on_terminal();
    dave.expect("Password: ");
    dave.send("\x03");
    assert_eq!((dave.exit_status(), counted(&host, "dave")), (77, 1));

    host.must(&["sh", "-ec", "echo local_users_only >>/etc/security/faillock.conf"]);
    let mut dave = host.spawn("dave", &[GATE]).on_terminal();
    assert_eq!(dave.exit_status(), 77);
    dave.expect_not("Password");
    assert!(last_refusal(&host).contains("pam=PERM_DENIED"));
    let mut alice = host.person("alice");
    let attempt = alice.enter("alice");
    alice.leave(&attempt);
    expect_unix_sessions(&host, "alice", 1);
}
