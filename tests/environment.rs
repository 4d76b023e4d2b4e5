//! The caller's environment: nothing of it is looked at by root, and the session gets one that is made from scratch.

use crate::host::{GATE, Host, NO_QUESTION, Person, Spawn};
use std::fs;

pub(crate) fn gate(host: &Host) -> Spawn<'_> {
    host.spawn("alice", &[GATE])
}

/// Leaves the session of somebody who has no shell around the gate.
fn leave(mut alice: Person<'_>) {
    alice.send("\x02d");
    assert_eq!(alice.exit_status(), 0, "{}", alice.transcript());
}

/// What the processes of the session have, by what /proc says of them: (client, server).
pub fn in_session(host: &Host, file: &str) -> [String; 2] {
    host.wait_until("a client and a server", || host.clients().len() == 1);
    let server = host.processes().into_iter().find(|process| process.is_tmux_server()).expect("a server");
    [host.clients()[0].pid, server.pid].map(|pid| host.read(&format!("/proc/{pid}/{file}")))
}

#[test]
fn the_environment_of_the_session_is_made_from_scratch() {
    let host = Host::open();
    let mut spawn = gate(&host).no_env();
    for pair in [
        "TERM=xterm-256color",
        "COLORTERM=truecolor",
        "LANG=C.UTF-8",
        "LC_TIME=C",
        "SSH_AUTH_SOCK=/tmp/agent",
        "LD_PRELOAD=/tmp/x.so",
        "LD_LIBRARY_PATH=/tmp",
        "TMUX_TMPDIR=/tmp",
        "TMUX=/tmp/tmux-1001/default,1,0",
        "TMUX_PANE=%7",
        "TERMINFO=/tmp",
        "TERMINFO_DIRS=/tmp",
        "TERMCAP=x",
        "SHELL=/tmp/sh",
        "LOCPATH=/tmp",
        "PATH=/tmp",
        "TZ=:/etc/shadow",
        "HOME=/tmp",
        "USER=root",
        "LOGNAME=root",
        "BASH_ENV=/tmp/x",
        "ENV=/tmp/x",
        "EDITOR=/tmp/x",
        "VISUAL=/tmp/x",
        "XDG_CONFIG_HOME=/tmp",
        "IFS=x",
        "GCONV_PATH=/tmp",
        "NLSPATH=/tmp/%N",
        "BASH_FUNC_ls%%=() { id; }",
        "GLIBC_TUNABLES=glibc.malloc.check=3",
        "MALLOC_CHECK_=3",
        "LC_ALL=../../tmp/x",
        "LANGUAGE=x",
        "PERL5OPT=-Mx",
        "PYTHONSTARTUP=/tmp/x",
        "PS4=$(id)",
        "SHELLOPTS=xtrace",
        "DISPLAY=:0\x1b[2J",
        "PWD=/tmp",
        "OLDPWD=/tmp",
        "RUST_BACKTRACE=full",
        "XDG_SEAT=seat0",
    ] {
        spawn = spawn.env(pair);
    }
    let alice = spawn.on_terminal();
    alice.expect_inside();
    let expected = [
        "COLORTERM=truecolor",
        "HOME=/home/alice",
        "LANG=C.UTF-8",
        "LC_TIME=C",
        "LOGNAME=alice",
        "PATH=/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games",
        "SHELL=/bin/bash",
        "SSH_AUTH_SOCK=/tmp/agent",
        "TERM=xterm-256color",
        "USER=alice",
    ];
    for text in in_session(&host, "environ") {
        let mut seen: Vec<&str> = text.split_terminator('\0').collect();
        seen.sort_unstable();
        assert_eq!(seen, expected);
    }
    leave(alice);
}

#[test]
fn what_modules_set_arrives_unless_it_changes_how_programs_are_found_and_loaded() {
    let set = ["KRB5CCNAME=/tmp/x", "LD_PRELOAD=/tmp/x", "TMUX_TMPDIR=/tmp/x", "BASH_ENV=/tmp/x", "PATH=/tmp/x"];
    let host = Host::with_fixture(&set.map(|pair| format!("open:environment={pair}")).join(" "));
    let alice = gate(&host).on_terminal();
    alice.expect_inside();
    for text in in_session(&host, "environ") {
        let planted: Vec<&str> = text.split('\0').filter(|pair| pair.ends_with("=/tmp/x")).collect();
        assert_eq!(planted, ["KRB5CCNAME=/tmp/x"]);
    }
    leave(alice);
}

/// Opens of files, as the kernel reports them, whoever opens.
struct Watched(fs::File);

impl Watched {
    fn new(host: &Host, paths: &[&str]) -> Watched {
        use std::os::fd::FromRawFd;
        // SAFETY: a system call; a descriptor not below 0 is new and ours.
        let queue = unsafe {
            let descriptor = libc::inotify_init1(libc::IN_NONBLOCK | libc::IN_CLOEXEC);
            assert!(descriptor >= 0);
            fs::File::from_raw_fd(descriptor)
        };
        for path in paths {
            let real = std::ffi::CString::new(host.path(path)).unwrap();
            // SAFETY: an owned descriptor and a string that outlives the call.
            let watch = unsafe {
                use std::os::fd::AsRawFd;
                libc::inotify_add_watch(queue.as_raw_fd(), real.as_ptr(), libc::IN_OPEN | libc::IN_ACCESS)
            };
            assert!(watch >= 0, "{path}: {}", std::io::Error::last_os_error());
        }
        Watched(queue)
    }

    fn opened(&mut self) -> bool {
        use std::io::Read;
        self.0.read(&mut [0; 4096]).is_ok_and(|length| length > 0)
    }
}

fn baited(mut spawn: Spawn<'_>) -> Spawn<'_> {
    for pair in [
        "TZ=:/var/bait/tz",
        "TZDIR=/var/bait",
        "LOCPATH=/var/bait",
        "LC_ALL=C.UTF-8",
        "TERMINFO=/var/bait",
        "TERMINFO_DIRS=/var/bait",
        "NLSPATH=/var/bait/%N",
        "GCONV_PATH=/var/bait",
        "LD_LIBRARY_PATH=/var/bait/lib",
        "LD_PRELOAD=/var/bait/lib/libc.so.6",
        "HOSTALIASES=/var/bait/hosts",
        "TMUX_TMPDIR=/var/bait",
        "HOME=/var/bait",
        "XDG_CONFIG_HOME=/var/bait",
        "PATH=/var/bait",
        "XAUTHORITY=/var/bait/hosts",
    ] {
        spawn = spawn.env(pair);
    }
    spawn
}

#[test]
fn no_file_that_the_environment_names_is_opened_as_root() {
    let host = Host::new();
    host.must(&[
        "sh",
        "-ec",
        "
        mkdir -p /var/bait/x /var/bait/C.UTF-8/LC_MESSAGES /var/bait/lib; chmod -R a+rX /var/bait
        for f in tz x/xterm-256color C.UTF-8/LC_CTYPE gconv-modules lib/libc.so.6 lib/libpam.so.0 hosts; do
            mkdir -p /var/bait/$(dirname $f); echo bait >/var/bait/$f; done",
    ]);
    let bait = [
        "/var/bait",
        "/var/bait/tz",
        "/var/bait/x",
        "/var/bait/x/xterm-256color",
        "/var/bait/C.UTF-8",
        "/var/bait/C.UTF-8/LC_CTYPE",
        "/var/bait/C.UTF-8/LC_MESSAGES",
        "/var/bait/gconv-modules",
        "/var/bait/lib",
        "/var/bait/hosts",
    ];
    let mut watched = Watched::new(&host, &bait);
    host.spawn("alice", &["date"]).env("TZ=:/var/bait/tz").output();
    assert!(watched.opened(), "the bait does not work");
    for program in [&[GATE][..], &[GATE, "list"], &[GATE, "check"], &[GATE, "explain"], &[GATE, "--help"]] {
        baited(host.spawn("alice", program)).output();
        assert!(!watched.opened(), "{program:?} opened what the environment names");
    }
    let mut alice = baited(gate(&host)).on_terminal();
    alice.expect("Password: ");
    alice.send("wrong\r");
    alice.expect("Password: ");
    alice.send("alice's secret\r");
    alice.expect_inside();
    assert!(!watched.opened(), "attach opened what the environment names");
    leave(alice);
    host.expect_all_closed();
    assert!(!watched.opened());
}

#[test]
fn the_callers_time_zone_does_not_move_the_records_time() {
    let host = Host::new();
    host.pam(NO_QUESTION);
    host.configure("[attach]\nusers = []\n");
    let hour = || host.must(&["date", "+%b %e %H:"]).trim_end().to_owned();
    let before = hour();
    for zone in ["XXX+5", ":Pacific/Kiritimati", "XXX-13:30"] {
        let mut alice = gate(&host).env(format!("TZ={zone}")).on_terminal();
        assert_eq!(alice.exit_status(), 77);
    }
    host.wait_until("three refusals", || host.events().len() == 3);
    let hours = [before, hour()];
    for line in host.events() {
        assert!(hours.iter().any(|hour| line.contains(hour.as_str())), "{line:?}, it is {hours:?}");
    }
}
