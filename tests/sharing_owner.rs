//! The owner attacks the guest. She owns the server and the client by which he sees it, and can replace both: nothing runs as
//! the guest, nothing of his files, environment or terminal arrives at her, nothing outside the allow list at his terminal,
//! and he can always leave.

#[path = "../src/relay/filter/tests/grammar.rs"]
mod grammar;
mod hostile;
mod printed;
pub mod server;
pub mod visit;

use crate::host::{Host, LIMIT};
use std::time::{Duration, Instant};
pub use visit::{CANARY, Visit};

/// What a command of the owner's would tell, were it run: who it is, and all that it has and reaches.
const SPY: &str = "#!/bin/sh
{ id -un; tr '\\0' '\\n' </proc/self/environ; ls -l /proc/self/fd /proc/$PPID/fd; cat /home/bob/secret
key read; echo planted >/home/bob/planted; echo planted >/home/bob/.profile; } >/tmp/spied.new.$$ 2>&1
cat /tmp/spied.new.$$ >>/tmp/spied
";

/// The kernel keeps secrets in keyrings, which a process hands on to those that it starts.
const KEY: &str = "#include <stdio.h>\n#include <string.h>\n#include <sys/syscall.h>\n#include <unistd.h>\n\
int main(int argc, char **argv) { char text[99]; long id, n;\n\
if (!strcmp(argv[1], \"session\")) { syscall(SYS_keyctl, 1L, 0L); return execlp(argv[2], argv[2], \"-c\", argv[3], NULL); }\n\
if (!strcmp(argv[1], \"add\")) return syscall(SYS_add_key, \"user\", \"canary\", argv[2], strlen(argv[2]), -3L) < 0;\n\
id = syscall(SYS_keyctl, 10L, -3L, \"user\", \"canary\", 0L); n = syscall(SYS_keyctl, 11L, id, text, 98L);\n\
return n < 0 ? 1 : printf(\"%.*s\\n\", (int)n, text) < 0; }\n";

/// A program in the place of the client that gives up what keeps it from being traced, and is traced by somebody who is not
/// interested in what becomes of it.
const HOLD: &str = "#define _GNU_SOURCE\n#include <fcntl.h>\n#include <sys/prctl.h>\n#include <sys/ptrace.h>\n#include <unistd.h>\n\
int main(void) { int own = getpid(); setresgid(getgid(), getgid(), getgid()); prctl(PR_SET_DUMPABLE, 1);\n\
if (!fork()) { setsid(); if (!ptrace(PTRACE_SEIZE, own, 0, 0)) creat(\"/tmp/held\", 0600); }\n\
for (;;) pause(); }\n";

/// A host whose gate asks no password, in which bob has a secret, and alice a spy.
fn host() -> Host {
    let host = Host::open();
    host.write("/usr/local/bin/spy", SPY, 0o755);
    for (name, source) in [("key", KEY), ("hold", HOLD)] {
        host.write(&format!("/tmp/{name}.c"), source, 0o644);
        host.must(&["cc", "-w", "-o", &format!("/usr/local/bin/{name}"), &format!("/tmp/{name}.c")]);
    }
    let secret =
        "echo $0 >/home/bob/secret; chown bob: /home/bob/secret; chmod 600 /home/bob/secret; chmod 700 /home/bob";
    host.must(&["sh", "-c", secret, CANARY]);
    host
}

/// The spy was there `times` times, always as alice, and found nothing of bob's.
fn expect_spied_in_vain(host: &Host, bob: &Visit<'_>, times: usize) {
    let told = || String::from_utf8_lossy(&host.run(&["cat", "/tmp/spied"]).stdout).into_owned();
    let reports = |told: &str| told.lines().filter(|line| *line == "alice").count();
    host.wait_until(&format!("{times} reports of the spy"), || reports(&told()) >= times);
    let told = told();
    let names: Vec<_> = told.lines().filter(|line| ["alice", "bob", "root", "tmux-gate"].contains(line)).collect();
    assert_eq!(names, vec!["alice"; times], "{told}");
    assert!(!told.contains(CANARY), "{told}");
    assert!(!told.contains(&format!("-> {}\n", bob.person.terminal.name)), "{told}");
    assert!(!host.exists("/home/bob/planted") && !host.exists("/home/bob/.profile"), "{told}");
}

/// Sets `$guest` to the name of the only client that reads only.
const GUEST: &str = "guest=$(tmux list-clients -F '#{?client_readonly,#{client_name},}' | tr -d '\\n')";

#[test]
fn commands_that_tmux_runs_in_a_guests_client_run_as_the_owner_and_find_nothing_of_the_guest() {
    let host = host();
    let mut alice = visit::at_work(&host);
    let mut bob = Visit::prepare(&host);
    for (round, command) in [
        "tmux detach-client -t $guest -E spy",
        "tmux set -g lock-command spy; tmux lock-client -t $guest; tmux detach-client -t $guest",
        "tmux lock-server; tmux detach-client -t $guest",
        "tmux run-shell -b spy; tmux detach-client -t $guest",
        "tmux set-hook -g client-detached 'run-shell -b spy'; tmux detach-client -t $guest",
        "tmux set-hook -gu client-detached; tmux display-popup -c $guest -E spy; tmux detach-client -t $guest",
        "tmux confirm-before -b -t $guest 'run-shell spy'; spy; tmux detach-client -P -t $guest",
    ]
    .into_iter()
    .enumerate()
    {
        bob.join();
        bob.expect_nothing_of_his_elsewhere();
        alice.send(format!("{GUEST}; {command}; clear\r"));
        bob.expect_cut_off();
        // The lock is on her own client as well.
        expect_spied_in_vain(&host, &bob, if round < 2 { round + 1 } else { round + 2 });
    }
    bob.expect_only_the_allow_list();
    assert!(!alice.inside("tmux show-environment; tmux show-environment -g").text.contains(CANARY));
}

#[test]
fn whatever_the_owner_does_to_his_client_the_guest_leaves_by_a_key() {
    let host = host();
    let mut alice = visit::at_work(&host);
    let mut bob = Visit::prepare(&host);
    for (command, keys) in [
        ("tmux suspend-client -t $guest", "q"),
        ("tmux confirm-before -b -t $guest 'run-shell spy'", "\x03"),
        ("tmux new-session -d -s other; tmux switch-client -c $guest -t other", "\x02d"),
        ("tmux run-shell -b \"tmux display-popup -c $guest -E cat; true\"", "q"),
        ("tmux command-prompt -b -t $guest", "\x02d"),
        (
            "tmux set prefix M-F12; tmux unbind -a; tmux detach-client -t $guest -E 'trap \"\" HUP INT QUIT; sleep 1000'",
            "q",
        ),
        ("kill -STOP $(pgrep -f 'attach-session -E')", "\x03"),
        ("kill -STOP $(pgrep -f 'attach-session -E'); tmux resize-window -x 100", "q"),
    ] {
        bob.join();
        let said = alice.inside(&format!("{GUEST}; {command}"));
        assert!(!said.text.contains("no such"), "{said:?}");
        bob.expect_nothing_of_his_elsewhere();
        bob.leave(keys);
        host.wait_until("alice alone", || host.clients().len() == 1);
    }
    bob.expect_only_the_allow_list();
    assert!(!host.exists("/tmp/spied"));
}

#[test]
fn a_server_that_is_stopped_lets_nobody_in_and_keeps_nobody_in() {
    let host = host();
    let _alice = visit::at_work(&host);
    let (mut bob, mut typist) = (Visit::prepare(&host), Visit::invited(&host, "--read-write"));
    bob.join();
    typist.join();
    host.kill("STOP", &host.tmux_servers());
    bob.leave("q");
    // It reads nothing, and he has typed more than there is room for.
    typist.person.send("x".repeat(3000));
    typist.leave("\x02d\x02d\x02d");
    bob.set_out();
    bob.person.expect("the tmux server does not answer");
    bob.expect_back(69);
    host.kill("CONT", &host.tmux_servers());
    bob.join();
    bob.leave("q");
}

#[test]
fn a_client_that_the_owner_traces_keeps_nobody_in() {
    let host = host();
    let mut alice = visit::at_work(&host);
    let mut bob = Visit::prepare(&host);
    for cut in [false, true] {
        bob.join();
        alice.send(format!("{GUEST}; clear; tmux detach-client -t $guest -E 'exec hold'\r"));
        host.wait_until("a client that is traced", || host.exists("/tmp/held"));
        host.remove("/tmp/held");
        let start = Instant::now();
        if cut {
            assert_eq!(host.run_as("alice", &["tmux-gate", "revoke", &bob.id]).status.code(), Some(0));
            bob.person.expect("taken away");
            bob.expect_back(77);
        } else {
            bob.leave("q");
        }
        assert!(start.elapsed() < Duration::from_secs(5), "it took {:?}", start.elapsed());
    }
}

#[test]
fn a_guest_whose_relay_or_monitor_is_killed_has_his_terminal_back() {
    let host = host();
    let _alice = visit::at_work(&host);
    let mut bob = Visit::prepare(&host);
    let find = |name: &str| {
        let found = host.gates().into_iter().find(|gate| gate.comm == name && gate.cmdline.contains("join"));
        found.expect("one of that role").pid
    };
    bob.join();
    host.kill("KILL", &[find("tmux-gate:relay")]);
    bob.person.expect("a process of the gate's was killed");
    bob.expect_back(1);
    bob.join();
    host.kill("KILL", &[find("tmux-gate:mon")]);
    bob.expect_back(1);
    host.wait_until("alice alone", || host.clients().len() == 1 && host.gates().len() == 2);
    bob.join();
    host.kill("KILL", &[find("tmux-gate:mon"), find("tmux-gate:relay")]);
    bob.expect_back(1);
    bob.join();
    bob.leave("q");
}

#[test]
fn what_a_guest_types_in_the_moment_of_the_cut_is_for_nobody() {
    let host = host();
    let _alice = visit::at_work(&host);
    let mut outside = host.person("alice");
    for kill in [None, Some("tmux-gate:relay"), Some("tmux-gate:mon")] {
        let mut bob = Visit::invited(&host, "--read-write");
        bob.join();
        let line = b"\x15touch /tmp/late-$(id -un)\r";
        let mut keys = line.iter().cycle();
        let mut type_one = |bob: &mut Visit<'_>| {
            bob.person.send([*keys.next().unwrap()]);
            std::thread::sleep(Duration::from_millis(2));
        };
        (0..60).for_each(|_| type_one(&mut bob));
        match kill {
            None => outside.send(format!("tmux-gate revoke {}\r", bob.id)),
            Some(role) => {
                let gate = host.gates().into_iter().find(|gate| gate.comm == role && gate.cmdline.contains("join"));
                host.kill("KILL", &[gate.unwrap().pid]);
            }
        }
        let start = Instant::now();
        while !bob.is_sent_home() && start.elapsed() < LIMIT {
            type_one(&mut bob);
        }
        // Until he can have seen it.
        (0..100).for_each(|_| type_one(&mut bob));
        let said = bob.person.finished();
        assert!(!said.text.ends_with("touch") && !bob.person.screen().contains("touch"), "{}", bob.person.transcript());
        assert!(host.exists("/tmp/late-alice"), "he typed nothing while he could");
        assert!(!host.exists("/tmp/late-bob"), "{}", bob.person.transcript());
    }
}

#[test]
fn what_follows_the_q_in_a_paste_is_for_nobody() {
    let host = host();
    let _alice = visit::at_work(&host);
    let mut bob = Visit::prepare(&host);
    bob.join();
    bob.person.send(format!("quote\r{}", "touch /tmp/late-$(id -un)\r".repeat(2000)));
    bob.expect_back(0);
    assert!(!host.exists("/tmp/late-bob") && !host.exists("/tmp/late-alice"), "{}", bob.person.transcript());
    assert_eq!(bob.person.transcript().matches("touch").count(), 0);
}
