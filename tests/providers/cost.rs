//! What the gate costs over PAM itself.

use crate::host::{GATE, Host};
use std::time::{Duration, Instant};

/// Enough that the shortest of each was alone on a machine that others work on.
const ROUNDS: usize = 301;

/// From the start of the program to its end, with the right password given as soon as it is asked for.
fn one(host: &Host, user: &str, argv: &[&str]) -> Duration {
    let start = Instant::now();
    let mut person = host.spawn(user, argv).on_terminal();
    person.expect("Password: ");
    person.send("alice's secret\r");
    let status = person.wait();
    let time = start.elapsed();
    assert!(status.success(), "{argv:?}: {status}\n{}", host.snapshot());
    time
}

/// Debian's default stack, once by pamtester and once by the whole of the gate, with a tmux that ends at once: pair by pair,
/// first the one, then the other.
#[test]
#[ignore = "measured alone; see make check-identity"]
fn the_gate_adds_at_most_five_milliseconds_to_what_pamtester_needs() {
    let host = Host::layered("pamtester");
    host.must(&["cp", "/bin/true", "/usr/local/bin/tmux-of-the-test"]);
    host.configure("[tmux]\npath = \"/usr/local/bin/tmux-of-the-test\"\n");
    let calls = ["authenticate", "acct_mgmt", "setcred(PAM_ESTABLISH_CRED)", "open_session", "close_session"];
    let pamtester = [&["pamtester", "-Iruser=alice", "-Itty=/dev/pts/0", "tmux-gate", "alice"], &calls[..]].concat();
    let pairs = (0..ROUNDS).map(|_| (one(&host, "root", &pamtester), one(&host, "alice", &[GATE])));
    let (mut bare, mut gate): (Vec<_>, Vec<_>) = pairs.unzip();
    bare.sort();
    gate.sort();
    println!("medians of {ROUNDS}: pamtester {:?}, tmux-gate {:?}", bare[ROUNDS / 2], gate[ROUNDS / 2]);
    // The shortest of each: what is longer waited for somebody else's work on this machine.
    println!("shortest: pamtester {:?}, tmux-gate {:?}", bare[0], gate[0]);
    assert!(gate[0] <= bare[0] + Duration::from_millis(5), "pamtester {bare:?}, tmux-gate {gate:?}");
    host.expect_nothing_left();
}
