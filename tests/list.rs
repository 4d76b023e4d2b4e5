//! `list`: the own sessions without a password, from a server that may be hostile, and no way to the sockets' group.

use crate::host::{GATE, Host, NO_QUESTION, Process, Spawn};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

const SOCKET: &str = "/run/tmux-gate/1001/default";

fn list(host: &Host, words: &[&str]) -> (Option<i32>, String, String) {
    let output = host.run_as("alice", &[&[GATE, "list"], words].concat());
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text:?}"))
}

/// Somebody has alice's socket and listens on it.
fn planted_listener(host: &Host) -> UnixListener {
    host.must(&["install", "-d", "-m", "0770", "-o", "root", "-g", "2013265921", "/run/tmux-gate/1001"]);
    let path = host.path(SOCKET);
    let listener = UnixListener::bind(&path).unwrap();
    chown(&path, Some(1001), Some(1001)).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
    listener
}

fn gate_group(host: &Host) -> u32 {
    host.must(&["getent", "group", "tmux-gate"]).split(':').nth(2).unwrap().parse().unwrap()
}

#[test]
fn without_a_server_there_are_no_sessions() {
    let host = Host::new();
    let (status, said, errors) = list(&host, &[]);
    assert_eq!((status, errors.as_str()), (Some(0), ""));
    assert!(said.starts_with("no sessions") && said.lines().count() == 1, "{said}");
    assert_eq!(list(&host, &["--json"]).1, "{\"grants\":[],\"sessions\":[]}\n");
    drop(planted_listener(&host));
    assert!(host.exists(SOCKET));
    assert!(list(&host, &[]).1.starts_with("no sessions"), "a socket that nobody listens on");
    assert!(!host.processes().iter().any(Process::is_tmux_server), "{}", host.snapshot());
    assert_eq!(host.syslog().len(), 0, "{:?}", host.syslog());
}

#[test]
fn every_session_is_listed_with_its_windows_and_clients_and_nobody_elses() {
    let host = Host::new();
    host.pam(NO_QUESTION);
    let mut alice = host.person("alice");
    alice.attempt("tmux-gate");
    alice.expect_inside();
    assert_eq!(alice.inside("tmux new -d -s work; tmux neww -d -t work; tmux neww -d -t work").status, 0);
    let (status, said, errors) = list(&host, &[]);
    assert_eq!((status, errors.as_str()), (Some(0), ""));
    assert_eq!(said, "main: 1 window, 1 client\nwork: 3 windows, 0 clients\n");
    let value = json(&list(&host, &["--json"]).1);
    let sessions = value["sessions"].as_array().unwrap();
    assert_eq!(sessions.len(), 2, "{value}");
    assert_eq!((&sessions[1]["session"], &sessions[1]["windows"]), (&"work".into(), &3.into()));
    assert_eq!(sessions[0]["clients"], 1);
    assert!(sessions[0]["created"].as_u64().unwrap() > 1_700_000_000 && sessions[0]["last_used"].is_u64(), "{value}");
    assert!(host.run_as("bob", &[GATE, "list"]).stdout.starts_with(b"no sessions"));
    assert_eq!(alice.inside("tmux-gate list").text.lines().next(), Some("main: 1 window, 1 client"));
}

#[test]
fn names_of_sessions_are_shown_and_never_obeyed() {
    let host = Host::new();
    host.pam(NO_QUESTION);
    let mut alice = host.person("alice");
    alice.attempt("tmux-gate");
    alice.expect_inside();
    let names =
        ["häuser ✓", "$'a\\e]52;c;aGk=\\ab'", "'##(touch /tmp/ran)'", "$'x\\u202ey'", "$'one\\ntwo'", "' 7 8 '"];
    for name in names {
        let name = if name.starts_with(['$', '\'']) { name.to_owned() } else { format!("'{name}'") };
        assert_eq!(alice.inside(&format!("tmux new -d -s {name}")).status, 0, "{name}");
    }
    let (status, said, _) = list(&host, &[]);
    assert_eq!((status, said.lines().count()), (Some(0), 7), "{said:?}");
    assert!(said.contains("häuser ✓: 1 window, 0 clients\n") && said.starts_with(" 7 8 : 1 window"), "{said:?}");
    assert!(said.contains("#(touch /tmp/ran)") && !host.exists("/tmp/ran"), "{said:?}");
    assert!(said.contains("x\\u{202e}y"), "{said:?}");
    assert!(!said.replace('\n', "").contains(|letter: char| letter.is_control()), "{said:?}");
    let value = json(&list(&host, &["--json"]).1);
    let names: Vec<_> =
        value["sessions"].as_array().unwrap().iter().filter_map(|one| one["session"].as_str()).collect();
    assert!(names.len() == 7 && names.contains(&"häuser ✓") && names.contains(&"x\u{202e}y"), "{value}");
}

#[test]
fn a_server_that_does_not_answer_holds_nobody_up() {
    let host = Host::new();
    let _listener = planted_listener(&host);
    let start = Instant::now();
    let (status, said, errors) = list(&host, &[]);
    let took = start.elapsed();
    assert_eq!((status, said.as_str(), errors.lines().count()), (Some(69), "", 1), "{errors}");
    assert!(errors.starts_with("tmux-gate: ") && errors.contains("does not answer"), "{errors}");
    assert!((Duration::from_millis(1900)..Duration::from_secs(5)).contains(&took), "{took:?}");
    host.expect_nothing_left();
}

#[test]
fn a_server_that_floods_or_talks_nonsense_is_survived() {
    let host = Host::new();
    let listener = planted_listener(&host);
    let flood = std::thread::spawn(move || {
        for stream in listener.incoming().take(2) {
            let mut stream = stream.unwrap();
            while std::io::Write::write_all(&mut stream, &[0xff; 65536]).is_ok() {}
        }
    });
    for words in [&[][..], &["--json"]] {
        let (status, said, _) = list(&host, words);
        assert!(matches!(status, Some(0 | 69)) && said.len() < 1000, "{status:?} {said}");
    }
    flood.join().unwrap();
    host.expect_nothing_left();
}

/// What tmux prints can be the server's choice wholly: here a stand-in for tmux says it.
#[test]
fn of_an_answer_without_end_a_fixed_size_is_read_and_of_a_slow_one_two_seconds() {
    let host = Host::new();
    let _listener = planted_listener(&host);
    host.configure("[tmux]\npath = \"/usr/local/bin/stand-in\"\n");
    let endless = "#!/bin/sh\nexec yes '1 1 1700000000 1700000000 name'\n";
    host.write("/usr/local/bin/stand-in", endless, 0o755);
    let (status, said, _) = list(&host, &[]);
    assert!(status == Some(0) && said.len() <= 65536 && said.starts_with("name: 1 window, 1 client\n"), "{status:?}");
    host.expect_nothing_left();
    let slow = "#!/bin/sh\nwhile echo '1 1 1 1 name'; do sleep 0.1; done\n";
    host.write("/usr/local/bin/stand-in", slow, 0o755);
    let start = Instant::now();
    let (status, said, _) = list(&host, &[]);
    assert_eq!((status, said.as_str()), (Some(69), ""));
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    for garbage in ["x y z", "1 1 1", "99999999999999999999999 1 1 1 name", "\\0377\\0376 1 1 1 name", "-1 1 1 1 name"]
    {
        host.write(
            "/usr/local/bin/stand-in",
            format!("#!/bin/sh\nprintf '%b' '{garbage}\\n1 1 1 1 right\\n'\n"),
            0o755,
        );
        let (status, said, _) = list(&host, &[]);
        assert_eq!((status, said.as_str()), (Some(0), "right: 1 window, 1 client\n"), "{garbage}");
    }
}

/// As alice, outside: opens what of that process only its tracer may see, or traces it. 0 is success.
fn try_to_trace(host: &Host, script: &str) -> i32 {
    let output = host.run_as("alice", &["perl", "-e", script]);
    output.status.code().unwrap_or_else(|| panic!("{output:?}"))
}

fn trace(pid: i32) -> String {
    format!("exit(syscall({}, 16, {pid}, 0, 0) == 0 ? 0 : 1)", libc::SYS_ptrace) // PTRACE_ATTACH
}

fn open_memory(pid: i32) -> String {
    format!("exit(open(my $memory, '+<', '/proc/{pid}/mem') ? 0 : 1)")
}

#[test]
fn nothing_of_the_callers_gets_the_group_from_a_list_that_runs() {
    let host = Host::new();
    let _listener = planted_listener(&host);
    let group = gate_group(&host);
    let victim = "my $child = fork // die; if (!$child) { sleep 100; exit } ";
    let end = "kill 9, $child; ";
    let own =
        format!("{victim} my $done = syscall({}, 16, $child, 0, 0) == 0; {end} exit($done ? 0 : 1)", libc::SYS_ptrace);
    assert_eq!(try_to_trace(&host, &own), 0, "nobody can trace anything here, the test shows nothing");
    let own = format!("{victim} my $done = open(my $memory, '+<', \"/proc/$child/mem\"); {end} exit($done ? 0 : 1)");
    assert_eq!(try_to_trace(&host, &own), 0, "nobody can open memory here, the test shows nothing");

    let mut running = host.spawn("alice", &[GATE, "list"]).on_terminal();
    host.wait_until("the asking client", || host.clients().len() == 1);
    let client = host.clients().remove(0);
    // Held where it is, so that all of this happens while it has the group: a user may stop his own client.
    host.must(&["kill", "-STOP", &client.pid.to_string()]);
    let status = host.read(&format!("/proc/{}/status", client.pid));
    let gids = format!("Gid:\t1001\t{group}\t{group}\t{group}\n");
    assert!(client.uids == [1001; 3] && status.contains(&gids), "{status}");
    let pids: Vec<i32> = host.gates().iter().map(|gate| gate.pid).chain([client.pid]).collect();
    assert_eq!(pids.len(), 2, "{}", host.snapshot());
    for pid in pids {
        assert_eq!(try_to_trace(&host, &trace(pid)), 1, "{pid} was traced\n{}", host.snapshot());
        assert_eq!(try_to_trace(&host, &open_memory(pid)), 1, "{pid}'s memory was opened");
        for name in ["environ", "fd", "cwd", "exe", "root", "maps"] {
            let output = host.run_as("alice", &["ls", "-l", &format!("/proc/{pid}/{name}/")]);
            assert!(!output.status.success(), "/proc/{pid}/{name}: {output:?}");
        }
    }
    assert_eq!(running.exit_status(), 69);
    host.expect_nothing_left();
}

#[test]
fn the_asking_client_gets_nothing_of_the_callers() {
    let host = Host::new();
    let _listener = planted_listener(&host);
    let show = "#!/bin/sh\n(env; ls /proc/self/fd; pwd; cat /proc/self/stat; grep Sig /proc/self/status) >/tmp/shown\n";
    host.write("/usr/local/bin/stand-in", show, 0o755);
    host.configure("[tmux]\npath = \"/usr/local/bin/stand-in\"\n");
    let spawn: Spawn<'_> = host.spawn("alice", &[GATE, "list"]).extra_descriptors(50).signals_ignored();
    let spawn = spawn.env("TMUX=/tmp/x,1,1").env("TMUX_TMPDIR=/tmp").env("LD_PRELOAD=/tmp/x.so").env("SECRET=yes");
    assert_eq!(spawn.on_terminal().exit_status(), 0);
    let shown = host.read("/tmp/shown");
    let stat = shown.lines().find_map(|line| line.split_once(") ")).expect("stat").1;
    assert_eq!(stat.split(' ').nth(4), Some("0"), "a terminal: {shown}");
    for absent in ["TMUX", "LD_PRELOAD", "SECRET", "HOME=", "\n4\n"] {
        assert!(!shown.contains(absent), "{absent:?} in {shown}");
    }
    assert!(shown.contains("\n/\n"), "{shown}");
    let ignored = shown.lines().find_map(|line| line.strip_prefix("SigIgn:\t")).expect("SigIgn");
    assert_eq!(u64::from_str_radix(ignored, 16).unwrap() & 0x7fff_ffff, 0, "{shown}"); // from 32 on glibc's own
}
