//! The owner's server is of her own making.

use super::server::{self, Client, Hostile, Reply, asks, polite};
use super::visit::{CANARY, Visit};
use super::{expect_spied_in_vain, host};
use crate::host::{Host, LIMIT};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// A server of the owner's making that keeps all it gets, and what it tells the test.
pub fn attacked(
    host: &Host,
    attack: impl Fn(&mut Client) -> String + Send + Sync + 'static,
) -> (Hostile, Receiver<String>) {
    let (said, hears) = channel();
    let said = std::sync::Mutex::new(said);
    let server = Hostile::start(host, polite, move |mut client| {
        client.keep();
        let word = attack(&mut client);
        let _ = said.lock().unwrap().send(word);
    });
    (server, hears)
}

#[test]
fn a_server_of_the_owners_making_gets_nothing_of_the_guests_and_runs_nothing_as_him() {
    let host = host();
    let (server, hears) = attacked(&host, |client| {
        let mut told = String::new();
        // What it may read never comes: with a group that it was not started with, its libevent takes epoll(7) for files.
        for (stream, path) in (3..).zip(["/home/bob/secret", "/proc/self/environ"]) {
            told += &format!("{path}: {:?}\n", client.read_file(stream, path));
        }
        for (stream, path) in (20..).zip(["/home/bob/planted", "/home/bob/.profile", "/tmp/by-the-client"]) {
            told += &format!("{path}: {:?}\n", client.write_file(stream, path, b"planted"));
        }
        client.send(server::READY, b"");
        client.send(server::LOCK, b"spy\0");
        client.hear_of(server::UNLOCK);
        client.send(server::SUSPEND, b"");
        client.exec("spy; exec sleep 1000");
        client.listen();
        told
    });
    let mut bob = Visit::prepare(&host);
    bob.set_out();
    expect_spied_in_vain(&host, &bob, 2);
    bob.expect_nothing_of_his_elsewhere();
    bob.leave("q");
    let told = hears.recv_timeout(LIMIT).unwrap();
    let error =
        |path: &str| told.contains(&format!("{path}: Some(Err(13))")) || told.contains(&format!("{path}: Some(13)"));
    assert!(error("/home/bob/secret") && error("/home/bob/planted") && error("/home/bob/.profile"), "{told}");
    assert!(told.contains("/tmp/by-the-client: Some(0)") && !told.contains(CANARY), "{told}");
    assert_eq!(host.must(&["stat", "-c", "%U", "/tmp/by-the-client"]), "alice\n");
    server.expect_never_received(CANARY.as_bytes());
    server.expect_never_received(bob.person.terminal.name.as_bytes());
    bob.expect_no_way_to_his_terminal(&server.received.lock().unwrap().files);
}

#[test]
fn a_server_that_executes_a_program_before_the_guest_is_in_executes_it_as_the_owner() {
    let host = host();
    let (_server, _hears) = attacked(&host, |client| {
        client.send(server::SHELL, b"/usr/local/bin/spy\0");
        client.listen();
        String::new()
    });
    let mut bob = Visit::prepare(&host);
    bob.set_out();
    bob.expect_cut_off();
    expect_spied_in_vain(&host, &bob, 1);
}

#[test]
fn a_server_that_ends_kills_or_confuses_the_client_does_so_to_the_client_alone() {
    let host = host();
    for message in 0..13 {
        let (go, gone) = channel::<()>();
        let gone = std::sync::Mutex::new(gone);
        let (_server, hears) = attacked(&host, move |client| {
            client.send(server::READY, b"");
            gone.lock().unwrap().recv().unwrap();
            match message {
                0 => client.send(server::DETACH_AND_HANG_UP, b""),
                1 => client.send(server::EXIT, &99_i32.to_ne_bytes()),
                2 => client.send(0xffff_ffff, b"what is this"),
                3 => client.send(server::EXEC, b"no end"),
                4 => client.send(server::READ_OPEN, b"x"),
                5 => return String::new(),
                kind => client.send(200 + kind, &[0xff; 16000]),
            };
            client.answer_the_end(Duration::from_millis(300));
            String::new()
        });
        let mut bob = Visit::prepare(&host);
        bob.set_out();
        bob.expect_begun();
        go.send(()).unwrap();
        hears.recv_timeout(LIMIT).unwrap();
        // What it makes nothing of it may ignore. If it does not, this comes too late for anybody.
        bob.person.send("q");
        bob.expect_back(0);
        bob.expect_only_the_allow_list();
    }
}

#[test]
fn a_server_that_hangs_wherever_it_can_keeps_nobody_in() {
    let host = host();
    let silent: [server::Answer; 4] = [
        |_| Reply::Nothing,
        |command| if asks(command, "set-option") { Reply::Nothing } else { polite(command) },
        |command| if asks(command, "display-message") { Reply::Nothing } else { polite(command) },
        |_| Reply::Executes("/usr/local/bin/hold"),
    ];
    for answer in silent {
        let _server = Hostile::start(&host, answer, |mut client| client.listen());
        let mut bob = Visit::prepare(&host);
        bob.set_out();
        bob.person.expect("the tmux server does not answer");
        bob.expect_back(69);
    }
    for (options, keys) in [("", "q"), ("", "\x03"), ("", "\x02d"), ("--read-write", "\x02d\x02d\x02d")] {
        let lies = |command: &[String]| match asks(command, "display-message") {
            true => Reply::Prints("None ".repeat(13_000).into_bytes()),
            false => polite(command),
        };
        let (said, hears) = channel();
        let said = std::sync::Mutex::new(said);
        let _server = Hostile::start(&host, lies, move |mut client| {
            client.keep();
            said.lock().unwrap().send(()).unwrap();
            client.listen();
        });
        let mut bob = Visit::invited(&host, options);
        bob.set_out();
        hears.recv_timeout(LIMIT).unwrap();
        bob.expect_begun();
        bob.leave(keys);
    }
}

#[test]
fn a_server_that_floods_keeps_nobody_in() {
    let host = host();
    let (_server, hears) = attacked(&host, |client| {
        client.send(server::READY, b"");
        let mut times = 0;
        let flood = b"\x07\x1b[?25l\x1b[5nflood \x1b]52;c;eA==\x07\x1b[2J\x1b[6n".repeat(300);
        while client.send(server::WRITE, b"\xff\xff\xff\xffflood") && times < 3000 {
            client.print_raw(&flood);
            times += 1;
        }
        times.to_string()
    });
    let mut bob = Visit::prepare(&host);
    bob.set_out();
    bob.person.expect("flood");
    let start = Instant::now();
    bob.leave("q");
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    hears.recv_timeout(LIMIT).unwrap();
    bob.expect_only_the_allow_list();
}
