//! What a join finds around it: the guest's terminal, and what the kernel has to shut the relay in with. What cannot work is
//! said before anybody is asked for a password.

use crate::host::{GATE, Host, Person, Spawn};
use crate::sharing::{does, host, requested, work};

/// A grant of bob's for alice/work, approved.
fn granted(host: &Host) -> String {
    let (mut bob, mut outside) = (host.person("bob"), host.person("alice"));
    let id = requested(host, &mut bob, "--for 30m");
    does(&mut outside, "alice", &format!("tmux-gate approve {id}"), &[]);
    id
}

fn refused(mut bob: Person<'_>, text: &str) {
    bob.expect(text);
    assert_eq!(bob.exit_status(), 1, "{}", bob.transcript());
    let said = bob.transcript();
    assert!(!said.contains("Password") && said.lines().count() == 1 && said.contains("; "), "{said}");
}

/// He is in, and leaves.
fn joins(spawn: Spawn<'_>) {
    let mut bob = spawn.on_terminal();
    bob.expect("Password: ");
    bob.send("bob's secret\r");
    bob.expect_inside();
    bob.send("q");
    assert_eq!(bob.exit_status(), 0, "{}", bob.transcript());
}

#[test]
fn a_guest_whose_terminal_tmux_cannot_draw_on_is_told_so_and_what_helps_before_he_gives_a_password() {
    let host = host();
    let _alice = work(&host);
    let id = granted(&host);
    let join = |term: &str| host.spawn("bob", &[GATE, "join", &id]).env(format!("TERM={term}"));
    for (term, fault) in [
        ("nonsense", "is not in this host's terminfo"),
        ("xterm-no-such", "is not in this host's terminfo"),
        ("dumb", "cannot show a session"),
        ("..", "is not in this host's terminfo"),
    ] {
        refused(
            join(term).on_terminal(),
            &format!("tmux-gate: TERM={term}: {fault}; set another, as in TERM=xterm-256"),
        );
    }
    // Not said, or in no form that a terminal's name has: what every tmux can draw on.
    for term in ["", "../../x", "screen", "linux"] {
        joins(join(term));
    }
    // A description that somebody else brings is none.
    host.must(&["sh", "-ec", "mkdir -p /home/bob/.terminfo/h; cp /lib/terminfo/x/xterm /home/bob/.terminfo/h/his"]);
    let his = join("his").env("TERMINFO=/home/bob/.terminfo").env("TERMINFO_DIRS=/home/bob/.terminfo");
    refused(his.on_terminal(), "TERM=his: is not in this host's terminfo");
    // One that the administrator installs is one at once.
    host.must(&["sh", "-ec", "mkdir -p /etc/terminfo/h; cp /lib/terminfo/x/xterm /etc/terminfo/h/his"]);
    joins(join("his"));
}

#[test]
fn a_kernel_without_landlock_or_seccomp_joins_nobody_unless_the_sandbox_is_only_wanted() {
    let host = host();
    let _alice = work(&host);
    let id = granted(&host);
    for (call, name, filters) in [(libc::SYS_landlock_create_ruleset, "Landlock", 2), (libc::SYS_seccomp, "seccomp", 1)]
    {
        let join = || host.spawn("bob", &[GATE, "join", &id]).without_call(call);
        host.configure("");
        refused(join().on_terminal(), &format!("the kernel has no {name} for the relay's sandbox"));
        host.configure("[join]\nsandbox = \"wanted\"\n");
        let mut bob = join().on_terminal();
        bob.expect("Password: ");
        bob.send("bob's secret\r");
        bob.expect_inside();
        // What there is holds, and the relay is nobody all the same.
        let relay = host.processes().into_iter().find(|one| one.comm == "tmux-gate:relay").expect("a relay");
        let status = host.read(&format!("/proc/{}/status", relay.pid));
        let said = |line: &str| assert!(status.contains(line), "{line:?} in {status}");
        said("NoNewPrivs:\t1\n");
        said(&format!("Seccomp_filters:\t{filters}\n"));
        assert!(!relay.uids.contains(&0) && !relay.uids.contains(&1002), "{relay}");
        bob.send("q");
        assert_eq!(bob.exit_status(), 0);
    }
}
