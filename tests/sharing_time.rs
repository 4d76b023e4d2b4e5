//! When does a guest's time end? To the hundredth of a second, and whatever becomes of the clocks.
//!
//! GATE_GRANTS=200 measures that many.

use crate::host::{Host, LIMIT, Person};
use serde_json::Value;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const DAY: i64 = 24 * 3600 * 1000;

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

fn now_ms() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// Milliseconds on the clock of grants that nobody can set.
fn since_boot_ms() -> i64 {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME).unwrap();
    now.tv_sec() * 1000 + now.tv_nsec() / 1_000_000
}

fn end_of(host: &Host, id: &str) -> i64 {
    host.grant(id)["state"]["approved"]["until"]["wall"].as_i64().expect("an end")
}

/// Is that process of the host's at its end?
fn is_gone(stat: &str) -> bool {
    let stat = std::fs::read_to_string(stat).unwrap_or_default();
    stat.rsplit(") ").next().is_none_or(|rest| rest.is_empty() || rest.starts_with(['Z', 'X']))
}

/// Lets these guests in at once; how many milliseconds after the end of his grant nothing of each was there any more.
fn lateness(host: &Host, guests: &mut [Person<'_>], outside: &mut Person<'_>, lifetime: &str) -> Vec<i64> {
    let ids: Vec<String> = guests.iter_mut().map(|guest| guest.asks(&format!("alice/work --for {lifetime}"))).collect();
    ids.iter().for_each(|id| outside.approves(id));
    for (guest, id) in guests.iter_mut().zip(&ids) {
        guest.attempt(&format!("clear; tmux-gate join {id}"));
    }
    guests.iter_mut().for_each(|guest| guest.expect_inside());
    let (relays, clients) = (host.by_role("relay"), host.guest_clients());
    assert_eq!((relays.len(), clients.len()), (ids.len(), ids.len()), "{}", host.snapshot());
    // A relay and a client have the same monitor, which has the id in its command line.
    let stats = |id: &String| -> Vec<String> {
        let of = |monitor: i32| move |process: &&crate::host::Process| process.ppid == monitor;
        let monitor = relays.iter().find(|relay| relay.cmdline.ends_with(id)).expect("its relay").ppid;
        let both = relays.iter().find(of(monitor)).into_iter().chain(clients.iter().find(of(monitor)));
        both.map(|process| host.path(&format!("/proc/{}/stat", process.pid))).collect()
    };
    let mut waiting: Vec<(i64, Vec<String>)> = ids.iter().map(|id| (end_of(host, id), stats(id))).collect();
    assert!(waiting.iter().all(|(end, both)| both.len() == 2 && now_ms() < *end), "the way in took too long");
    let (mut late, begun) = (Vec::new(), Instant::now());
    while !waiting.is_empty() {
        assert!(begun.elapsed() < LIMIT, "somebody stays\n{}", host.snapshot());
        waiting.retain(|(end, both)| {
            let gone = both.iter().all(|stat| is_gone(stat));
            if gone {
                late.push(now_ms() - end);
            }
            !gone
        });
        std::thread::sleep(Duration::from_micros(300));
    }
    for guest in guests {
        guest.expect("the grant's time is over");
        assert_eq!(guest.status(), 77);
    }
    late
}

#[test]
fn the_cut_comes_at_the_end_and_never_before_it() {
    let host = open_host();
    let (_alice, mut outside) = (at_work(&host), host.person("alice"));
    let wanted: usize = std::env::var("GATE_GRANTS").ok().and_then(|text| text.parse().ok()).unwrap_or(10);
    let mut guests: Vec<Person<'_>> = ["bob", "carol", "dave", "bob", "carol"].map(|user| host.person(user)).into();
    let mut late = Vec::new();
    while late.len() < wanted {
        late.extend(lateness(&host, &mut guests, &mut outside, "3s"));
    }
    late.sort_unstable();
    println!("{} grants, ms after the end: {late:?}", late.len());
    assert!(late[0] >= 0, "before the end: {late:?}");
    assert!(late[late.len() / 2] <= 50 && late[late.len() - 1] <= 500, "too late: {late:?}");
    assert!(outside.command("tmux-gate who").text.contains("nobody is in"));
}

/// Moves an end, so far on each clock.
fn shift(until: &mut Value, wall: i64, since_boot: i64) {
    for (clock, by) in [("wall", wall), ("since_boot", since_boot)] {
        until[clock] = (until[clock].as_i64().unwrap() + by).max(0).into();
    }
}

#[test]
fn a_grant_of_yesterday_is_over_whatever_the_clocks_say_now() {
    let host = open_host();
    let (_alice, mut outside, mut bob) = (at_work(&host), host.person("alice"), host.person("bob"));
    let boots = ["", "another boot"];
    // What happened, how far the end is moved on the wall and the other clock, which boot, where the approval is moved; good?
    let table = [
        ("nothing", 0, 0, boots[0], 0, true),
        ("a day passed", -DAY, -DAY, boots[0], -DAY, false),
        ("a day passed and the wall clock was set back by one", 0, -DAY, boots[0], 0, false),
        ("the wall clock was set back by two days and one passed", DAY, -DAY, boots[0], DAY, false),
        ("the wall clock was set forward by a day", -DAY, 0, boots[0], -DAY, false),
        ("a reboot", 0, DAY, boots[1], 0, true),
        ("a reboot and a day", -DAY, DAY, boots[1], -DAY, false),
        ("a reboot, and the wall clock was set back by a day", DAY, DAY, boots[1], DAY, false),
    ];
    for (what, wall, since_boot, boot, approved, good) in table {
        let id = bob.asks("alice/work --for 30m");
        outside.approves(&id);
        host.edit_grant(&id, |grant| {
            shift(&mut grant["state"]["approved"]["until"], wall, since_boot);
            shift(&mut grant["approvals"][0]["at"], approved, approved.min(0));
            if !boot.is_empty() {
                grant["state"]["approved"]["until"]["boot"] = boot.into();
                grant["approvals"][0]["at"]["boot"] = boot.into();
            }
        });
        if good {
            bob.comes_in(&id);
            bob.send("q");
            assert_eq!(bob.status(), 0, "{what}");
        } else {
            let said = bob.command(&format!("tmux-gate join {id}"));
            assert!(said.status == 1 && said.text.contains("it is over"), "{what}: {said:?}");
            assert!(!bob.command("tmux-gate list").text.contains(&id), "{what}");
        }
        outside.command(&format!("tmux-gate revoke {id}"));
    }
}

#[test]
fn with_either_clock_set_back_or_forward_a_guest_who_is_inside_goes_when_the_other_says_so() {
    let host = open_host();
    let (_alice, mut outside, mut bob) = (at_work(&host), host.person("alice"), host.person("bob"));
    for clock in ["wall", "since_boot"] {
        let id = bob.asks("alice/work --for 1h");
        outside.approves(&id);
        let start = if clock == "wall" { now_ms() } else { since_boot_ms() };
        host.edit_grant(&id, |grant| grant["state"]["approved"]["until"][clock] = (start + 2000).into());
        bob.comes_in(&id);
        // Nothing that is written while he is in gives him more.
        host.edit_grant(&id, |grant| shift(&mut grant["state"]["approved"]["until"], DAY, DAY));
        bob.expect("the grant's time is over");
        let took = if clock == "wall" { now_ms() } else { since_boot_ms() } - start;
        assert!((2000..4000).contains(&took), "{clock}: {took} ms");
        assert_eq!(bob.status(), 77);
    }
    let id = bob.asks("alice/work --for 1h");
    outside.approves(&id);
    bob.comes_in(&id);
    host.edit_grant(&id, |grant| shift(&mut grant["state"]["approved"]["until"], -DAY, 0));
    bob.expect("the grant's time is over");
    host.wait_until("the end of his client", || host.guest_clients().is_empty());
}

/// In a time namespace the clock that counts suspend is two hours further, and the wall clock is not: as if that had been set
/// back by two hours since the approval.
#[test]
fn two_hours_on_the_other_clock_end_a_grant_whatever_the_wall_clock_says() {
    let host = open_host();
    let (_alice, mut outside, mut bob) = (at_work(&host), host.person("alice"), host.person("bob"));
    let root = host.hostile("root");
    let later =
        format!("{root} become unshare --time --boottime 7200 setpriv --reuid 1002 --regid 1002 --clear-groups");
    for (lifetime, good) in [("1h", false), ("3h", true)] {
        let id = bob.asks(&format!("alice/work --for {lifetime}"));
        outside.approves(&id);
        if good {
            let listed = bob.command(&format!("{later} tmux-gate list")).text;
            assert!(listed.contains("59m left") || listed.contains("1h left"), "{listed}");
            bob.attempt(&format!("clear; {later} tmux-gate join {id}"));
            bob.expect_inside();
            bob.send("q");
            assert_eq!(bob.status(), 0);
        } else {
            let said = bob.command(&format!("{later} tmux-gate join {id}"));
            assert!(said.status == 1 && said.text.contains("it is over"), "{said:?}");
        }
    }
}
