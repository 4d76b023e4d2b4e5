//! A code that goes another road, and rules that want more than one approval.

use crate::host::{Host, Person};
use crate::sharing::{REASON, does, joins, requested, work};

/// What a verb printed, the password given.
fn says(person: &mut Person<'_>, user: &str, line: &str) -> String {
    person.attempt(line);
    person.expect("Password: ");
    person.send(format!("{user}'s secret\r"));
    let said = person.finished();
    assert_eq!(said.status, 0, "{line}: {said:?}");
    said.text
}

fn after<'t>(text: &'t str, word: &str) -> &'t str {
    &text.split_once(word).unwrap_or_else(|| panic!("no {word:?} in {text:?}")).1[..6]
}

/// Gives the password, and then this code; the status.
fn with_code(person: &mut Person<'_>, user: &str, line: &str, code: &str) -> i32 {
    person.attempt(line);
    person.expect("Password: ");
    person.send(format!("{user}'s secret\r"));
    person.expect("Code of ");
    person.send(format!("{code}\r"));
    person.status()
}

fn other_than(code: &str) -> String {
    format!("{:06}", (code.parse::<u32>().expect("six digits") + 1) % 1_000_000)
}

#[test]
fn whoever_is_invited_with_a_code_needs_it_at_each_join_and_has_three_tries() {
    let host = Host::new();
    let _alice = work(&host);
    let (mut outside, mut bob) = (host.person("alice"), host.person("bob"));
    let said = says(&mut outside, "alice", &format!("tmux-gate invite bob work --for 30m {REASON} --code"));
    let (id, code) = (said.split_once(": invited").expect("an id").0, after(&said, "code ").to_owned());
    let id = id[id.len() - 6..].to_owned();
    let stored = host.must(&["sh", "-c", "cat /var/lib/tmux-gate/grants/*.*"]);
    assert!(!stored.contains(&code) && !host.syslog().join("\n").contains(&code), "the code itself is nowhere");
    let join = format!("tmux-gate join {id}");
    bob.attempt(&join);
    bob.expect("Password: ");
    bob.send("bob's secret\r");
    bob.expect("Code of ");
    bob.send(format!("{}\r", other_than(&code)));
    bob.expect("not its code; 2 tries are left");
    assert_eq!(bob.status(), 77);
    bob.attempt(&join);
    bob.expect("Password: ");
    bob.send("bob's secret\r");
    bob.expect("Code of ");
    bob.send(format!("{code}\r"));
    bob.expect_inside();
    bob.send("q");
    bob.expect("bob$ ");
    // What takes its place has the same code.
    does(&mut outside, "alice", &format!("tmux-gate change {id} --for 1h"), &[]);
    let line = host.syslog_wait(&["event=changed"]);
    let next = format!("tmux-gate join {}", after(&line, "grant="));
    for left in ["1 tries are left", "0 tries are left"] {
        bob.attempt(&next);
        bob.expect("Password: ");
        bob.send("bob's secret\r");
        bob.expect("Code of ");
        bob.send("what\r");
        bob.expect(left);
        assert_eq!(bob.status(), 77);
    }
    bob.attempt(&next);
    bob.expect("Password: ");
    bob.send("bob's secret\r");
    bob.expect("not its code; 0 tries are left");
    assert_eq!(bob.status(), 77, "there is no fourth");
}

#[test]
fn a_request_with_a_code_is_approved_by_whoever_was_told_it() {
    let host = Host::new();
    let _alice = work(&host);
    let (mut outside, mut bob) = (host.person("alice"), host.person("bob"));
    let said = says(&mut bob, "bob", &format!("tmux-gate request alice/work --for 30m {REASON} --code"));
    let code = after(&said, "code ").to_owned();
    let line = host.syslog_wait(&["event=requested"]);
    let id = after(&line, "grant=").to_owned();
    let approve = format!("tmux-gate approve {id}");
    assert_eq!(with_code(&mut outside, "alice", &approve, &other_than(&code)), 77);
    bob.attempt(&format!("tmux-gate join {id}"));
    assert_eq!(bob.status(), 75);
    assert_eq!(with_code(&mut outside, "alice", &approve, &code), 0);
    joins(&mut bob, &id);
}

#[test]
fn where_two_have_to_approve_one_is_not_enough_and_a_change_takes_two_as_well() {
    let host = Host::new();
    host.configure("[[share]]\naccess = \"read-write\"\napprovers = [\"owner\", \"dave\", \"carol\"]\napprovals = 2\n");
    let _alice = work(&host);
    let (mut outside, mut dave, mut bob) = (host.person("alice"), host.person("dave"), host.person("bob"));
    let id = requested(&host, &mut bob, "--for 30m");
    for _ in 0..2 {
        let said = says(&mut outside, "alice", &format!("tmux-gate approve {id}"));
        assert!(said.contains("it takes others besides"), "the same person twice is one: {said}");
    }
    bob.attempt(&format!("tmux-gate join {id}"));
    assert_eq!(bob.status(), 75);
    does(&mut dave, "dave", &format!("tmux-gate approve {id} --for 20m"), &[]);
    joins(&mut bob, &id);
    assert!(
        outside.command("tmux-gate who").text.contains("read-only, 20m")
            || outside.command("tmux-gate who").text.contains("read-only, 19m")
    );
    does(&mut outside, "alice", &format!("tmux-gate change {id} --read-write"), &[]);
    let line = host.syslog_wait(&["event=changed", "access=read-write"]);
    let next = after(&line, "grant=").to_owned();
    assert!(outside.command("tmux-gate who").text.contains("read-only"), "it waits for the second");
    does(&mut dave, "dave", &format!("tmux-gate approve {next}"), &[]);
    bob.expect("read-write, ");
    // What was to change a grant that is over changes nothing.
    does(&mut outside, "alice", &format!("tmux-gate change {next} --for 25m"), &[]);
    let late = host.events().into_iter().rfind(|line| line.contains("event=changed")).expect("a change");
    let late = after(&late, "grant=").to_owned();
    assert_eq!(outside.command(&format!("tmux-gate revoke {next}")).status, 0);
    bob.expect("the grant was taken away");
    let said = dave.command(&format!("tmux-gate approve {late}"));
    assert!(said.status == 1 && said.text.contains("what it was to change is over"), "{said:?}");
}

#[test]
fn rules_and_groups_made_stricter_hold_for_a_guest_who_is_inside() {
    let host = Host::new();
    host.must(&["groupadd", "dev"]);
    host.must(&["gpasswd", "-a", "bob", "dev"]);
    host.configure("[[share]]\nguests = [\"@dev\"]\naccess = \"read-write\"\n");
    let _alice = work(&host);
    let (mut outside, mut bob) = (host.person("alice"), host.person("bob"));
    let id = requested(&host, &mut bob, "--for 30m --read-write");
    does(&mut outside, "alice", &format!("tmux-gate approve {id}"), &[]);
    joins(&mut bob, &id);
    host.configure("[[share]]\nguests = [\"@dev\"]\nmax_duration = \"20m\"\n");
    bob.expect("read-only, ");
    let who = outside.command("tmux-gate who").text;
    assert!(who.contains("read-only"), "{who}");
    host.configure("[[share]]\nguests = [\"@dev\"]\naccess = \"read-write\"\n");
    host.must(&["gpasswd", "-d", "bob", "dev"]);
    bob.expect("the rules do not let you in any more");
    assert_eq!(bob.status(), 77);
    host.syslog_wait(&["event=left", "how=forbidden", "guest=bob"]);
    bob.attempt(&format!("tmux-gate join {id}"));
    bob.expect("no rule lets you into that session");
    assert_eq!(bob.status(), 77, "without a password");
}
