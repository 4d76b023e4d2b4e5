//! Much, and many: the relay as a pipe through a real join, guests who stop reading, a hundred at once, and how fast one of a
//! hundred is out.

use crate::host::{Host, LIMIT, Person};
use crate::sharing_owner::Visit;
use crate::sharing_owner::server::{self, Hostile, polite};
use crate::sharing_owner::visit::{at_work, invite};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use std::fs;
use std::io::Write;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

const MUCH: usize = 2 << 20;

/// In the session's pane: reads so many bytes while it prints as many, and says what came of it.
const BOTH: &str = "#!/bin/sh
stty raw -echo
yes 0123456789abcdef0123456789abcdef0123456789abcdef012345678901234 | head -c $1 &
head -c $1 <&0 >/tmp/pasted
wait
stty sane
clear
echo all-$(wc -c </tmp/pasted)
";

fn words(length: usize) -> Vec<u8> {
    let mut state = 88172645463325252_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        b'A' + (state >> 33) as u8 % 26
    };
    (0..length).map(|_| next()).collect()
}

#[test]
fn two_megabytes_that_a_guest_pastes_while_the_session_prints_as_much_arrive_whole() {
    let host = Host::open();
    host.write("/usr/local/bin/both", BOTH, 0o755);
    let mut alice = at_work(&host);
    let mut bob = Visit::plain(&host, "--read-write");
    bob.join();
    alice.send(format!("both {MUCH}\r"));
    alice.expect_screen("0123456789abcdef");
    let pasted = words(MUCH);
    let start = Instant::now();
    let (hands, paste) = (bob.person.terminal.hands(), pasted.clone());
    // Not a scoped thread: a stall is to fail the test, not to hold it up.
    std::thread::spawn(move || (&*hands).write_all(&paste));
    host.wait_until("all that was pasted", || {
        fs::metadata(host.path("/tmp/pasted")).is_ok_and(|file| file.len() == MUCH as u64)
    });
    bob.person.expect_screen(&format!("all-{MUCH}"));
    println!("2 MB pasted while 2 MB were printed: {:?}", start.elapsed());
    assert!(fs::read(host.path("/tmp/pasted")).unwrap() == pasted, "what arrived is not what was pasted");
    bob.leave("\x02d\x02d\x02d");
}

#[test]
fn all_that_was_printed_right_before_the_end_is_shown() {
    let times = std::env::var("GATE_TIMES").map_or(5, |times| times.parse().unwrap());
    let host = Host::open();
    let printed = words(300_000);
    // A real server leaves out what it has no time to draw: this one draws all of it.
    let text = printed.clone();
    let _server = Hostile::start(&host, polite, move |mut client| {
        client.send(server::READY, b"");
        client.print_raw(&text);
        client.send(server::EXIT, &0_i32.to_ne_bytes());
        client.answer_the_end(LIMIT);
    });
    let mut bob = Visit::plain(&host, "");
    for round in 1..=times {
        bob.set_out();
        bob.expect_cut_off();
        let shown = bob.sessions().pop().unwrap();
        let from = shown.iter().position(u8::is_ascii_uppercase).unwrap_or(0);
        assert!(shown[from..].starts_with(&printed), "round {round}: {} of {} bytes", shown.len(), printed.len());
    }
    println!("300 kB and the end at once: all of it was shown {times} times of {times}");
}

impl Measured<'_> {
    /// Proportional share of memory of all processes of this kind, in kB.
    fn memory(&self, kind: impl Fn(&crate::host::Process) -> bool) -> u64 {
        let of = |pid: i32| {
            let rollup = fs::read_to_string(self.0.path(&format!("/proc/{pid}/smaps_rollup"))).unwrap_or_default();
            let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).unwrap_or("0");
            line.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap()
        };
        self.0.processes().iter().filter(|process| kind(process)).map(|process| of(process.pid)).sum()
    }
}

/// Looks at a host's processes.
struct Measured<'h>(&'h Host);

#[test]
fn a_guest_who_stops_reading_holds_up_nobody_and_takes_no_memory() {
    let host = Host::open();
    let time = std::env::var("GATE_SECONDS").map_or(4, |seconds| seconds.parse().unwrap());
    let mut alice = at_work(&host);
    let (mut bob, mut other) = (Visit::plain(&host, ""), Visit::plain(&host, ""));
    bob.join();
    other.join();
    let measured = Measured(&host);
    let memory = || {
        let relays = measured.memory(|process| process.comm == "tmux-gate:relay");
        (measured.memory(crate::host::Process::is_tmux_server), relays)
    };
    let before = memory();
    bob.person.terminal.look_away();
    let (start, mut most, mut rounds) = (Instant::now(), before, 0);
    while start.elapsed() < Duration::from_secs(time) {
        rounds += 1;
        alice.send(format!("clear; yes flood | head -c 1000000; echo round-$((1000000 + {rounds}))\r"));
        let end = format!("round-{}", 1_000_000 + rounds);
        let since = Instant::now();
        alice.expect_screen(&end);
        other.person.expect_screen(&end);
        assert!(since.elapsed() < LIMIT / 4, "a megabyte took {:?}", since.elapsed());
        let now = memory();
        most = (most.0.max(now.0), most.1.max(now.1));
    }
    println!(
        "{rounds} MB in {:?} past a guest who reads nothing: server, relays {before:?} kB before, {most:?} at most",
        start.elapsed()
    );
    assert!(most.0 < before.0 + 8192 && most.1 < before.1 + 1024, "{before:?} kB before, {most:?} kB at most");
    bob.person.terminal.look_again();
    bob.person.expect_screen(&format!("round-{}", 1_000_000 + rounds));
    bob.leave("q");
    other.leave("q");
}

/// What the gate runs for a guest who joined by this grant: front, monitor, relay and client.
fn visit_of(host: &Host, id: &str) -> Vec<crate::host::Process> {
    let all = host.processes();
    let gates = all.iter().filter(|process| process.is_gate() && process.cmdline.ends_with(id));
    let gates: Vec<_> = gates.cloned().collect();
    let client = all.iter().filter(|process| !process.is_gate() && gates.iter().any(|gate| gate.pid == process.ppid));
    client.cloned().chain(gates.clone()).collect()
}

/// Does it run no more?
fn is_gone(host: &Host, pid: i32) -> bool {
    let stat = fs::read_to_string(host.path(&format!("/proc/{pid}/stat"))).unwrap_or_default();
    stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('Z'))
}

/// How long after the store says so (`ends`) these are gone: what has the session and the terminal, and all but the front, which
/// gives the terminal back.
fn time_to_gone(host: &Host, visits: &[crate::host::Process], ends: impl FnOnce() + Send) -> (Duration, Duration) {
    let watch = Inotify::init(InitFlags::IN_NONBLOCK).unwrap();
    let store = host.path("/var/lib/tmux-gate/grants");
    watch.add_watch(store.as_str(), AddWatchFlags::IN_MOVED_TO).unwrap();
    std::thread::scope(|threads| {
        threads.spawn(ends);
        gone_after(host, visits, &watch)
    })
}

fn gone_after(host: &Host, visits: &[crate::host::Process], watch: &Inotify) -> (Duration, Duration) {
    let limit = PollTimeout::try_from(LIMIT).unwrap();
    assert_eq!(poll(&mut [PollFd::new(watch.as_fd(), PollFlags::POLLIN)], limit), Ok(1), "the store did not change");
    let written = Instant::now();
    let pids = |roles: &[&str]| {
        let of_role = visits.iter().filter(|process| !roles.contains(&process.comm.as_str()));
        of_role.map(|process| process.pid).collect::<Vec<_>>()
    };
    let gone = |pids: Vec<i32>| {
        while !pids.iter().all(|pid| is_gone(host, *pid)) {
            assert!(written.elapsed() < LIMIT, "{}", host.snapshot());
            std::thread::sleep(Duration::from_micros(500));
        }
        written.elapsed()
    };
    (gone(pids(&["tmux-gate:front", "tmux-gate:mon"])), gone(pids(&["tmux-gate:front"])))
}

#[test]
fn of_a_hundred_guests_each_is_out_at_once() {
    let host = Host::open();
    let mut alice = at_work(&host);
    let many = invite(&host, "bob", "");
    let mut guests: Vec<Person> = (0..90).map(|_| host.person("bob")).collect();
    let few: Vec<String> = (0..10).map(|_| invite(&host, "carol", "")).collect();
    let start = Instant::now();
    guests.iter_mut().for_each(|guest| guest.send(format!("tmux-gate join {many}\r")));
    for id in &few {
        let mut carol = host.person("carol");
        carol.send(format!("tmux-gate join {id}\r"));
        guests.push(carol);
    }
    guests.iter().for_each(Person::expect_inside);
    println!("100 guests were in after {:?}", start.elapsed());
    let measured = Measured(&host);
    alice.send("clear; echo all of $((10 * 10))\r");
    guests.iter().for_each(|guest| guest.expect_screen("all of 100"));
    let mut each = Vec::new();
    for role in ["tmux-gate:front", "tmux-gate:mon", "tmux-gate:relay", "tmux: client"] {
        let memory = measured.memory(|process| process.comm == role && !process.cmdline.contains("attach work"));
        each.push(format!("{role} {} kB", memory / 100));
    }
    println!("memory of a guest: {}", each.join(", "));
    println!("server: {} kB", measured.memory(crate::host::Process::is_tmux_server));
    let revoke = |what: &[&str]| {
        assert!(host.run_as("alice", &[&["tmux-gate", "revoke"], what].concat()).status.success());
    };
    let mut times = Vec::new();
    for id in &few {
        let visits = visit_of(&host, id);
        assert_eq!(visits.len(), 4, "{visits:?}");
        times.push(time_to_gone(&host, &visits, || revoke(&[id])));
    }
    times.sort();
    println!("one of a hundred, relay and client gone after, monitor too: {times:?}");
    // The machine may be busy with something else, once.
    let slowest = times[times.len() - 2].0;
    let visits = visit_of(&host, &many);
    assert_eq!(visits.len(), 360);
    let all = time_to_gone(&host, &visits, || revoke(&["--user", "bob"]));
    println!("90 of one grant at once: {all:?}");
    assert!(slowest <= Duration::from_millis(50), "{times:?}");
    guests.iter_mut().for_each(|guest| {
        guest.expect("the grant was taken away");
    });
}
