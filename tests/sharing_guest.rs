//! A guest who attacks the owner and the gate: what he types, signals, reads, names and asks for.

use crate::host::{HOSTILE, Host, Person};
use std::time::{Duration, Instant};

/// alice is in `work`, at a gate that asks nobody.
fn open_host() -> Host {
    let host = Host::open();
    host.configure("[[share]]\naccess = \"read-write\"\nmax_duration = \"8h\"\n");
    host
}

fn at_work(host: &Host) -> Person<'_> {
    let mut alice = host.person("alice");
    alice.attempt("tmux-gate attach work");
    alice.expect_inside();
    alice
}

fn granted(bob: &mut Person<'_>, outside: &mut Person<'_>, words: &str) -> String {
    let id = bob.asks(&format!("alice/work {words}"));
    outside.approves(&id);
    id
}

/// Everything that a terminal sends and no byte alone is.
fn keys() -> Vec<Vec<u8>> {
    let mut keys: Vec<Vec<u8>> = Vec::new();
    let finals = b"ABCDEFGHIPQRSZtu~^$@";
    for modifiers in
        ["", "1;2", "1;5", "1;6", "1;9", "15", "24;5", "200", "13;5u", "27;5;13", "?1;2", "?62;c", "8;40;100"]
    {
        keys.extend(finals.iter().map(|last| [b"\x1b[", modifiers.as_bytes(), &[*last]].concat()));
    }
    keys.extend(b"ABCDEFGHMPQRS".iter().map(|last| vec![0x1b, b'O', *last]));
    for button in [0, 1, 2, 4, 8, 16, 32, 35, 64, 65, 66, 67, 128] {
        for end in ["M", "m"] {
            keys.push(format!("\x1b[<{button};3;3{end}\x1b[<{button};40;24{end}").into_bytes());
        }
        keys.push(vec![0x1b, b'[', b'M', 32 + button, 40, 56]);
    }
    keys.push(b"\x1b[I\x1b[O\x1b[200~touch /tmp/pasted\r\x02:kill-server\r\x1b[201~".to_vec());
    keys.push(b"\x1b]52;c;dG91Y2ggL3RtcC94Cg==\x07\x1b]10;rgb:0000/0000/0000\x07\x1b]4;1;rgb:ff/ff/ff\x1b\\".to_vec());
    keys.push(b"\x1bP>|tmux 9.9\x1b\\\x1b[>84;0;0c\x1b[?1;2;4c\x1b[0n\x1b[3;3R\x1bP1+r524742=\x1b\\".to_vec());
    keys.push([b"\x1b[200~".as_slice(), &b"echo x\r".repeat(9000), b"\x1b[201~"].concat());
    keys.push("äöü漢字🙂\u{202e}".repeat(200).into_bytes());
    keys
}

/// Every byte, alone, behind the prefix and behind ESC, but for those that leave; and every key.
fn type_everything(bob: &mut Person<'_>) {
    let leaves = [b'q', 0x03];
    for byte in (0..=u8::MAX).filter(|byte| !leaves.contains(byte)) {
        let prefixed = if byte == b'd' { vec![] } else { vec![0x02, byte] };
        bob.send([&[byte], prefixed.as_slice(), &[0x1b, byte, b'x']].concat());
    }
    bob.send(b"\x1b\\"); // what the last ones may have begun is over
    for keys in keys() {
        bob.send(&keys);
    }
    bob.send(":kill-server\r");
}

/// The session's answer to something typed by its owner, at the guest: what was typed before has been read.
fn fence(alice: &mut Person<'_>, bob: &Person<'_>, number: u32) {
    alice.send(format!("clear; echo fence-$(({number} + 0))-\r"));
    bob.expect_screen(&format!("fence-{number}-"));
    alice.send("clear\r");
    bob.expect_on_screen("an empty screen", |screen| (!screen.contains("fence")).then_some(()));
}

#[test]
fn whatever_a_read_only_guest_types_changes_nothing() {
    let host = open_host();
    let mut alice = at_work(&host);
    alice.send("tmux set -g mouse on; tmux set-buffer secret; tmux split-window -d; tmux new-window -d\r");
    let (mut bob, mut outside) = (host.person("bob"), host.person("alice"));
    let id = granted(&mut bob, &mut outside, "--for 30m");
    bob.comes_in(&id);
    fence(&mut alice, &bob, 1);
    let before = host.whole_state();
    assert!(before.contains("capture-pane") && before.contains("secret"), "{before}");
    type_everything(&mut bob);
    for (rows, columns) in [(10, 30), (100, 250), (1, 1), (24, 80)] {
        bob.resize(rows, columns);
    }
    fence(&mut alice, &bob, 2);
    assert_eq!(host.whole_state(), before, "while he is in");
    // tmux's own wall, which the owner can take away, is not the one that holds.
    let clients = host.tmux_of_alice(&["list-clients", "-F", "#{client_readonly} #{client_tty}"]);
    let client = clients.lines().find_map(|line| line.strip_prefix("1 ")).expect("his client");
    host.tmux_of_alice(&["switch-client", "-r", "-c", client]);
    assert_eq!(host.tmux_of_alice(&["list-clients", "-F", "#{client_readonly}"]), "0\n0\n");
    type_everything(&mut bob);
    fence(&mut alice, &bob, 3);
    assert_eq!(host.whole_state(), before, "and tmux would let him");
    for last in [&b"q"[..], b"\x03", b"\x02d", b"\x02q", b"\x02\x03", b"\x1b[201~q"] {
        if host.by_role("relay").is_empty() {
            bob.comes_in(&id);
        }
        bob.send(last);
        assert_eq!(bob.status(), 0, "{last:?}");
        host.wait_until("the end of his client", || host.guest_clients().is_empty());
    }
    assert_eq!(host.whole_state(), before, "after he has left");
    assert!(!host.exists("/tmp/pasted") && host.clients().len() == 1);
}

#[test]
fn a_guest_reaches_none_of_the_processes_between_him_and_the_session() {
    let host = open_host();
    let _alice = at_work(&host);
    host.hostile("alice");
    let (mut bob, mut outside) = (host.person("bob"), host.person("alice"));
    let id = granted(&mut bob, &mut outside, "--for 30m --read-write");
    bob.comes_in(&id);
    let mut pids: Vec<String> = Vec::new();
    let roles = ["front", "mon", "relay"].map(|role| host.by_role(role));
    for process in roles.iter().flatten().chain(&host.guest_clients()) {
        pids.push(process.pid.to_string());
    }
    assert_eq!(pids.len(), 6, "his front, monitor, relay and client, her front and monitor\n{}", host.snapshot());
    pids.extend(host.tmux_servers().iter().map(i32::to_string));
    for user in ["bob", "carol", "nobody"] {
        let words: Vec<&str> = [HOSTILE, "reach"].into_iter().chain(pids.iter().map(String::as_str)).collect();
        let output = host.run_as(user, &words);
        assert_eq!(String::from_utf8_lossy(&output.stdout), "done\n", "{user}");
        let terminals: Vec<String> = (0..20).map(|number| format!("/dev/pts/{number}")).collect();
        let terminals: Vec<&str> =
            terminals.iter().map(String::as_str).filter(|name| *name != bob.terminal.name).collect();
        let output = host.run_as(user, &[&[HOSTILE, "open"], terminals.as_slice()].concat());
        assert_eq!(String::from_utf8_lossy(&output.stdout), "done\n", "{user}: terminals");
    }
    assert!(bob.inside("id -un").text.starts_with("alice\n"), "all goes on");
}

#[test]
fn the_way_to_the_session_is_the_grant_and_no_path_variable_or_other_id() {
    let host = open_host();
    let _alice = at_work(&host);
    let (mut bob, mut carol, mut outside) = (host.person("bob"), host.person("carol"), host.person("alice"));
    let id = granted(&mut bob, &mut outside, "--for 30m");
    let socket = "/run/tmux-gate/1001/default";
    for line in [
        format!("tmux -S {socket} ls"),
        format!("TMUX={socket},1,0 tmux ls"),
        format!("TMUX={socket},1,0 tmux attach"),
        "TMUX_TMPDIR=/run/tmux-gate/1001 tmux ls".to_owned(),
        "ls /run/tmux-gate/1001 /run/tmux-gate/guests /var/lib/tmux-gate/grants".to_owned(),
        format!("cat /var/lib/tmux-gate/grants/{id}.1001.1002"),
        "tmux-gate attach alice/work".to_owned(),
        "tmux-gate join alice/other".to_owned(),
        "tmux-gate join alice/wor".to_owned(),
        "tmux-gate join alice/=work".to_owned(),
        "tmux-gate join 'alice/$0'".to_owned(),
        "tmux-gate join ALICE/work".to_owned(),
        "tmux-gate join 1001/work".to_owned(),
    ] {
        let said = bob.command(&line);
        assert!(said.status != 0 && host.guest_clients().is_empty(), "{line}: {said:?}");
    }
    for (verb, status) in [("join", 77), ("approve", 77), ("revoke", 77), ("deny", 77), ("change --for 1h", 77)] {
        let said = carol.command(&format!("tmux-gate {verb} {id}"));
        let text = "no request or grant that concerns you";
        assert!(said.status == status && said.text.contains(text), "{verb}: {said:?}");
    }
    assert_eq!(carol.command("tmux-gate join alice/work").status, 77);
    assert_eq!(host.grant_state(&id), "approved");
    bob.comes_in(&id);
}

#[test]
fn nobody_gets_his_own_request_approved_by_any_road() {
    let host = open_host();
    host.configure("[[share]]\naccess = \"read-write\"\napprovers = [\"owner\", \"root\", \"bob\", \"@bob\"]\n");
    let (root, alice) = (host.hostile("root"), host.hostile("alice"));
    let twin = "Bob:x:1002:1002::/home/bob:/bin/bash\n";
    let mut bob = host.person("bob");
    let id = bob.asks("alice/work --for 30m --read-write");
    for road in [
        format!("tmux-gate approve {id}"),
        format!("tmux-gate approve {}", id.to_uppercase()),
        format!("{root} become tmux-gate approve {id}"),
        format!("{root} become sh -c 'tmux-gate approve {id}; exit $?'"),
        format!("{root} become script -qec 'tmux-gate approve {id}' /dev/null"),
        format!("{root} become su -c 'tmux-gate approve {id}' root"),
        format!("{alice} become tmux-gate approve {id}"),
        format!("{alice} become script -qec 'tmux-gate approve {id}' /dev/null"),
        "tmux-gate invite bob work --for 30m --reason 'bob invites himself'".to_owned(),
        format!("{alice} become tmux-gate invite bob work --for 30m --reason 'alice, as she is called'"),
    ] {
        let said = bob.command(&road);
        let right = said.status == 77 && said.text.contains("whoever asked does not approve");
        assert!(right, "{road}: {said:?}\n{}", host.snapshot());
    }
    host.write("/etc/passwd", host.read("/etc/passwd") + twin, 0o644);
    for name in ["Bob", "BOB"] {
        let said = bob.command(&format!("tmux-gate invite {name} work --for 30m --reason 'another case of letters'"));
        assert_eq!(said.status, 77, "{said:?}");
        let said = bob.command(&format!("USER={name} LOGNAME={name} SUDO_USER=alice tmux-gate approve {id}"));
        assert_eq!(said.status, 77, "{said:?}");
    }
    assert_eq!(host.grant_state(&id), "requested");
    let approved = host.recorded().iter().any(|line| line.contains("event=approved") || line.contains("event=invited"));
    assert!(!approved, "{}", host.snapshot());
}

#[test]
fn from_inside_the_session_where_a_guest_types_nothing_is_approved() {
    let host = open_host();
    let _alice = at_work(&host);
    let (mut bob, mut outside, mut other) = (host.person("bob"), host.person("alice"), host.person("bob"));
    let id = granted(&mut bob, &mut outside, "--for 30m --read-write");
    let second = other.asks("alice --for 8h --read-write");
    bob.comes_in(&id);
    for road in [
        format!("tmux-gate approve {second}"),
        format!("tmux-gate change {id} --for 2h"),
        "tmux-gate invite bob --for 8h --read-write --reason 'as alice, who is away'".to_owned(),
        format!("script -qec 'tmux-gate approve {second}' /dev/null"),
        format!("script -qec 'script -qec \"tmux-gate approve {second}\" /dev/null' /dev/null"),
        format!("env -i tmux-gate approve {second}"),
        format!("sg alice 'tmux-gate approve {second}'"),
    ] {
        let said = bob.inside(&format!("{road}; echo status=$?"));
        // A pane is 80 wide.
        let told = said.text.contains("is in this session; ") && said.text.contains("from a terminal ");
        assert!(told && said.text.contains("status=77"), "{road}: {said:?}\n{}", host.snapshot());
    }
    bob.inside("env -u TMUX tmux -f /dev/null -L inner new-session -d -x 200 -y 50 'bash --norc'");
    bob.inside(&format!("tmux -L inner send-keys 'tmux-gate approve {second}' Enter"));
    host.wait_until("the answer in another server", || {
        bob.inside("tmux -L inner capture-pane -p | grep -c 'approve it from'").text.starts_with('1')
    });
    for id in [&id, &second] {
        let approvals = host.grant(id)["approvals"].as_array().map_or(0, Vec::len);
        assert_eq!(approvals, usize::from(id != &second));
    }
    assert_eq!(host.grant_state(&second), "requested");
}

#[test]
fn by_ssh_to_the_owners_own_host_a_guest_meets_her_password() {
    let host = Host::new();
    let alice = crate::sharing::work(&host);
    host.sshd("");
    let (mut bob, mut outside) = (host.person("bob"), host.person("alice"));
    let id = crate::sharing::requested(&host, &mut bob, "--for 30m --read-write");
    crate::sharing::does(&mut outside, "alice", &format!("tmux-gate approve {id}"), &[]);
    let second = crate::sharing::requested(&host, &mut bob, "--for 1h --read-write");
    crate::sharing::joins(&mut bob, &id);
    bob.send(format!("clear; ssh -t localhost tmux-gate approve {second}\r"));
    bob.expect_screen("Password:");
    bob.send("bob's secret\r");
    bob.expect_screen("Sorry, try again");
    bob.send("\x03");
    alice.expect_screen("in$");
    assert_eq!(host.grant_state(&second), "requested");
    assert!(!host.recorded().iter().any(|line| line.contains("event=approved") && line.contains(&second)));
}

#[test]
fn approved_and_revoked_at_once_a_grant_is_revoked() {
    let host = open_host();
    let (mut bob, mut one, mut two) = (host.person("bob"), host.person("alice"), host.person("alice"));
    let mut orders = [0, 0];
    for round in 0..40 {
        let id = bob.asks("alice --for 30m");
        let verbs = [format!("tmux-gate approve {id}"), format!("tmux-gate revoke {id}")];
        let (approved, revoked) = match round {
            0 => (one.command(&verbs[0]), two.command(&verbs[1])),
            1 => {
                let revoked = two.command(&verbs[1]);
                (one.command(&verbs[0]), revoked)
            }
            // The approval takes longer to its point of no return: the revocation waits, a little longer each time.
            _ => {
                one.send(format!("{}\r", verbs[0]));
                two.send(format!("sleep 0.{:03}; {}\r", round % 20 * 4, verbs[1]));
                (one.finished(), two.finished())
            }
        };
        assert_eq!(revoked.status, 0, "{revoked:?}");
        orders[usize::from(approved.status == 0)] += 1;
        let state = host.grant_state(&id);
        assert!(["revoked", "cancelled"].contains(&state.as_str()), "round {round}: {state} after {approved:?}");
        let said = bob.command(&format!("tmux-gate join {id}"));
        assert!(said.text.contains("it is over"), "{said:?}");
        host.remove(&host.grant_file(&id)); // the hour's limit is another test's
    }
    println!("revoked before the approval: {}, after it: {}", orders[0], orders[1]);
    assert!(orders.iter().all(|count| *count > 0), "both orders were to happen: {orders:?}");
}

#[test]
fn nobody_is_kept_from_revoking_by_somebody_who_stops_himself_with_the_lock_in_his_hands() {
    let host = open_host();
    let mut bob = host.person("bob");
    let id = bob.asks("alice/work --for 30m");
    let lock = std::fs::File::open(host.path("/var/lib/tmux-gate/grants/.lock")).expect("the lock");
    let held = nix::fcntl::Flock::lock(lock, nix::fcntl::FlockArg::LockExclusive).expect("held");
    bob.attempt(&format!("tmux-gate revoke {id}"));
    let waits = || host.gates().into_iter().find(|gate| gate.uids == [0; 3]);
    host.wait_until("a gate that waits for the lock, and is nobody's but root's", || waits().is_some());
    let pid = waits().expect("waits").pid;
    for signal in ["STOP", "TSTP", "TTIN", "KILL", "INT"] {
        let output = host.run_as("bob", &["kill", &format!("-{signal}"), &pid.to_string()]);
        assert!(!output.status.success(), "{signal}");
    }
    bob.send("\x1a\x1c"); // the terminal's own signals ask for no permission
    let blocked = host.read(&format!("/proc/{pid}/status"));
    let blocked = blocked.lines().find_map(|line| line.strip_prefix("SigBlk:")).expect("a mask").trim();
    let blocked = u64::from_str_radix(blocked, 16).expect("a mask");
    for signal in [libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU, libc::SIGINT, libc::SIGQUIT, libc::SIGHUP] {
        assert_ne!(blocked & (1 << (signal - 1)), 0, "signal {signal}");
    }
    drop(held);
    host.wait_until("the revocation", || host.grant_state(&id) == "cancelled");
}

#[test]
fn a_damaged_grant_of_one_person_keeps_nobody_from_revoking_anothers() {
    let host = open_host();
    let (mut bob, mut carol, mut outside) = (host.person("bob"), host.person("carol"), host.person("alice"));
    let (damaged, one, two) =
        (bob.asks("alice/work --for 30m"), carol.asks("alice/work --for 30m"), carol.asks("alice --for 30m"));
    host.write(&host.grant_file(&damaged), "{", 0o600);
    let said = outside.command(&format!("tmux-gate revoke {one}"));
    assert_eq!(said.status, 0, "{said:?}");
    let said = outside.command("tmux-gate revoke --user carol");
    assert!(said.status == 0 && said.text.contains(&two), "{said:?}");
    let said = outside.command(&format!("tmux-gate revoke {damaged}"));
    assert!(said.status == 78 && said.text.contains("not a grant as tmux-gate writes it"), "{said:?}");
}

#[test]
fn hundreds_of_requests_of_one_person_are_refused_and_hinder_nobody() {
    let host = open_host();
    let (mut bob, mut carol, mut outside) = (host.person("bob"), host.person("carol"), host.person("alice"));
    let ask = "tmux-gate request alice/work --for 30m --reason 'let me in, let me in, let me in'";
    let (begun, mut refused) = (Instant::now(), 0);
    for _ in 0..10 {
        let said = bob.command(&format!("for i in $(seq 20); do {ask}; done"));
        refused += said.text.matches("too many requests of yours").count();
    }
    println!("200 requests: {:?}", begun.elapsed());
    assert_eq!(refused, 184);
    let waiting = outside.command("tmux-gate list").text.matches(": bob into alice/work").count();
    assert_eq!(waiting, 16);
    let begun = Instant::now();
    let id = carol.asks("alice/work --for 30m");
    outside.approves(&id);
    println!("another person's request and its approval after them: {:?}", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(5));
    let said = outside.command("tmux-gate revoke --user bob");
    assert_eq!((said.status, said.text.matches("ended for bob").count()), (0, 16), "{said:?}");
    let again = bob.command(ask);
    assert!(again.status == 77 && again.text.contains("too many requests"), "{again:?}");
    let words = "tmux-gate invite carol --for 30m --reason 'he is an owner, too'";
    assert_eq!(bob.command(words).status, 77, "his requests are counted whatever they are about");
}

#[test]
fn a_reason_is_text_for_whoever_shows_it_and_nothing_else_is_a_reason() {
    let host = open_host();
    let mut alice = at_work(&host);
    alice.inside("tmux set -g status-interval 1; tmux set -g status-right '#(tmux-gate status)'");
    let (mut bob, mut outside) = (host.person("bob"), host.person("alice"));
    let run = r"#(touch /tmp/x) $(touch /tmp/x) `touch /tmp/x` ;touch /tmp/x; #{q:x} %H%n ' \";
    host.write("/tmp/reason", run, 0o644);
    let said = bob.command("tmux-gate request alice/work --for 30m --reason \"$(cat /tmp/reason)\"");
    assert_eq!(said.status, 0, "{said:?}");
    alice.expect_screen("1 request");
    let id = said.text.split_once(": requested").expect("an id").0.trim().to_owned();
    assert!(outside.command("tmux-gate list").text.contains("#(touch /tmp/x) $(touch"));
    let listed: serde_json::Value = serde_json::from_str(&outside.command("tmux-gate list --json").text).expect("JSON");
    assert_eq!(listed["grants"][0]["reason"], run);
    let shown = outside.command(&format!("tmux-gate approve {id}"));
    assert!(shown.status == 0 && shown.text.contains("reason: #(touch /tmp/x) $(touch"), "{shown:?}");
    bob.comes_in(&id);
    alice.expect_screen("1 guest: bob ro");
    bob.send("q");
    bob.status();
    for (hostile, status) in [
        ("two\\nlines of a reason", 2),
        ("back\\rto the beginning", 2),
        ("a screen \\033[2J cleared", 2),
        ("a title \\033]0;x\\007 set", 2),
        ("a C1 \\302\\2332J of eight bits", 2),
        ("turned \\342\\200\\256 around text", 2),
        ("no \\377 UTF-8 in this", 2),
        ("short", 2),
    ] {
        let said = bob.command(&format!("tmux-gate request alice --for 30m --reason \"$(printf '{hostile}')\""));
        assert_eq!(said.status, status, "{hostile}: {said:?}");
        let raw =
            said.text.bytes().any(|byte| byte < 0x20 && !b"\r\n".contains(&byte)) || said.text.contains('\u{202e}');
        assert!(!raw, "{hostile}: {said:?}");
    }
    for length in [501, 100_000, 1 << 20] {
        let line = format!("tmux-gate request alice --for 30m --reason \"$(head -c {length} /dev/zero | tr '\\0' x)\"");
        let said = bob.command(&line);
        // A megabyte does not even reach the program.
        assert!(
            [2, 126].contains(&said.status) && said.text.len() < 1000,
            "{length}: {} {}",
            said.status,
            said.text.len()
        );
    }
    for line in host.recorded() {
        assert!(line.bytes().all(|byte| (0x20..0x7f).contains(&byte)), "{line:?}");
    }
    assert_eq!(host.events().iter().filter(|line| line.contains("event=requested")).count(), 1);
    assert!(!host.exists("/tmp/x"), "something ran");
}
