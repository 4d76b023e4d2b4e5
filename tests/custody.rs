//! The socket: reached from inside the session by its plain path, from nowhere else; and nothing planted is trusted.

use crate::host::{Host, NO_QUESTION, Person};

const SOCKET: &str = "/run/tmux-gate/1001/default";

fn inside(host: &Host) -> Person<'_> {
    host.pam(NO_QUESTION);
    let mut alice = host.person("alice");
    alice.attempt("tmux-gate");
    alice.expect_inside();
    alice
}

#[test]
fn inside_the_session_tmux_works_by_its_plain_path() {
    let host = Host::new();
    let mut alice = inside(&host);
    let said = alice.inside("tmux ls");
    assert!(said.status == 0 && said.text.starts_with("main: 1 windows"), "{said:?}");
    let said = alice.inside("echo $TMUX");
    assert!(said.text.starts_with(&format!("{SOCKET},")), "{said:?}");
    assert_eq!(alice.inside(&format!("tmux -S {SOCKET} has-session -t =main")).status, 0);
    assert_eq!(alice.inside("tmux split-window -v").status, 0);
    let said = alice.inside("tmux list-panes; id -nG");
    assert!(said.text.contains("1: [80x") && said.text.contains("tmux-gate"), "{said:?}");
    assert_eq!(alice.inside("tmux new-window -d -n second").status, 0);
    alice.send("tmux select-window -t =main:second\r");
    alice.expect_screen("second*");
    assert_eq!(alice.inside("tmux ls").status, 0);
}

#[test]
fn outside_nobody_reaches_the_socket_not_even_the_same_uid() {
    let host = Host::new();
    let _alice = inside(&host);
    for user in ["alice", "bob", "nobody", "4242"] {
        for command in [&["tmux", "-S", SOCKET, "ls"][..], &["ls", "/run/tmux-gate/1001"], &["stat", SOCKET]] {
            let output = host.run_as(user, command);
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert!(!output.status.success() && stderr.contains("Permission denied"), "{user} {command:?}: {output:?}");
        }
    }
    let mut elsewhere = host.person("alice");
    let said = elsewhere.command(&format!("TMUX={SOCKET},1,0 tmux ls"));
    assert!(said.status != 0 && said.text.contains("Permission denied"), "{said:?}");
}

#[test]
fn the_group_alone_is_not_enough_for_another_user() {
    let host = Host::new();
    let _alice = inside(&host);
    let group = host.must(&["getent", "group", "tmux-gate"]).split(':').nth(2).unwrap().parse().unwrap();
    let output = host.spawn("bob", &["tmux", "-S", SOCKET, "ls"]).groups(&[1002, group]).output();
    assert!(String::from_utf8_lossy(&output.stderr).contains("Permission denied"), "{output:?}");
}

#[test]
fn the_folders_and_the_socket_have_the_owners_and_modes_of_the_design() {
    let host = Host::new();
    let _alice = inside(&host);
    let show = |path: &str| host.must(&["stat", "-c", "%F %U:%G %a", path]);
    assert_eq!(show("/run/tmux-gate"), "directory root:tmux-gate 710\n");
    // Its group is drawn, and has no name.
    assert_eq!(show("/run/tmux-gate/1001"), "directory root:UNKNOWN 770\n");
    assert!(show(SOCKET).starts_with("socket alice:"), "{}", show(SOCKET));
    assert!(
        matches!(show(SOCKET).trim().rsplit_once(' '), Some((_, "600" | "660" | "700" | "770"))),
        "{}",
        show(SOCKET)
    );
    assert_eq!(host.must(&["ls", "/run/tmux-gate"]), "1001\n");
    assert_eq!(host.must(&["getent", "group", "tmux-gate"]).trim().rsplit(':').next(), Some(""));
}

#[test]
fn the_client_is_the_user_wholly_and_the_gate_root_wholly() {
    let host = Host::new();
    let alice = inside(&host);
    let clients = host.clients();
    assert_eq!(clients.len(), 1, "{}", host.snapshot());
    assert_eq!(clients[0].uids, [1001; 3]);
    let gates = host.gates();
    assert_eq!(gates.len(), 2, "{}", host.snapshot());
    let shell = alice.running.inner_pid();
    let front = gates.iter().find(|gate| gate.ppid == shell).expect("the front is the shell's child");
    let monitor = gates.iter().find(|gate| gate.ppid == front.pid).expect("the monitor is the front's child");
    assert_eq!((monitor.uids, clients[0].ppid), ([0; 3], monitor.pid), "{}", host.snapshot());
    assert_eq!(front.uids, [0; 3], "{}", host.snapshot());
    let server = host.processes().into_iter().find(|process| process.is_tmux_server()).expect("a server");
    assert_eq!((server.uids, server.groups == clients[0].groups), ([1001; 3], true), "{}", host.snapshot());
    assert!(!server.groups.contains(&0), "{}", host.snapshot());
}

#[test]
fn a_file_that_another_person_made_set_group_id_does_not_open_the_way_to_a_socket() {
    let host = Host::new();
    let _alice = inside(&host);
    let mut bob = host.person("bob");
    bob.attempt("tmux-gate");
    bob.expect_inside();
    let made = bob.inside("cp /usr/bin/tmux /var/tmp/t; for g in $(id -G); do cp /var/tmp/t /var/tmp/t$g; chgrp $g /var/tmp/t$g; chmod 2755 /var/tmp/t$g; done");
    assert_eq!(made.status, 0, "{made:?}");
    let files = host.must(&["find", "/var/tmp", "-perm", "-2000"]);
    assert_eq!(files.lines().count(), 3, "bob's own group, the group of the sockets, and his drawn one: {files}");
    // Inside, bob has the group of the sockets; the drawn one of her directory he has not.
    assert_ne!(bob.inside("ls /run/tmux-gate/1001").status, 0);
    for file in files.lines() {
        let output = host.run_as("alice", &[file, "-S", SOCKET, "ls"]);
        assert!(String::from_utf8_lossy(&output.stderr).contains("Permission denied"), "{file}: {output:?}");
    }
}

#[test]
fn the_working_directory_of_a_process_inside_is_no_door() {
    let host = Host::new();
    let mut alice = inside(&host);
    assert_eq!(alice.inside("cd /run/tmux-gate/1001 && tmux ls").status, 0);
    let pane = host.processes().into_iter().find(|process| process.comm == "bash" && process.groups.len() > 2);
    let door = format!("/proc/{}/cwd/default", pane.expect("the shell in the pane").pid);
    let output = host.run_as("alice", &["tmux", "-S", &door, "ls"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("Permission denied"), "{output:?}");
}

/// What was done to the machine makes the gate refuse, name the place and leave it alone.
fn expect_refused_by_name(done: &str, name: &str) {
    let host = Host::new();
    host.pam(NO_QUESTION);
    host.must(&["sh", "-ec", done]);
    let state =
        || host.must(&["sh", "-c", "ls -laR --time-style=+ /run/tmux-gate /run/tmux-gate/ /run/elsewhere 2>&1; true"]);
    let before = state();
    let mut alice = host.person("alice");
    let attempt = alice.attempt("tmux-gate");
    alice.expect_refused(&attempt, 78, &format!("{name}: "));
    host.expect_refusal(&["user=alice", name]);
    assert_eq!(state(), before, "after: {done}");
}

#[test]
fn a_wrong_runtime_folder_is_refused_by_name() {
    for done in [
        "rmdir /run/tmux-gate",
        "chmod 0711 /run/tmux-gate",
        "chmod 0770 /run/tmux-gate",
        "chown bob /run/tmux-gate",
        "chgrp root /run/tmux-gate",
        "rmdir /run/tmux-gate; touch /run/tmux-gate",
        "mv /run/tmux-gate /run/elsewhere; ln -s elsewhere /run/tmux-gate",
    ] {
        expect_refused_by_name(done, "/run/tmux-gate");
    }
}

#[test]
fn a_foreign_folder_a_link_or_a_file_where_the_users_folder_belongs_is_refused_by_name() {
    for done in [
        "mkdir -m 700 /run/tmux-gate/1001; chown bob: /run/tmux-gate/1001",
        "mkdir -m 700 /run/tmux-gate/1001",
        "mkdir -m 755 /run/tmux-gate/1001; chown alice: /run/tmux-gate/1001",
        "mkdir -m 770 /run/tmux-gate/1001; chown alice:bob /run/tmux-gate/1001",
        "mkdir /run/tmux-gate/1001; chown root:bob /run/tmux-gate/1001; chmod 770 /run/tmux-gate/1001",
        "mkdir /run/tmux-gate/1001; chown alice:2013265921 /run/tmux-gate/1001; chmod 770 /run/tmux-gate/1001",
        "mkdir /run/tmux-gate/1001; chown root:2013265921 /run/tmux-gate/1001; chmod 771 /run/tmux-gate/1001",
        "touch /run/tmux-gate/1001; chown alice: /run/tmux-gate/1001",
        "mkfifo /run/tmux-gate/1001",
        "ln -s /nowhere /run/tmux-gate/1001",
        "cd /run/tmux-gate; mkdir 1002; chown root:1900000001 1002; chmod 770 1002; ln -s 1002 1001",
        "mkdir -m 700 /run/elsewhere; chown alice: /run/elsewhere; ln -s /run/elsewhere /run/tmux-gate/1001",
    ] {
        expect_refused_by_name(done, "/run/tmux-gate/1001");
    }
}

#[test]
fn a_file_or_a_link_where_the_socket_belongs_is_refused_by_name() {
    for done in [
        "touch /run/tmux-gate/1001/default; chown alice: /run/tmux-gate/1001/default",
        "mkdir /run/tmux-gate/1001/default",
        "mkfifo /run/tmux-gate/1001/default",
        "ln -s /run/elsewhere /run/tmux-gate/1001/default",
        "perl -MIO::Socket::UNIX -e 'IO::Socket::UNIX->new(Listen => 1, Local => \"/run/tmux-gate/1001/default\")'",
    ] {
        let made =
            "mkdir /run/tmux-gate/1001; chown root:2013265921 /run/tmux-gate/1001; chmod 770 /run/tmux-gate/1001";
        expect_refused_by_name(&format!("{made}; {done}"), SOCKET);
    }
}

#[test]
fn a_socket_that_a_dead_server_left_is_no_hindrance() {
    let host = Host::new();
    let mut alice = inside(&host);
    host.must(&["pkill", "-9", "-f", "tmux -S"]);
    alice.status();
    host.expect_no_gate();
    assert!(host.exists(SOCKET));
    alice.attempt("tmux-gate");
    alice.expect("[main]");
    alice.expect_inside();
    assert_eq!(alice.inside("tmux ls").status, 0);
}
