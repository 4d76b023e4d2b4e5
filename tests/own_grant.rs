//! People who need a grant for their own session: asked, approved, warned, cut off, and their server ended after the grace.

use crate::host::{Host, Person, Said};
use crate::sharing::does;
use nix::time::{ClockId, clock_gettime};
use std::fs;
use std::time::Duration;

const REASON: &str = "--reason 'the quarterly update'";
pub(crate) const KEEPER: &str = "tmux-gate:grace";

/// The configuration in which alice needs a grant and dave approves, and these lines of `[attach]`.
pub(crate) fn rules(attach: &str) -> String {
    let share = "[[share]]\naccess = \"read-write\"\napprovers = [\"owner\", \"dave\"]\n";
    format!("[attach]\ngrant_required = [\"alice\"]\n{attach}\n{share}")
}

/// A host in which nobody is asked for a password.
fn host(attach: &str) -> Host {
    let host = Host::open();
    host.configure(&rules(attach));
    host
}

fn id_of(said: &Said) -> String {
    let id = said.text.split_once(": requested").unwrap_or_else(|| panic!("{said:?}")).0;
    id[id.len() - 6..].to_owned()
}

/// Asks and is approved: the grant's id.
pub(crate) fn granted(host: &Host, place: &str, time: &str) -> String {
    let asked = host.person("alice").command(&format!("tmux-gate request {place} --for {time} {REASON}"));
    assert_eq!(asked.status, 0, "{asked:?}");
    let id = id_of(&asked);
    let approved = host.person("dave").command(&format!("tmux-gate approve {id}"));
    assert_eq!(approved.status, 0, "{approved:?}");
    id
}

/// Attaches, and is at the prompt of a pane.
pub(crate) fn inside(alice: &mut Person<'_>) {
    alice.attempt("tmux-gate");
    alice.expect("\x1b[?1049h");
    alice.expect_inside();
}

fn file_of(host: &Host, id: &str) -> String {
    host.path(&format!("/var/lib/tmux-gate/grants/{id}.1001.1001"))
}

fn read_grant(host: &Host, id: &str) -> serde_json::Value {
    serde_json::from_str(&fs::read_to_string(file_of(host, id)).expect("a grant")).expect("JSON")
}

/// Writes the grant back as the store would, the end's clocks moved by so many milliseconds: what a clock that was set does.
fn move_end(host: &Host, id: &str, clock: &str, by: i64) {
    let mut grant = read_grant(host, id);
    let end = &mut grant["state"]["approved"]["until"][clock];
    *end = (end.as_i64().expect("milliseconds") + by).into();
    let beside = host.path("/var/lib/tmux-gate/grants/.new.test");
    fs::write(&beside, grant.to_string()).expect("written");
    fs::rename(&beside, file_of(host, id)).expect("renamed");
}

fn since_boot() -> i64 {
    let now = clock_gettime(ClockId::CLOCK_BOOTTIME).expect("a clock");
    i64::try_from(Duration::from(now).as_millis()).expect("milliseconds")
}

/// Milliseconds on the clock that cannot be set at which that process was gone.
fn gone(host: &Host, pid: i32) -> i64 {
    let stat = host.path(&format!("/proc/{pid}/stat"));
    let deadline = since_boot() + 20_000;
    while fs::read_to_string(&stat).is_ok_and(|text| !text.rsplit(')').next().unwrap_or("").starts_with(" Z")) {
        assert!(since_boot() < deadline, "{pid} goes on\n{}", host.snapshot());
        std::thread::sleep(Duration::from_micros(500));
    }
    since_boot()
}

pub(crate) fn keepers(host: &Host) -> Vec<i32> {
    host.processes().into_iter().filter(|process| process.comm == KEEPER).map(|process| process.pid).collect()
}

/// Is cut off with these words, and is back at the shell with status 77.
fn cut_off(host: &Host, alice: &mut Person<'_>, why: &str) {
    alice.expect(why);
    // What the shell writes while the server still lets go of the terminal can be lost: it makes the terminal non-blocking.
    let name = alice.terminal.name.clone();
    let has = |server: i32| {
        let open = fs::read_dir(host.path(&format!("/proc/{server}/fd"))).into_iter().flatten().flatten();
        open.into_iter().any(|fd| fs::read_link(fd.path()).is_ok_and(|target| target.display().to_string() == name))
    };
    host.wait_until("a server without the terminal", || !host.tmux_servers().into_iter().any(has));
    alice.send("\r");
    assert_eq!(alice.status(), 77, "{why}\n{}", host.snapshot());
}

/// The server and all that was started in it are gone, and so is who saw to it.
pub(crate) fn expect_all_ended(host: &Host) {
    host.syslog_wait(&["event=ended", "user=alice", "left=0"]);
    host.wait_until("the end of what ran inside", || host.tmux_servers().is_empty());
    host.wait_until("the end of the keeper", || keepers(host).is_empty());
}

#[test]
fn who_needs_a_grant_asks_is_approved_by_somebody_else_is_cut_off_and_then_his_server_ends() {
    let host = Host::new();
    host.configure(&rules("grace = \"4s\""));
    let (mut alice, mut dave) = (host.person("alice"), host.person("dave"));
    let attempt = alice.attempt("tmux-gate");
    alice.expect_refused(&attempt, 77, "tmux-gate request alice --for 30m --reason TEXT");
    does(&mut alice, "alice", &format!("tmux-gate request alice --for 6s {REASON}"), &[]);
    let line = host.syslog_wait(&["event=requested", "guest=alice", "owner=alice", "access=read-write"]);
    let id = line.split_once("grant=").expect("an id").1[..6].to_owned();
    let attempt = alice.attempt("tmux-gate");
    alice.expect_refused(&attempt, 75, &format!("{id} waits for its approval"));
    let own = alice.command(&format!("tmux-gate approve {id}"));
    assert_eq!((own.status, own.text.contains("whoever asked does not approve")), (77, true), "{own:?}");
    let to_see = dave.command(&format!("tmux-gate approve {id} --read-only"));
    assert_eq!((to_see.status, to_see.text.contains("leave --read-only out")), (77, true), "{to_see:?}");
    does(&mut dave, "dave", &format!("tmux-gate approve {id}"), &["alice wants into every session of the own"]);
    alice.expect_not("Password: \r\nPassword");

    alice.attempt("tmux-gate");
    alice.expect("Password: ");
    alice.send("alice's secret\r");
    alice.expect_inside();
    host.syslog_wait(&["event=attached", "user=alice", &format!("grant={id}")]);
    let [keeper] = keepers(&host)[..] else { panic!("{}", host.snapshot()) };
    assert_eq!(host.memory_holds(keeper, b"alice's secret"), 0, "the keeper has the password");
    alice.inside("(setsid nohup sleep 1000 >/tmp/out 2>&1 &)");
    cut_off(
        &host,
        &mut alice,
        "the time of the grant for your own session is over; what runs there ends in 4s without a new one",
    );
    alice.expect_main_screen();
    host.syslog_wait(&["event=detached", "status=77", &format!("grant={id}"), "how=expired"]);
    assert_eq!(host.tmux_servers().len(), 1, "the grace is not over");
    let attempt = alice.attempt("tmux-gate");
    alice.expect_refused(&attempt, 77, "takes an approved grant");
    expect_all_ended(&host);
    assert!(!host.processes().iter().any(|process| process.cmdline.contains("sleep 1000")), "{}", host.snapshot());
    host.expect_sessions("open alice\nclose alice\n");
    host.expect_nothing_left();
}

#[test]
fn the_end_comes_0_to_50_milliseconds_after_the_grant() {
    let host = host("grace = \"0s\"");
    let mut late = Vec::new();
    for round in 0..8 {
        let id = granted(&host, "alice", "2s");
        let until = read_grant(&host, &id)["state"]["approved"]["until"]["since_boot"].as_i64().expect("an end");
        let mut alice = host.person("alice");
        inside(&mut alice);
        if round % 4 == 3 {
            // The end asks no server.
            host.kill("STOP", &host.tmux_servers());
        }
        late.push(gone(&host, host.client().pid) - until);
        cut_off(&host, &mut alice, "is over");
        expect_all_ended(&host);
    }
    println!("milliseconds late: {late:?}");
    assert!(late.iter().all(|late| (0..=50).contains(late)), "{late:?}");
}

#[test]
fn one_minute_before_the_end_it_is_said_in_the_session() {
    let host = host("");
    granted(&host, "alice", "62s");
    let mut alice = host.person("alice");
    inside(&mut alice);
    alice.expect_screen("1 minute is left of the grant");
    assert_eq!(host.tmux_servers().len(), 1);
    alice.expect_not("5 minutes");
}

#[test]
fn a_grant_for_one_session_opens_that_one_and_a_kept_server_waits_locked_for_the_next_grant() {
    let host = host("keep = true");
    let mut alice = host.person("alice");
    granted(&host, "alice/work", "4s");
    let attempt = alice.attempt("tmux-gate attach other");
    alice.expect_refused(&attempt, 77, "takes an approved grant");
    inside(&mut alice);
    alice.expect_screen("[work]");
    let server = host.tmux_servers();
    cut_off(&host, &mut alice, "what runs there goes on, locked");
    let attempt = alice.attempt("tmux-gate attach work");
    alice.expect_refused(&attempt, 77, "takes an approved grant");
    host.expect_nothing_left();
    granted(&host, "alice", "1h");
    inside(&mut alice);
    alice.expect_screen("[work]");
    assert_eq!(host.tmux_servers(), server);
}

#[test]
fn revocation_cuts_at_once_and_a_new_grant_within_the_grace_keeps_the_server() {
    let host = host("grace = \"3s\"");
    let mut alice = host.person("alice");
    let mut late = Vec::new();
    for _ in 0..3 {
        let id = granted(&host, "alice", "1h");
        inside(&mut alice);
        let client = host.client().pid;
        assert_eq!(host.person("dave").command(&format!("tmux-gate revoke {id}")).status, 0);
        let ended = gone(&host, client);
        let at = read_grant(&host, &id)["state"]["ended"]["at"]["since_boot"].as_i64().expect("an end");
        late.push(ended - at);
        cut_off(&host, &mut alice, "the grant for your own session was taken away");
        host.syslog_wait(&["event=detached", &format!("grant={id}"), "how=revoked"]);
    }
    println!("milliseconds from revoke to gone: {late:?}");
    // The command's own fsync and answer are in it.
    assert!(late.iter().all(|late| (0..=150).contains(late)), "{late:?}");
    let server = host.tmux_servers();
    assert_eq!(server.len(), 1, "each new grant came within the grace");
    expect_all_ended(&host);
}

#[test]
fn a_longer_grant_is_changed_to_while_inside_and_rules_made_stricter_or_lifted_hold_at_once() {
    let host = host("grace = \"1h\"");
    let mut alice = host.person("alice");
    let id = granted(&host, "alice", "6s");
    inside(&mut alice);
    let client = host.client().pid;
    let changed = host.person("dave").command(&format!("tmux-gate change {id} --for 30m"));
    assert_eq!(changed.status, 0, "{changed:?}");
    assert_eq!(read_grant(&host, &id)["state"]["ended"]["how"], "replaced");
    let until = read_grant(&host, &id)["state"]["ended"]["at"]["since_boot"].as_i64().expect("a moment") + 7000;
    host.wait_until("the end of the first grant", || since_boot() > until);
    assert_eq!(host.client().pid, client, "{}", host.snapshot());
    host.configure("[attach]\ngrant_required = [\"@alice\"]\n[[share]]\napprovers = [\"dave\"]\n");
    cut_off(&host, &mut alice, "the rules do not let you into your own session any more");
    host.syslog_wait(&["event=detached", "how=forbidden"]);

    host.configure(&rules("grace = \"1h\""));
    granted(&host, "alice", "3s");
    inside(&mut alice);
    let client = host.client().pid;
    host.configure("");
    let until = since_boot() + 3500;
    host.wait_until("the end that would have been", || since_boot() > until);
    assert_eq!(host.client().pid, client, "she needs none any more");
    host.wait_until("no keeper after her", || {
        alice.send("\x02d");
        keepers(&host).is_empty()
    });
    assert_eq!(host.tmux_servers().len(), 1);
}

#[test]
fn whichever_clock_says_that_it_is_over_is_right() {
    let host = host("grace = \"0s\"");
    // The wall clock set forward by two hours; set back by a day, the other clock holds.
    for (clock, by, time) in [("wall", -7_200_000, "1h"), ("since_boot", -7_200_000, "1h"), ("wall", 86_400_000, "4s")]
    {
        let id = granted(&host, "alice", time);
        let mut alice = host.person("alice");
        inside(&mut alice);
        move_end(&host, &id, clock, by);
        cut_off(&host, &mut alice, "tmux-gate: the ");
        expect_all_ended(&host);
    }
}

#[test]
fn who_left_early_or_killed_what_watched_him_or_hid_his_server_loses_it_all_the_same() {
    for way in
        ["detaches", "kills the gate", "hangs up", "stops the server", "moves the socket", "leaves a process behind"]
    {
        let host = host("grace = \"1s\"");
        let mut alice = host.person("alice");
        granted(&host, "alice", "4s");
        inside(&mut alice);
        match way {
            "detaches" => {
                alice.send("\x02d");
                alice.expect("[detached");
                host.syslog_wait(&["event=detached", "status=0", "how=left"]);
            }
            "kills the gate" => host.kill("KILL", &[host.monitor().pid, host.front().pid]),
            "hangs up" => alice.hang_up(),
            "stops the server" => host.kill("STOP", &host.tmux_servers()),
            "moves the socket" => {
                alice.inside("mv /run/tmux-gate/1001/default /run/tmux-gate/1001/elsewhere");
            }
            _ => {
                alice.inside("(setsid nohup sleep 1000 >/tmp/out 2>&1 &)");
                alice.send("exit\r");
                alice.expect("[exited]");
            }
        }
        let (keeper, mine) = (keepers(&host), host.run_as("alice", &["pkill", "-KILL", "-f", KEEPER]));
        assert!(keeper.len() == 1 && !mine.status.success(), "{way}: {mine:?}\n{}", host.snapshot());
        expect_all_ended(&host);
        host.expect_no_gate();
        let left = host.processes().into_iter().filter(|p| p.cmdline.contains("sleep 1000")).count();
        assert_eq!(left, 0, "{way}\n{}", host.snapshot());
    }
}

#[test]
fn there_is_one_keeper_a_person_and_it_leaves_with_the_server() {
    let host = host("grace = \"1h\"");
    granted(&host, "alice", "1h");
    let mut alice = host.person("alice");
    for _ in 0..2 {
        inside(&mut alice);
        let keeper = host.processes().into_iter().find(|process| process.comm == KEEPER).expect("a keeper");
        assert_eq!((keeper.uids, keeper.session == host.front().session), ([0; 3], false));
        let open = fs::read_dir(host.path(&format!("/proc/{}/fd", keeper.pid))).expect("its descriptors");
        for fd in open {
            let target = fs::read_link(fd.expect("an entry").path()).expect("a link").display().to_string();
            let own =
                ["/dev/null", "/run/tmux-gate/", "anon_inode:", "pipe:"].iter().any(|own| target.starts_with(own));
            assert!(own, "{target}");
        }
        alice.send("\x02d");
        alice.expect("[detached");
        alice.status();
    }
    assert_eq!(keepers(&host).len(), 1);
    inside(&mut alice);
    alice.send("exit\r");
    alice.expect("[exited]");
    host.wait_until("the end of the keeper", || keepers(&host).is_empty());
    assert!(!host.recorded().iter().any(|line| line.contains("event=ended")), "{}", host.snapshot());
}

#[test]
fn who_needs_no_grant_or_cannot_get_one_is_told_so() {
    let host = host("");
    let (mut alice, mut bob) = (host.person("alice"), host.person("bob"));
    let ask = |user: &str| format!("tmux-gate request {user} --for 30m {REASON}");
    let said = bob.command(&ask("bob"));
    assert_eq!((said.status, said.text.contains("takes no grant; run: tmux-gate")), (77, true), "{said:?}");
    let id = granted(&host, "alice", "1h");
    for way in [&id, "alice"] {
        let said = alice.command(&format!("tmux-gate join {way}"));
        assert_eq!(said.status, 77, "{said:?}");
    }
    let said = bob.command(&format!("tmux-gate approve {id}"));
    assert_eq!((said.status, said.text.contains("no request or grant")), (77, true), "{said:?}");
    assert!(alice.command("tmux-gate list").text.contains(&format!("{id}: alice into the own session, read-write")));
    for (config, text) in [
        ("", "nobody else who could approve"),
        ("[[share]]\napprovers = [\"dave\"]\n", "takes read-write"),
        ("[[share]]\nguests = [\"bob\"]\naccess = \"read-write\"\napprovers = [\"dave\"]\n", "no rule lets you"),
        ("[[share]]\naccess = \"read-write\"\nmax_duration = \"5m\"\napprovers = [\"dave\"]\n", "5m at most"),
    ] {
        host.configure(&format!("[attach]\ngrant_required = [\"@alice\"]\n{config}"));
        let said = alice.command(&ask("alice"));
        assert_eq!((said.status, said.text.contains(text)), (77, true), "{config}: {said:?}");
    }
    assert!(alice.command("tmux-gate explain").text.contains("needs an open grant for it: \"@alice\""));
}

#[test]
fn root_is_no_exception() {
    let host = host("");
    host.configure(&rules("").replace("\"alice\"", "\"alice\", \"@root\""));
    let mut root = host.person("root");
    let attempt = root.attempt("tmux-gate");
    root.expect_refused(&attempt, 77, "root: your own session takes an approved grant");
}
