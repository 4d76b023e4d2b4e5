//! Many attaches, one after the other and at the same time: each is recorded, and nothing is left behind.

use crate::host::{Host, NO_QUESTION, Person, UNIX};
use std::fs;

/// Twenty people with passwords like those of the others.
fn crowd(host: &Host) -> Vec<String> {
    let names: Vec<String> = (1..=20).map(|number| format!("user{number}")).collect();
    let create = "for name; do useradd --create-home --skel /home/alice --shell /bin/bash $name; done
        for name; do echo \"$name:$name's secret\"; done | chpasswd";
    let mut argv = vec!["sh", "-ec", create, "sh"];
    argv.extend(names.iter().map(String::as_str));
    host.must(&argv);
    names
}

/// How many descriptors a process holds.
fn descriptors(host: &Host, pid: i32) -> usize {
    fs::read_dir(host.path(&format!("/proc/{pid}/fd"))).unwrap().count()
}

/// Does a process hold this terminal?
fn holds(host: &Host, pid: i32, terminal: &str) -> bool {
    let entries = fs::read_dir(host.path(&format!("/proc/{pid}/fd"))).unwrap();
    entries.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok()).any(|target| target.ends_with(&terminal[1..]))
}

fn runtime_entries(host: &Host) -> Vec<String> {
    let entries = fs::read_dir(host.path("/run/tmux-gate")).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// How many records of this event there are, of this person or of all.
fn count(events: &[String], event: &str, user: &str) -> usize {
    let user = if user.is_empty() { " user=".to_owned() } else { format!(" user={user} ") };
    events.iter().filter(|line| line.contains(&format!("event={event} ")) && line.contains(&user)).count()
}

#[test]
fn a_hundred_attaches_and_detaches_in_a_row_leave_nothing_behind() {
    let host = Host::new();
    host.pam(NO_QUESTION);
    let mut alice = host.person("alice");
    let mut before = None;
    for round in 1..=100 {
        let attempt = alice.attempt("tmux-gate");
        alice.expect_inside();
        alice.leave(&attempt);
        host.expect_nothing_left();
        let server = host.tmux_servers()[0];
        host.wait_until("a server that let go of the terminal", || !holds(&host, server, &alice.terminal.name));
        let (server_before, processes_before, descriptors_before) =
            *before.get_or_insert_with(|| (server, host.processes().len(), descriptors(&host, server)));
        assert_eq!((server, host.processes().len()), (server_before, processes_before), "round {round}");
        host.wait_until("no more descriptors than after the first", || {
            descriptors(&host, server) <= descriptors_before
        });
    }
    assert_eq!(host.sessions(), "open alice\nclose alice\n".repeat(100));
    let events = host.recorded();
    assert_eq!(events.len(), 300);
    for event in ["authenticated", "attached", "detached"] {
        assert_eq!(count(&events, event, "alice"), 100, "{event}");
    }
    assert_eq!(runtime_entries(&host), ["1001"]);
    assert_eq!(fs::read_dir(host.path("/run/tmux-gate/1001")).unwrap().count(), 1, "the socket alone");
}

#[test]
fn twenty_people_at_the_same_time_do_not_disturb_each_other() {
    let host = Host::new();
    host.pam(UNIX);
    let names = crowd(&host);
    let mut people: Vec<Person> = names.iter().map(|name| host.person(name)).collect();
    people.iter_mut().for_each(|person| person.send("tmux-gate\r"));
    people.iter_mut().for_each(|person| {
        person.expect("Password: ");
    });
    assert_eq!(host.gates().len(), 40);
    people.iter_mut().zip(&names).for_each(|(person, name)| person.send(format!("{name}'s secret\r")));
    people.iter().for_each(Person::expect_inside);
    host.wait_until("twenty clients", || host.clients().len() == 20);
    assert_eq!((host.gates().len(), host.tmux_servers().len(), runtime_entries(&host).len()), (40, 20, 20));
    for (person, name) in people.iter_mut().zip(&names) {
        assert!(person.inside("id -un; tmux ls").text.starts_with(&format!("{name}\nmain: ")));
    }
    people.iter_mut().for_each(|person| person.send("\x02d"));
    for person in &mut people {
        person.expect("[detached");
        assert_eq!(person.status(), 0);
    }
    host.expect_all_closed();
    let events = host.recorded();
    for name in &names {
        for event in ["authenticated", "attached", "detached"] {
            assert_eq!(count(&events, event, name), 1, "{event} of {name}\n{}", host.snapshot());
        }
        for word in ["open", "close"] {
            let line = format!("{word} {name}");
            assert_eq!(host.sessions().lines().filter(|seen| *seen == line).count(), 1, "{line}");
        }
    }
    assert_eq!(events.len(), 60);
}

/// One person's way out, by number; the password was asked for.
fn end(host: &Host, person: &mut Person<'_>, name: &str, number: usize) {
    if number < 4 {
        match number {
            0 => person.send("\x03"),
            1 => person.send("\x04"),
            2 => person.hang_up(),
            _ => {
                person.send("x\r");
                for _ in 0..2 {
                    person.expect("Password: ");
                    person.send("x\r");
                }
            }
        }
        return;
    }
    person.send(format!("{name}'s secret\r"));
    person.expect_inside();
    let uid = host.account(name).uid;
    host.wait_until("the client", || host.clients().iter().any(|client| client.uids[0] == uid));
    let client = host.clients().into_iter().find(|client| client.uids[0] == uid).unwrap();
    let monitor = client.ppid;
    let front = host.gates().into_iter().find(|gate| gate.pid == monitor).unwrap().ppid;
    match number {
        4..8 => person.send("\x02d"),
        8..10 => person.send("exit\r"),
        10..12 => person.hang_up(),
        12 => host.kill("KILL", &[front]),
        13 => host.kill("TERM", &[front]),
        14 => host.kill("TERM", &[monitor]),
        15 => host.kill("KILL", &[client.pid]),
        16 => host.kill("TERM", &[client.pid]),
        17 => person.send("tmux kill-server\r"),
        _ => {
            person.send("\x02\x1a");
            person.expect("Stopped");
            person.hang_up();
        }
    }
}

#[test]
fn twenty_people_who_leave_in_every_way_leave_nothing_behind() {
    let host = Host::new();
    host.pam(UNIX);
    let names = crowd(&host);
    let mut people: Vec<Person> = names.iter().map(|name| host.person(name)).collect();
    people.iter_mut().for_each(|person| person.send("tmux-gate\r"));
    people.iter_mut().for_each(|person| {
        person.expect("Password: ");
    });
    for (number, (person, name)) in people.iter_mut().zip(&names).enumerate() {
        end(&host, person, name, number);
    }
    host.expect_no_gate();
    host.expect_all_closed();
    assert!(host.clients().is_empty(), "{}", host.snapshot());
    let events = host.recorded();
    for (number, name) in names.iter().enumerate() {
        let [authenticated, attached, detached, refused] =
            ["authenticated", "attached", "detached", "refused"].map(|event| count(&events, event, name));
        let expected = if number < 4 { (0, 0, 0, 1) } else { (1, 1, 1, 0) };
        assert_eq!((authenticated, attached, detached, refused), expected, "{number} {name}\n{}", host.snapshot());
        let pairs = usize::from(number >= 4);
        for word in ["open", "close"] {
            let line = format!("{word} {name}");
            assert_eq!(host.sessions().lines().filter(|seen| *seen == line).count(), pairs, "{line}");
        }
    }
    assert_eq!(runtime_entries(&host).len(), 16);
}
