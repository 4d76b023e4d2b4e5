//! Into somebody else's session: asked, approved, joined, cut off.

use crate::host::{Host, Person};

/// A host with alice in her session `work`, and bob at his shell.
pub fn host() -> Host {
    Host::new()
}

pub fn work<'h>(host: &'h Host) -> Person<'h> {
    let mut alice = host.person("alice");
    alice.attempt("tmux-gate attach work");
    alice.expect("Password: ");
    alice.send("alice's secret\r");
    alice.expect_inside();
    alice
}

/// Types a verb, is told these facts in this order, gives the password, and is back at the prompt.
pub fn does(person: &mut Person<'_>, user: &str, line: &str, facts: &[&str]) {
    person.attempt(line);
    for fact in facts {
        person.expect(fact);
    }
    person.expect("Password: ");
    person.send(format!("{user}'s secret\r"));
    let said = person.finished();
    assert_eq!(said.status, 0, "{line}: {said:?}");
}

pub const REASON: &str = "--reason 'the disk of db1 is full #(touch /tmp/x)'";

/// The id of the one grant that waits.
pub fn requested(host: &Host, bob: &mut Person<'_>, what: &str) -> String {
    does(bob, "bob", &format!("tmux-gate request alice/work {what} {REASON}"), &[]);
    let line = host.syslog_wait(&["event=requested", "guest=bob", "owner=alice"]);
    let line = host.events().into_iter().rfind(|l| l.contains("event=requested")).unwrap_or(line);
    line.split_once("grant=").expect("an id").1[..6].to_owned()
}

pub fn joins(bob: &mut Person<'_>, id: &str) {
    bob.attempt(&format!("tmux-gate join {id}"));
    bob.expect("Password: ");
    bob.send("bob's secret\r");
    bob.expect_inside();
}

#[test]
fn a_guest_asks_is_given_less_sees_and_cannot_type_and_is_cut_off_by_revoke() {
    let host = host();
    let mut alice = work(&host);
    let (mut bob, mut outside) = (host.person("bob"), host.person("alice"));
    let id = requested(&host, &mut bob, "--for 30m --read-write");
    let facts =
        ["bob wants into session work of alice, read-only, for 15m", "the disk of db1 is full", "work:0.0 bash"];
    does(&mut outside, "alice", &format!("tmux-gate approve {id} --for 15m --read-only"), &facts);
    joins(&mut bob, &id);
    alice.send("echo a line of $((40 + 2))\r");
    bob.expect_screen("a line of 42");
    bob.send("echo typed\r\x03"); // the last leaves
    bob.expect("bob$ ");
    host.syslog_wait(&["event=left", "how=left"]);
    alice.send("echo second of $((40 + 2))\r");
    alice.expect_screen("second of 42");
    assert!(!alice.screen().contains("typed"), "{}", alice.screen());

    joins(&mut bob, &id);
    assert!(outside.command("tmux-gate who").text.contains("bob in alice/work: read-only, 1"));
    assert!(outside.command("tmux-gate status").text.contains("1 guest: bob ro 1"));
    assert_eq!(outside.command(&format!("tmux-gate revoke {id}")).status, 0);
    bob.expect("the grant was taken away");
    assert_eq!(bob.status(), 77);
    host.syslog_wait(&["event=left", "how=revoked", "guest=bob"]);
    assert!(outside.command("tmux-gate who").text.contains("nobody is in"));
    assert!(!host.exists("/tmp/x"), "a reason was run");
    bob.attempt(&format!("tmux-gate join {id}"));
    bob.expect("it is over");
    assert_eq!(host.clients().len(), 1, "alice's own goes on");
}

#[test]
fn a_guest_who_may_type_types_and_the_end_of_his_time_cuts_him_off() {
    let host = host();
    let _alice = work(&host);
    let (mut bob, mut outside) = (host.person("bob"), host.person("alice"));
    let id = requested(&host, &mut bob, "--for 5s --read-write");
    let facts = ["To type into it is to have the whole account alice"];
    does(&mut outside, "alice", &format!("tmux-gate approve {id}"), &facts);
    joins(&mut bob, &id);
    bob.send("id -un\r");
    bob.expect_screen("alice\n");
    bob.expect("the grant's time is over");
    assert_eq!(bob.status(), 77);
    host.syslog_wait(&["event=left", "how=expired"]);
    host.expect_sessions("open alice\nopen bob\nclose bob\n");
}

#[test]
fn nobody_approves_what_he_asked_for_and_strangers_learn_nothing() {
    let host = host();
    host.configure("[[share]]\naccess = \"read-write\"\napprovers = [\"owner\", \"bob\", \"root\"]\n");
    let (mut bob, mut carol) = (host.person("bob"), host.person("carol"));
    let id = requested(&host, &mut bob, "--for 30m");
    let own = bob.command(&format!("tmux-gate approve {id}"));
    assert_eq!((own.status, own.text.contains("whoever asked does not approve")), (77, true), "{own:?}");
    for verb in ["approve", "revoke", "deny", "join", "change --for 1s", "change --for 100h"] {
        let said = carol.command(&format!("tmux-gate {verb} {id}"));
        assert_eq!((said.status, said.text.contains("no request or grant that concerns you")), (77, true), "{said:?}");
    }
    let unknown = carol.command("tmux-gate join nobody");
    assert_eq!(unknown.status, 77);
    assert!(!carol.command("tmux-gate list").text.contains(&id));
    let more = bob.command("tmux-gate join alice/work");
    assert_eq!(more.status, 75, "{more:?}");
}
