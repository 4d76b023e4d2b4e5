//! `explain OWNER`: which `[[share]]` decides about the caller as a guest, or about him as the owner, and why; to nobody else a
//! word about who is there.

use crate::host::{GATE, Host};
use serde_json::{Value, json};

/// What is said, with its status; nothing on standard error.
#[track_caller]
fn said(host: &Host, user: &str, words: &[&str]) -> (String, i32) {
    let output = host.run_as(user, &[&[GATE, "explain"], words].concat());
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{user}: {words:?}");
    (String::from_utf8(output.stdout).unwrap(), output.status.code().unwrap())
}

#[track_caller]
fn document(host: &Host, user: &str, owner: &str) -> (Value, i32) {
    let (text, status) = said(host, user, &[owner, "--json"]);
    (serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}")), status)
}

/// alice is of the group ops, bob of dev.
const RULES: &str = "\
[[share]]
owners = [\"eve\", \"@ops\"]
guests = [\"carol\", \"@dev\"]
max_duration = \"30m\"
approvers = [\"owner\", \"@ops\"]
approvals = 2

[[share]]
owners = [\"uid:1001\", \"carol\"]
access = \"read-write\"

[[share]]
owners = [\"dave\"]
guests = []
";

fn host() -> Host {
    let host = Host::as_installed();
    host.must(&["sh", "-ec", "groupadd ops; groupadd dev; gpasswd -a alice ops; gpasswd -a bob dev"]);
    host.configure(RULES);
    host
}

#[test]
fn a_guest_is_told_the_first_rule_that_is_about_both_by_which_entries_and_what_it_gives() {
    let host = host();
    let first = "\
bob may ask to be let into sessions of alice: [[share]] 1 of /etc/tmux-gate/config.toml decides, the first that is about both
  it is about alice by \"@ops\" of owners; it is about bob by \"@dev\" of guests
  gives at most: read-only, for 30m
  approvers: \"owner\", \"@ops\"; 2 of them must approve, and nobody approves what he asked for
";
    assert_eq!(said(&host, "bob", &["alice"]), (first.to_owned(), 0));
    let (text, status) = said(&host, "dave", &["alice"]);
    assert!(status == 0 && text.contains("[[share]] 2 of "), "{text}");
    assert!(
        text.contains("about alice by \"uid:1001\" of owners; it is about dave because it names no guests"),
        "{text}"
    );
    assert!(text.contains("gives at most: read-write, for 1h\n") && text.contains("1 of them must"), "{text}");
    let (value, status) = document(&host, "bob", "alice");
    assert_eq!((&value["allowed"], &value["rule"], status), (&json!(true), &json!("share[0]"), 0));
    let share = json!({
        "number": 1, "owners": ["eve", "@ops"], "guests": ["carol", "@dev"], "access": "read-only", "max_duration": 1800,
        "approvers": ["owner", "@ops"], "approvals": 2,
    });
    assert_eq!((&value["share"], &value["owner"]), (&share, &json!("alice")));
}

#[test]
fn where_no_rule_is_written_the_built_in_one_is_named() {
    let host = Host::as_installed();
    for written in ["", "[attach]\nusers = [\"bob\"]\n"] {
        host.configure(written);
        let (text, status) = said(&host, "bob", &["alice"]);
        let built_in = "alice: the built-in rule, for /etc/tmux-gate/config.toml has no [[share]], decides";
        assert!(status == 0 && text.contains(built_in), "{text}");
        assert!(text.contains("read-write, for 8h\n") && text.contains("\"owner\"; 1 of them"), "{text}");
        let (value, _) = document(&host, "bob", "alice");
        assert_eq!((&value["rule"], &value["share"]["number"]), (&json!("default"), &Value::Null));
    }
    host.configure("[[share]]\naccess = \"read-write\"\nmax_duration = \"8h\"\n"); // the same, written
    assert_eq!(document(&host, "bob", "alice").0["share"]["number"], 1);
}

#[test]
fn who_is_not_there_reads_the_same_as_who_is_closed_to_the_caller() {
    let host = host();
    // bob: of no rule that is about him; dave: of one that lets nobody in.
    let (closed, status) = said(&host, "carol", &["bob"]);
    assert_eq!(status, 77);
    assert!(closed.starts_with("carol may not ask to be let into sessions of bob: no [[share]] of /etc/"), "{closed}");
    let document_of = |name: &str| {
        let (value, status) = document(&host, "carol", name);
        (value.to_string().replace(name, "X"), status)
    };
    for other in ["dave", "root", "nobody", "eve", "nosuch", "daemon"] {
        assert_eq!(said(&host, "carol", &[other]), (closed.replace("bob", other), 77), "{other}");
        assert_eq!(document_of(other), document_of("bob"), "{other}");
    }
    // Who does not pass the gate at all asks nobody, and learns nothing of anybody.
    host.configure(&format!("[attach]\nusers = [\"alice\"]\n{RULES}"));
    let shut = "bob may not attach: no entry of [attach] users fits\n";
    for owner in ["alice", "carol", "eve", "nosuch"] {
        assert_eq!(said(&host, "bob", &[owner]), (shut.to_owned(), 77), "{owner}");
    }
}

#[test]
fn an_owner_is_told_each_rule_about_who_may_ask_into_his_sessions() {
    let host = host();
    let (text, status) = said(&host, "alice", &["alice"]);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(status, 0);
    assert!(lines[0].starts_with("alice may attach to the own session"), "{text}");
    let by = |number, guests| {
        format!("into sessions of alice, by [[share]] {number} of /etc/tmux-gate/config.toml: {guests}")
    };
    assert_eq!(
        (lines[1], lines[5]),
        (by(1, "\"carol\", \"@dev\" may ask").as_str(), by(2, "everybody may ask").as_str())
    );
    assert_eq!(
        (lines[2], lines[6], lines.len()),
        ("  it is about alice by \"@ops\" of owners", "  it is about alice by \"uid:1001\" of owners", 9)
    );
    let (value, _) = document(&host, "alice", "alice");
    let rules: Vec<_> = value["shares"].as_array().unwrap().iter().map(|share| share["rule"].clone()).collect();
    assert_eq!((rules, &value["attach"]["allowed"]), (vec![json!("share[0]"), json!("share[1]")], &json!(true)));

    let (text, _) = said(&host, "dave", &["dave"]);
    assert!(text.contains("by [[share]] 3 of /etc/tmux-gate/config.toml: nobody may ask"), "{text}");
    let (text, _) = said(&host, "bob", &["bob"]);
    assert!(
        text.ends_with(
            "into sessions of bob: nobody, no [[share]] of /etc/tmux-gate/config.toml is about bob as an owner\n"
        ),
        "{text}"
    );
}

#[test]
fn explain_says_what_the_gate_then_does() {
    let host = host();
    let wants = |guest: &str, owner: &str| {
        let mut person = host.person(guest);
        let line = format!("tmux-gate request {owner} --for 1m --reason 'the disk of db1 is full'");
        person.attempt(&line);
        person.expect("Password: ");
        person.send(format!("{guest}'s secret\r"));
        person.status()
    };
    for (guest, owner) in [("bob", "alice"), ("carol", "bob"), ("carol", "nosuch"), ("bob", "carol")] {
        assert_eq!(wants(guest, owner), said(&host, guest, &[owner]).1, "{guest} {owner}");
    }
}

#[test]
fn a_name_that_is_none_is_a_slip_of_the_keyboard() {
    let host = host();
    for bad in ["../alice", "-alice", "a b", "x\x1b[2J", ""] {
        let output = host.run_as("bob", &[GATE, "explain", "--", bad]);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{bad:?}: {output:?}");
    }
    assert_eq!(host.events(), Vec::<String>::new());
}
