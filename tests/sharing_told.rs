//! People are told where they work: a request, who is in, what changed, the end; and what is in may change while it lasts.

use crate::host::{Host, Person};
use crate::sharing::{REASON, does, joins, requested, work};

/// A host whose owners have menus, as people have.
fn host() -> Host {
    let host = Host::new();
    host.write("/home/alice/.tmux.conf", "set -g @tmux-gate-menu on\n", 0o644);
    host
}

/// Asks, waits, and is in as soon as it is approved.
fn asks_and_waits<'h>(host: &'h Host, what: &str) -> Person<'h> {
    let mut bob = host.person("bob");
    bob.attempt(&format!("tmux-gate request alice/work {what} {REASON} --wait --join"));
    bob.expect("Password: ");
    bob.send("bob's secret\r");
    bob.expect("requested; alice may approve it");
    bob
}

/// The choice in the menu, from above, and the password in the popup that it opens.
fn chooses(alice: &mut Person<'_>, item: usize) {
    alice.expect_screen("Deny");
    alice.send("\x1b[B".repeat(item));
    alice.send("\r");
    alice.expect_screen("Password:");
    alice.send("alice's secret\r");
}

/// tmux, which is told in the background, takes keys of its clients.
fn tmux_lets_type(host: &Host, alice: &mut Person<'_>) {
    host.wait_until("a client that may type", || {
        !alice.inside("tmux list-clients -F '#{client_flags}'").text.contains("read-only")
    });
}

/// The id of the one guest who is in.
fn id_inside(host: &Host) -> String {
    let listed = host.must(&["sh", "-c", "ls /run/tmux-gate/guests"]);
    listed.split('.').next().expect("an id").to_owned()
}

#[test]
fn a_request_opens_a_menu_where_the_owner_works_and_the_choice_a_prompt_that_is_hers_alone() {
    let host = host();
    let mut alice = work(&host);
    let mut bob = asks_and_waits(&host, "--for 30m --read-write");
    alice.expect_screen("bob, read-write, 30m");
    chooses(&mut alice, 1);
    bob.expect("approved, read-only for 30m");
    bob.expect_inside();
    alice.expect("bob is in work, read-only, ");
    let status = alice.inside("tmux-gate status").text;
    assert!(status.contains("1 guest: bob ro 29m") || status.contains("1 guest: bob ro 30m"), "{status}");
    bob.send("q");
    alice.expect("bob has left");
    assert_eq!(bob.status(), 0);
    assert!(!host.exists("/tmp/x"), "a reason was run");
}

#[test]
fn a_request_that_is_denied_in_the_menu_tells_whoever_waits_and_the_next_one_disturbs_nobody() {
    let host = host();
    let mut alice = work(&host);
    let mut bob = asks_and_waits(&host, "--for 30m");
    alice.expect_screen("Deny");
    assert!(!alice.screen().contains("to type into it"), "what was not asked for is not offered");
    alice.send("dajjjG\r"); // typed before she saw it: she is asked once more
    alice.expect("? (y/n)");
    alice.send("n");
    assert_eq!(alice.inside("true").status, 0);
    let said = bob.screen();
    assert!(said.contains("requested") && !said.contains("denied"), "{said}");
    let first = host.syslog_wait(&["event=requested", "guest=bob"]);
    let first = first.split_once("grant=").expect("an id").1[..6].to_owned();
    assert_eq!(alice.inside(&format!("tmux-gate deny {first}")).status, 0);
    bob.expect("denied; ask again");
    assert_eq!(bob.status(), 77);
    let second = requested(&host, &mut bob, "--for 31m");
    // Told in the background, one after the other: bob's would have come by now.
    let mut carol = host.person("carol");
    does(&mut carol, "carol", &format!("tmux-gate request alice --for 5m {REASON}"), &[]);
    alice.expect("carol asks for all of alice");
    alice.expect_not(&format!("{second}: bob asks"));
    alice.expect_screen("Deny");
    alice.send("\x1b[B\x1b[B\r");
    alice.expect("? (y/n)");
    alice.send("y");
    host.syslog_wait(&["event=denied", "guest=carol", "user=alice"]);
}

#[test]
fn whoever_waits_may_go_and_his_request_stays() {
    let host = host();
    let mut bob = asks_and_waits(&host, "--for 30m");
    bob.send("\x03");
    bob.expect("it waits for its approval");
    assert_eq!(bob.status(), 75);
    assert!(bob.command("tmux-gate list").text.contains("asks for 30m"));
    bob.attempt("tmux-gate join alice/work");
    assert_eq!(bob.status(), 75, "it waits");
}

#[test]
fn an_account_that_was_locked_while_its_person_waited_does_not_enter() {
    let host = host();
    let mut alice = work(&host);
    let mut bob = asks_and_waits(&host, "--for 30m");
    host.must(&["chage", "-E", "1", "bob"]);
    chooses(&mut alice, 1);
    bob.expect("bob: ");
    assert_eq!(bob.status(), 77);
    host.syslog_wait(&["event=refused", "user=bob", "pam="]);
}

#[test]
fn approvers_and_guests_are_told_in_their_own_sessions() {
    let host = host();
    host.configure("[[share]]\nowners = [\"alice\"]\nguests = [\"bob\"]\napprovers = [\"dave\"]\n");
    let mut dave = host.person("dave");
    dave.enter("dave");
    let mut there = host.person("bob");
    there.enter("bob");
    let mut alice = work(&host);
    let id = requested(&host, &mut host.person("bob"), "--for 30m");
    dave.expect(&format!("{id}: bob asks for alice/work; tmux-gate approve {id}"));
    let mut outside = host.person("dave");
    does(&mut outside, "dave", &format!("tmux-gate approve {id}"), &[]);
    there.expect(&format!("{id}: approved, read-only, 30m; tmux-gate join {id}"));
    assert_eq!(outside.command(&format!("tmux-gate revoke {id}")).status, 0);
    there.expect(&format!("{id}: revoked"));
    alice.inside("true");
    alice.expect_not("asks for");
}

#[test]
fn a_grant_changes_while_its_guest_is_in_more_by_an_approval_and_less_at_once() {
    let host = host();
    let mut alice = work(&host);
    let mut bob = asks_and_waits(&host, "--for 62s");
    chooses(&mut alice, 1);
    bob.expect_inside();
    bob.expect("is over in 1m");
    let first = id_inside(&host);
    let mut outside = host.person("alice");
    does(&mut outside, "alice", &format!("tmux-gate change {first} --read-write --for 20m"), &["whole account alice"]);
    bob.expect("read-write, 20m left");
    tmux_lets_type(&host, &mut alice);
    bob.send("echo typed $((40 + 2))\r");
    alice.expect_screen("typed 42");
    let second = id_inside(&host);
    assert_ne!(first, second, "a longer time is a new grant");
    let line = host.syslog_wait(&["event=changed", "access=read-write", &format!("grant={second}")]);
    assert!(line.contains("for=20m"), "{line}");

    let said = outside.command(&format!("tmux-gate change {second} --read-only --for 10m"));
    assert_eq!((said.status, said.text.contains("read-only, for 10m from now")), (0, true), "{said:?}");
    bob.expect("read-only, 10m left");
    bob.send("echo not typed\r");
    assert!(!alice.inside("true").text.contains("not typed"));
    let listed = outside.command("tmux-gate list").text;
    assert!(listed.contains("read-only, 10m left") || listed.contains("read-only, 9m left"), "{listed}");
    does(&mut outside, "alice", &format!("tmux-gate change {second} --read-write"), &["read-write, for 9m"]);
    bob.expect("read-write, ");
    tmux_lets_type(&host, &mut alice);
    bob.send("echo typed again $((40 + 2))\r");
    alice.expect_screen("typed again 42");
    let said = outside.command(&format!("tmux-gate change {} --for 1s", id_inside(&host)));
    assert_eq!(said.status, 0, "{said:?}");
    bob.expect("the grant's time is over");
    assert_eq!(bob.status(), 77);
}

#[test]
fn a_guest_in_a_session_that_was_not_granted_is_out_and_the_owners_options_are_hers_again() {
    let host = host();
    let mut alice = work(&host);
    alice.inside("tmux new-session -d -s private; tmux set -g detach-on-destroy off");
    let mut bob = asks_and_waits(&host, "--for 30m --read-write");
    chooses(&mut alice, 2);
    bob.expect_inside();
    assert_eq!(alice.inside("tmux show -t work -v detach-on-destroy").text.trim(), "on");
    bob.send("\x02)");
    bob.expect("you were detached");
    assert_eq!(bob.status(), 0);
    host.syslog_wait(&["event=left", "how=detached"]);
    host.wait_until("her options", || host.clients().len() == 1);
    assert_eq!(alice.inside("tmux show -A -t work -v detach-on-destroy").text.trim(), "off");
    assert_eq!(
        alice.inside("tmux show-hooks -g | grep -c '76....'; tmux show -t work | grep -c @").text.trim(),
        "0\n0"
    );
}

#[test]
fn a_monitor_that_is_killed_leaves_nothing_in_the_owners_server() {
    let host = host();
    let mut alice = work(&host);
    let mut bob = asks_and_waits(&host, "--for 30m");
    chooses(&mut alice, 1);
    bob.expect_inside();
    let relay = host.gates().into_iter().find(|one| one.comm == "tmux-gate:relay").expect("a relay");
    host.must(&["kill", "-9", &relay.ppid.to_string()]);
    bob.expect("the session's monitor died");
    host.wait_until("the hooks are gone", || alice.inside("tmux show-hooks -g | grep -c '76....'").text.trim() == "0");
}

#[test]
fn each_end_has_its_own_word() {
    let host = host();
    let mut alice = work(&host);
    alice.inside("tmux new-session -d -s other");
    let mut bob = asks_and_waits(&host, "--for 30m");
    chooses(&mut alice, 1);
    bob.expect_inside();
    let killed = |name: &str| {
        let gates = host.processes();
        let relay = gates.iter().find(|one| one.comm == "tmux-gate:relay").expect("a relay");
        let victim = gates.iter().find(|one| one.comm == name && one.ppid == relay.ppid).expect("the victim");
        host.must(&["kill", "-9", &victim.pid.to_string()]);
    };
    killed("tmux-gate:relay");
    bob.expect("a process of the gate's was killed");
    assert_eq!(bob.status(), 1);
    host.syslog_wait(&["event=left", "how=cut"]);
    let joined = host.syslog_wait(&["event=joined"]);
    let id = joined.split_once("grant=").expect("an id").1[..6].to_owned();
    joins(&mut bob, &id);
    killed("tmux: client");
    bob.expect("a process of the gate's was killed");
    assert_eq!(bob.status(), 1);
    joins(&mut bob, &id);
    alice.send("tmux detach-client -a\r");
    bob.expect("you were detached");
    assert_eq!(bob.status(), 0);
    joins(&mut bob, &id);
    alice.send("clear; tmux kill-session -t other; exit\r");
    bob.expect("the session has ended");
    assert_eq!(bob.status(), 0);
    host.syslog_wait(&["event=left", "how=ended"]);
    bob.attempt(&format!("tmux-gate join {id}"));
    bob.expect("Password: ");
    bob.send("bob's secret\r");
    bob.expect("has no such session now");
}

#[test]
fn nothing_is_approved_where_a_guest_types_and_a_popup_is_where_he_does_not_see() {
    let host = host();
    let mut alice = work(&host);
    let (mut bob, mut carol) = (host.person("bob"), host.person("carol"));
    let id = requested(&host, &mut bob, "--for 30m --read-write");
    does(&mut host.person("alice"), "alice", &format!("tmux-gate approve {id} --read-only"), &[]);
    joins(&mut bob, &id);
    alice.expect_screen("Deny");
    alice.send("q");
    does(&mut carol, "carol", &format!("tmux-gate request alice/work --for 5m {REASON}"), &[]);
    alice.expect_screen("carol, read-only, 5m");
    alice.send("q");
    let waiting = host.syslog_wait(&["event=requested", "guest=carol"]);
    let other = waiting.split_once("grant=").expect("an id").1[..6].to_owned();
    let line = format!("tmux-gate approve {other}");
    for line in [&line, &format!("script -qc '{line}' /dev/null")] {
        let said = alice.inside(line).text;
        assert!(said.contains("bob is in this session"), "{line}: {said}");
    }
    alice.send(format!("tmux display-popup -E -E 'tmux-gate approve {other}'\r"));
    alice.expect_screen("Password:");
    alice.send("alice's secret\r");
    host.syslog_wait(&["event=approved", &format!("grant={other}")]);
    let mut outside = host.person("alice");
    does(&mut outside, "alice", &format!("tmux-gate change {id} --read-write"), &[]);
    bob.expect("read-write, ");
    let said = outside.command(&format!("tmux-gate revoke {other}"));
    assert_eq!(said.status, 0);
    does(&mut host.person("dave"), "dave", &format!("tmux-gate request alice/work --for 6m {REASON}"), &[]);
    let last = host.events().into_iter().rfind(|l| l.contains("event=requested")).expect("a request");
    let last = last.split_once("grant=").expect("an id").1[..6].to_owned();
    alice.expect_screen("dave, read-only, 6m");
    alice.send("q");
    alice.send(format!("clear; tmux display-popup -E -E 'tmux-gate approve {last}'\r"));
    alice.expect_screen("bob is in this session");
}
