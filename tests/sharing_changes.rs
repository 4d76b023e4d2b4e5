//! What a guest who could type leaves behind: the owner is shown it when he has left, and the record has it.

use crate::host::{Host, Person};
use crate::sharing::{does, host, joins, requested, work};
use std::time::{Duration, Instant};

/// bob, in alice/work with a grant of this; his grant's id.
fn inside<'h>(host: &'h Host, what: &str) -> (Person<'h>, String) {
    let (mut bob, mut outside) = (host.person("bob"), host.person("alice"));
    let id = requested(host, &mut bob, &format!("--for 30m {what}"));
    does(&mut outside, "alice", &format!("tmux-gate approve {id}"), &[]);
    joins(&mut bob, &id);
    (bob, id)
}

fn revoke(host: &Host, id: &str) {
    assert!(host.run_as("alice", &["tmux-gate", "revoke", id]).status.success());
}

/// What the record says of it, quotes taken off.
fn changed(host: &Host) -> String {
    let line = host.syslog_wait(&["event=left", "changed="]);
    let line = host.events().into_iter().rfind(|line| line.contains("event=left")).unwrap_or(line);
    line.split_once("changed=").unwrap().1.trim_matches('"').to_owned()
}

/// The number before `what`.
fn count(text: &str, what: &str) -> usize {
    let before = text.split_once(what).unwrap_or_else(|| panic!("{what} in {text}")).0;
    before.trim_end().rsplit(' ').next().unwrap().parse().unwrap_or_else(|_| panic!("{what} in {text}"))
}

#[test]
fn the_owner_is_shown_keys_hooks_options_pipes_and_processes_that_a_guest_left_behind() {
    let host = host();
    let mut alice = work(&host);
    alice.resize(24, 160);
    assert_eq!(alice.inside("tmux bind-key M-x kill-server; tmux bind-key M-y kill-server").status, 0);
    let (mut bob, id) = inside(&host, "--read-write");
    host.must(&["sh", "-c", "cp /usr/bin/sleep '/tmp/a#{pid}\"b'; chmod 755 /tmp/a*"]);
    for line in [
        "tmux bind-key M-x display-message x; tmux unbind-key M-y",
        "tmux bind-key -n M-very-long-no; tmux bind-key -n M-F12 display-message y; tmux bind-key -T own z detach-client",
        "tmux set-hook -g after-new-window 'run-shell true'; tmux set-hook -ag after-new-window 'run-shell false'",
        "tmux set-hook -p pane-died 'run-shell true'",
        "tmux set -g status-right x; tmux set -s @x 1; tmux set mouse on; tmux set -w @y 2; tmux set -p @z 3",
        "tmux pipe-pane 'exec cat >/dev/null'",
        "(setsid '/tmp/a#{pid}\"b' 1000 & ); sleep 1001 & true",
    ] {
        assert_eq!(bob.inside(line).status, 0, "{line}");
    }
    revoke(&host, &id);
    bob.expect("the grant was taken away");
    let counts = "4 key bindings, 2 hooks, 5 options, 1 piped pane; ";
    alice.expect_screen(&format!("tmux-gate: bob left; changed meanwhile: {counts}"));
    let said = changed(&host);
    assert!(said.starts_with(counts), "{said}");
    // The one who is nobody's child, and the pipe's; a shell between them goes by the shell.
    let (new, outside) = (count(&said, " new processes"), count(&said, " of them outside panes"));
    assert!((3..=4).contains(&new) && new == outside + 1, "{said}");
    assert!(said.contains("a#{pid}\\\"b") && said.ends_with("sleep)"), "{said}");
    assert!(!alice.screen().contains("#{pid}"), "{}", alice.screen());
    assert_eq!(alice.inside("true").status, 0, "and works on");
}

#[test]
fn where_a_guest_left_nothing_behind_the_owner_is_not_bothered_and_one_who_only_saw_is_not_asked_about() {
    let host = host();
    let mut alice = work(&host);
    let (mut bob, id) = inside(&host, "--read-write");
    assert_eq!(bob.inside("sleep 0.1; tmux ls").status, 0);
    revoke(&host, &id);
    bob.expect("the grant was taken away");
    assert_eq!(changed(&host), "nothing");
    let (mut other, id) = inside(&host, "");
    revoke(&host, &id);
    other.expect("the grant was taken away");
    let left = host.syslog_wait(&["event=left", &format!("grant={id}")]);
    assert!(!left.contains("changed="), "{left}");
    assert_eq!(alice.inside("true").status, 0);
    alice.expect_not("changed meanwhile");
}

#[test]
fn a_server_that_has_fallen_silent_does_not_hold_up_the_cut() {
    let host = host();
    let _alice = work(&host);
    let (mut bob, id) = inside(&host, "--read-write");
    let server = host.processes().into_iter().find(|one| one.is_tmux_server()).expect("a server");
    host.must(&["kill", "-STOP", &server.pid.to_string()]);
    let (client, relay) = {
        let all = host.processes();
        let client = all.iter().find(|one| one.cmdline.contains("attach-session -E")).expect("a client");
        let relay = all.iter().find(|one| one.comm == "tmux-gate:relay").expect("a relay");
        (client.pid, relay.pid)
    };
    revoke(&host, &id);
    let revoked = Instant::now();
    host.wait_until("the cut", || !host.processes().iter().any(|one| [client, relay].contains(&one.pid)));
    let cut = revoked.elapsed();
    assert!(cut < Duration::from_millis(1000), "{cut:?}");
    assert_eq!(changed(&host), "the tmux server does not answer");
    bob.expect("the grant was taken away");
    host.must(&["kill", "-CONT", &server.pid.to_string()]);
}

#[test]
fn a_guest_who_ends_the_server_is_on_record() {
    let host = host();
    let mut alice = work(&host);
    let (mut bob, _) = inside(&host, "--read-write");
    bob.send("tmux kill-server\r");
    bob.expect("the session has ended");
    assert_eq!(changed(&host), "the tmux server does not answer");
    alice.expect("[server exited]");
}

#[test]
fn other_clients_that_the_gate_let_in_are_no_new_processes() {
    let host = host();
    let _alice = work(&host);
    let (mut bob, id) = inside(&host, "--read-write");
    let mut again = host.person("alice");
    again.attempt("tmux-gate attach work");
    again.expect("Password: ");
    again.send("alice's secret\r");
    again.expect_inside();
    revoke(&host, &id);
    bob.expect("the grant was taken away");
    assert_eq!(changed(&host), "1 new process, 1 of them outside panes (bash)", "her shell outside");
}
