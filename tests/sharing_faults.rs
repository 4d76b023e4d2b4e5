//! What dies, fills up or is cut off in the middle of it: nobody stays inside, nothing is lost, and the owner goes on.
//!
//! GATE_STEPS=100 tries that many places of a join.

use crate::host::{Host, NO_QUESTION, Person, Stepper, WAITS};

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

/// A join whose monitor is about to come back from PAM's first module, its processes, and how it goes on from there.
struct Join {
    front: i32,
    monitor: i32,
    stepper: Stepper,
}

/// Whoever is killed.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Victim {
    Monitor,
    Front,
    /// The process that is at the system call: monitor, helper, client or relay.
    Itself,
    Server,
}

fn begin(host: &Host, bob: &mut Person<'_>, id: &str, step: usize) -> Join {
    host.hold();
    let attempt = format!("clear; tmux-gate join {id}");
    bob.send(format!("{attempt}\r"));
    bob.expect("\n");
    host.expect_waiting();
    let of_bob = |role| host.by_role(role).into_iter().find(|process| process.cmdline.ends_with(id)).expect(role).pid;
    let (front, monitor) = (of_bob("front"), of_bob("mon"));
    let stepper = Stepper::of(host, monitor, step);
    host.release();
    Join { front, monitor, stepper }
}

/// How many system calls a join makes until the guest is in.
fn length_of_a_join(host: &Host, bob: &mut Person<'_>, id: &str) -> usize {
    let join = begin(host, bob, id, usize::MAX);
    std::thread::scope(|scope| {
        let stepper = join.stepper;
        let (tell, told) = std::sync::mpsc::channel::<()>();
        let counting = scope.spawn(move || {
            stepper.start();
            let _ = told.recv();
            stepper.let_go()
        });
        bob.sees_inside(id);
        drop(tell);
        counting.join().expect("a count")
    })
}

/// Nobody is in, and everything of the join is at its end.
fn expect_nobody(host: &Host, outside: &mut Person<'_>, what: &str) {
    let of_join =
        |process: &&crate::host::Process| process.cmdline.contains("join") || process.comm == "tmux-gate:relay";
    host.wait_until(&format!("the end of the join, {what}"), || {
        host.gates().iter().filter(of_join).count() == 0 && host.guest_clients().is_empty()
    });
    assert!(outside.command("tmux-gate who").text.contains("nobody is in"), "{what}");
    let listed = std::fs::read_dir(host.path("/run/tmux-gate/guests")).map_or(0, Iterator::count);
    assert_eq!(listed, 0, "{what}");
}

fn kill_at(host: &Host, bob: &mut Person<'_>, id: &str, victim: Victim, step: usize) {
    let join = begin(host, bob, id, step);
    let at = join.stepper.run();
    match (victim, at) {
        (Victim::Monitor, _) => host.kill("KILL", &[join.monitor]),
        (Victim::Front, _) => host.kill("KILL", &[join.front]),
        (Victim::Server, _) => host.kill("KILL", &host.tmux_servers()),
        (Victim::Itself, Some(pid)) => nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).expect("there"),
        (Victim::Itself, None) => {}
    }
    join.stepper.let_go();
}

#[test]
fn whatever_is_killed_at_whatever_step_of_a_join_no_guest_stays_and_the_owner_goes_on() {
    let host = open_host();
    let mut alice = at_work(&host);
    let (mut bob, mut outside) = (host.person("bob"), host.person("alice"));
    let id = bob.asks("alice/work --for 8h");
    outside.approves(&id);
    host.pam(&format!("auth {WAITS}\n{NO_QUESTION}"));
    let before = bob.attempt("true");
    bob.finished();
    let all = length_of_a_join(&host, &mut bob, &id);
    bob.send("q");
    assert_eq!(bob.status(), 0);
    let steps: usize = std::env::var("GATE_STEPS").ok().and_then(|text| text.parse().ok()).unwrap_or(16);
    println!("a join makes {all} steps; {steps} of them");
    for (place, victim) in
        (0..steps).flat_map(|place| [Victim::Monitor, Victim::Front, Victim::Itself].map(|victim| (place, victim)))
    {
        let step = 1 + place * all / steps;
        let what = format!("{victim:?} killed at step {step} of {all}");
        kill_at(&host, &mut bob, &id, victim, step);
        // A helper that died may have been of no consequence: then he is in, and leaves.
        host.wait_until(&format!("an end, or a guest inside, {what}"), || {
            let joins = host.gates().iter().filter(|process| process.cmdline.contains("join")).count();
            if joins == 3 && bob.screen().contains("in$") {
                bob.send("q");
            }
            joins == 0
        });
        expect_nobody(&host, &mut outside, &what);
        if victim == Victim::Front {
            // Who guards the terminal is gone: a relay that began after that may have left it raw.
            bob = host.person("bob");
            continue;
        }
        bob.expect_as_before(&before);
        bob.send("\r");
        bob.finished();
    }
    assert_eq!(host.grant_state(&id), "approved");
    assert_eq!(alice.inside("echo she is here").status, 0);
    host.pam(NO_QUESTION);
    bob.comes_in(&id);
}

#[test]
fn when_the_owners_server_is_killed_at_any_step_of_a_join_nobody_is_let_in() {
    let host = open_host();
    let (mut bob, mut outside) = (host.person("bob"), host.person("alice"));
    let id = bob.asks("alice/work --for 8h");
    outside.approves(&id);
    let before = bob.attempt("true");
    bob.finished();
    let mut all = 0;
    for place in 0..10 {
        host.pam(NO_QUESTION);
        let mut alice = at_work(&host);
        host.pam(&format!("auth {WAITS}\n{NO_QUESTION}"));
        if all == 0 {
            all = length_of_a_join(&host, &mut bob, &id);
            bob.send("q");
            bob.status();
        }
        let step = 1 + place * all / 10;
        kill_at(&host, &mut bob, &id, Victim::Server, step);
        let said = bob.finished();
        assert!(!said.text.contains("panicked"), "{said:?}");
        expect_nobody(&host, &mut outside, &format!("server killed at step {step}: {said:?}"));
        bob.expect_as_before(&before);
        alice.finished();
    }
}

#[test]
fn whatever_dies_while_a_guest_is_inside_he_is_out_and_the_next_one_comes_in() {
    let host = open_host();
    let mut alice = at_work(&host);
    let (mut bob, mut outside) = (host.person("bob"), host.person("alice"));
    let id = bob.asks("alice/work --for 8h --read-write");
    outside.approves(&id);
    for whom in ["front", "mon", "relay", "client", "front mon", "mon relay", "relay client", "front mon relay"] {
        let attempt = bob.comes_in(&id);
        let find = |role: &str| match role {
            "client" => host.guest_clients(),
            role => host.by_role(role).into_iter().filter(|process| process.cmdline.contains("join")).collect(),
        };
        let pids: Vec<i32> = whom.split(' ').flat_map(find).map(|process| process.pid).collect();
        assert_eq!(pids.len(), whom.split(' ').count(), "{whom}\n{}", host.snapshot());
        host.kill("KILL", &pids);
        expect_nobody(&host, &mut outside, whom);
        bob.expect_as_before(&attempt);
        bob.send("\r");
        bob.finished();
        if whom != "front" && !whom.contains("front") {
            bob.expect_main_screen();
        }
    }
    assert_eq!(alice.inside("echo she is here").status, 0);
}

/// Mounts a small file system of its own over `directory`, with what was in it.
fn shrink(host: &Host, directory: &str, options: &str) {
    let script = format!(
        "mkdir /tmp/kept && cp -a {directory}/. /tmp/kept/ && mount -t tmpfs -o mode=700,{options} small {directory} && \
         cp -a /tmp/kept/. {directory}/ && rm -rf /tmp/kept"
    );
    host.must(&["sh", "-c", &script]);
}

const STORE: &str = "/var/lib/tmux-gate/grants";

/// The store's file system gets full, but for so many blocks.
fn fill(host: &Host, left: u32) {
    let script = format!(
        "cd {STORE} && head -c $((4096 * {left})) /dev/zero >.spare; cat /dev/zero >.filler 2>/dev/null; rm -f .spare; df . >&2"
    );
    host.must(&["sh", "-c", &script]);
}

fn names(host: &Host) -> Vec<String> {
    let entries = std::fs::read_dir(host.path(STORE)).unwrap().flatten();
    let mut names: Vec<_> = entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.retain(|name| !name.starts_with(".filler") && name != ".lock");
    names.sort();
    names
}

#[test]
fn a_full_disk_refuses_the_new_harms_nothing_old_and_lets_access_be_taken_away() {
    let host = open_host();
    let _alice = at_work(&host);
    let (mut bob, mut carol, mut outside) = (host.person("bob"), host.person("carol"), host.person("alice"));
    for left in
        ["size=256k", "size=256k,nr_inodes=12"].into_iter().flat_map(|size| (0..3).map(move |left| (size, left)))
    {
        let (size, left) = left;
        let open = bob.asks("alice/work --for 30m");
        outside.approves(&open);
        let (pending, other) = (carol.asks("alice/work --for 30m"), carol.asks("alice/work --for 20m"));
        shrink(&host, STORE, size);
        match size.contains("inodes") {
            true => drop(host.must(&[
                "sh",
                "-c",
                &format!("cd {STORE}; n=0; while true >.filler$n; do n=$((n + 1)); done; true"),
            ])),
            false => fill(&host, left),
        }
        let what = format!("{size}, {left} blocks left");
        let (kept, grants) = (names(&host), [&open, &pending, &other].map(|id| host.grant(id)));
        bob.comes_in(&open);
        if left == 0 {
            for line in [
                "tmux-gate request bob/work --for 30m --reason 'no room for this'".to_owned(),
                format!("tmux-gate approve {pending}"),
                format!("tmux-gate change {open} --for 1h"),
                "tmux-gate invite bob --for 30m --reason 'no room for this'".to_owned(),
            ] {
                let said = outside.command(&line);
                let told = said.text.contains("No space left on device") && said.text.contains("nothing was changed");
                assert!(said.status == 1 && told, "{what}, {line}: {said:?}");
                assert_eq!(names(&host), kept, "{what}, {line}");
                assert_eq!([&open, &pending, &other].map(|id| host.grant(id)), grants, "{what}, {line}");
            }
        }
        for line in [format!("revoke {open}"), format!("deny {pending}"), format!("revoke {other}")] {
            let said = outside.command(&format!("tmux-gate {line}"));
            assert_eq!(said.status, 0, "{what}, {line}: {said:?}");
        }
        bob.expect("the grant was taken away");
        assert_eq!(bob.status(), 77);
        for id in [&open, &pending, &other] {
            let person = if id == &open { &mut bob } else { &mut carol };
            let said = person.command(&format!("tmux-gate join {id}"));
            assert!(said.text.contains("it is over"), "{what}: {said:?}");
        }
        assert!(!outside.command("tmux-gate list").text.contains("into alice"));
        host.must(&["sh", "-c", &format!("rm -f {STORE}/.filler*")]);
        let next = bob.asks("alice/work --for 30m");
        outside.approves(&next);
        bob.comes_in(&next);
        bob.send("q");
        bob.status();
        host.must(&["umount", STORE]);
        for id in [&open, &pending, &other] {
            host.remove(&host.grant_file(id));
        }
    }
}

#[test]
fn where_a_guest_cannot_be_listed_or_recorded_he_is_not_let_in_and_can_be_taken_his_grant() {
    let host = open_host();
    let _alice = at_work(&host);
    let (mut bob, mut outside) = (host.person("bob"), host.person("alice"));
    let id = bob.asks("alice/work --for 30m");
    outside.approves(&id);
    bob.comes_in(&id); // which makes the directory
    bob.send("q");
    assert_eq!(bob.status(), 0);
    shrink(&host, "/run/tmux-gate/guests", "size=4k");
    host.must(&["sh", "-c", "cat /dev/zero >/run/tmux-gate/guests/.full 2>/dev/null; true"]);
    let said = bob.command(&format!("tmux-gate join {id}"));
    assert!(said.status == 1 && said.text.contains("No space left"), "{said:?}");
    host.must(&["umount", "/run/tmux-gate/guests"]);
    let (second, third) = (bob.asks("alice/work --for 30m"), bob.asks("alice --for 30m"));
    for stuck in [false, true] {
        if stuck {
            host.syslog_stuck()
        } else {
            host.syslog_stop()
        }
        for line in [
            format!("join {id}"),
            format!("approve {second}"),
            "request alice/work --for 30m --reason 'nobody writes it down'".to_owned(),
        ] {
            let person = if line.starts_with("approve") { &mut outside } else { &mut bob };
            let said = person.command(&format!("tmux-gate {line}"));
            assert!(said.status == 1 && said.text.contains("record"), "{line}, stuck {stuck}: {said:?}");
        }
    }
    let open = [&id, &second, &third];
    assert_eq!(open.map(|id| host.grant_state(id)), ["approved", "requested", "requested"]);
    let said = outside.command("tmux-gate revoke --user bob");
    assert_eq!(said.status, 1, "that it was done could not be written down: {said:?}");
    assert_eq!(open.map(|id| host.grant_state(id)), ["revoked"; 3]);
    host.syslog_stop();
    host.syslog_start();
    assert!(host.guest_clients().is_empty() && !outside.command("tmux-gate list").text.contains("bob"));
}
