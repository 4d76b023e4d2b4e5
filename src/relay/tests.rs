//! The relay's life, from outside: what it is, what it refuses, how it ends.

use std::fs;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::poll::PollFlags;
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{Shutdown, shutdown};
use nix::sys::termios::{InputFlags, LocalFlags, OutputFlags, tcgetattr};
use nix::unistd;

use super::stage::*;
use super::*;

#[test]
fn a_session_bears_any_size_that_a_guest_may_have() {
    let fitted = |columns, rows| {
        let Size { columns, rows } = fit(Size { columns, rows });
        (columns, rows)
    };
    assert_eq!(fitted(80, 24), (80, 24));
    assert_eq!(fitted(1, 1), (1, 1));
    assert_eq!(fitted(500, 300), (500, 300));
    assert_eq!(fitted(501, 301), (500, 300));
    assert_eq!(fitted(u16::MAX, 1), (500, 1));
    assert_eq!(fitted(1, u16::MAX), (1, 300));
    for (columns, rows) in [(0, 0), (0, 24), (80, 0), (0, u16::MAX)] {
        assert_eq!(fitted(columns, rows), (80, 24));
    }
}

#[test]
fn it_has_given_up_all_that_it_does_not_need() {
    let stage = Stage::ready(Access::ReadOnly);
    assert_eq!(stage.status("Name"), "tmux-gate:relay");
    assert_eq!(stage.status("Uid"), ["65534"; 4].join("\t"));
    assert_eq!(stage.status("Gid"), ["65534"; 4].join("\t"));
    assert_eq!(stage.status("Groups"), "");
    assert_eq!(stage.status("CapEff"), "0000000000000000");
    assert_eq!(stage.status("NoNewPrivs"), "1");
    assert_eq!(stage.status("Seccomp"), "2");
    let mut open: Vec<String> = fs::read_dir(format!("/proc/{}/fd", stage.relay))
        .unwrap()
        .map(|entry| fs::read_link(entry.unwrap().path()).unwrap().display().to_string())
        .collect();
    open.sort();
    let of_a_kind: Vec<&str> = open.iter().map(|name| name.split(':').next().unwrap()).collect();
    assert_eq!(
        of_a_kind,
        ["/dev/pts/ptmx", "/dev/tty", "anon_inode", "socket"].map(|name| {
            // A private instance has it there, the machine's own may have it here.
            if name == "/dev/pts/ptmx" && open.iter().any(|o| o == "/dev/ptmx") { "/dev/ptmx" } else { name }
        })
    );
    // Its memory is nobody's of the same ids to look at: the kernel gives what is not dumpable to root.
    let owner = nix::sys::stat::stat(format!("/proc/{}/maps", stage.relay).as_str()).unwrap().st_uid;
    assert_eq!(owner, 0, "dumpable");
}

#[test]
fn it_has_the_terminal_to_itself_and_raw() {
    let stage = Stage::ready(Access::ReadOnly);
    let group = unistd::getpgid(Some(stage.relay)).unwrap();
    assert_eq!(group, stage.relay);
    assert_ne!(group, stage.parent.pid);
    let stat = fs::read_to_string(format!("/proc/{}/stat", stage.relay)).unwrap();
    let foreground = stat.rsplit(')').next().unwrap().split_whitespace().nth(5).unwrap();
    assert_eq!(foreground, stage.relay.to_string());
    let modes = tcgetattr(&stage.guest).unwrap();
    assert!(!modes.local_flags.intersects(LocalFlags::ECHO | LocalFlags::ICANON | LocalFlags::ISIG));
    assert!(!modes.input_flags.intersects(InputFlags::IXON | InputFlags::ICRNL));
    assert!(!modes.output_flags.contains(OutputFlags::OPOST));
    // The shell's descriptors of the same terminal wait as they did.
    let shells = fs::read_to_string(format!("/proc/{}/fdinfo/0", stage.parent.pid)).unwrap();
    let flags = shells.lines().find_map(|line| line.strip_prefix("flags:")).unwrap().trim();
    assert_eq!(i32::from_str_radix(flags, 8).unwrap() & libc::O_NONBLOCK, 0);
}

/// The sandbox's two halves, each as if the kernel did not have it, and what that is called.
const LACKING: [(fn(), Refusal); 2] = [
    (|| pretend_missing(&[libc::SYS_landlock_create_ruleset]), Refusal::NoLandlock),
    (|| pretend_missing(&[libc::SYS_seccomp]), Refusal::NoSeccomp),
];

#[test]
fn without_the_sandbox_that_is_required_nothing_is_relayed() {
    for (before, refusal) in LACKING {
        let stage = Setting { before, ..Setting::with(Access::ReadWrite) }.raise();
        give(stage.session(), b"secret");
        stage.expect_end(&[ToMonitor::Refused(refusal)]);
        assert!(!wait_for(stage.terminal(), PollFlags::POLLIN, Instant::now()), "something was shown");
    }
}

#[test]
fn without_the_sandbox_that_is_wanted_all_is_relayed() {
    for (before, _) in LACKING {
        let stage = Setting { before, sandbox: Sandbox::Wanted, ..Setting::with(Access::ReadOnly) }.raise().begun();
        give(stage.session(), b"shown");
        assert_eq!(stage.shown(5), b"shown");
    }
}

#[test]
fn a_terminal_that_cannot_be_had_is_refused() {
    // A leader of another session can have no part in this one's.
    let lead_another = || assert!(unistd::setsid().is_ok());
    let stage = Setting { before: lead_another, ..Setting::with(Access::ReadOnly) }.raise();
    stage.expect_end(&[ToMonitor::Refused(Refusal::Terminal)]);
}

/// How long the relay's end of the link stays open from now on.
fn time_to_end(stage: &Stage, end: impl FnOnce(&Stage)) -> Duration {
    let start = Instant::now();
    end(stage);
    while stage.hear().is_some() {}
    start.elapsed()
}

/// A session that prints for as long as it can, and a terminal that shows it.
fn flooded(stage: &Stage, reading: bool, then: impl FnOnce()) {
    let over = AtomicBool::new(false);
    let until_over = |act: &dyn Fn()| {
        while !over.load(Ordering::Relaxed) {
            act();
        }
    };
    let soon = || Instant::now() + Duration::from_millis(10);
    std::thread::scope(|threads| {
        let _over = SaysOver(&over);
        threads.spawn(|| {
            let text = [b'x'; 4096];
            until_over(&|| {
                if wait_for(stage.session(), PollFlags::POLLOUT, soon()) {
                    let _ = unistd::write(stage.session(), &text);
                }
            });
        });
        if reading {
            take(stage.terminal(), 1 << 20);
            threads.spawn(|| {
                until_over(&|| {
                    if wait_for(stage.terminal(), PollFlags::POLLIN, soon()) {
                        let _ = unistd::read(stage.terminal(), &mut [0; 65536]);
                    }
                });
            });
        } else {
            stage.expect(ToMonitor::Behind);
        }
        then();
    });
}

/// Says that it is over also when a test fails.
struct SaysOver<'a>(&'a AtomicBool);

impl Drop for SaysOver<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn the_monitors_end_is_the_end_within_50_ms_whatever_goes_on() {
    let limit = Duration::from_millis(50);
    for reading in [true, false] {
        let stage = Stage::ready(Access::ReadOnly);
        flooded(&stage, reading, || {
            let took = time_to_end(&stage, |stage| stage.tell(&ToRelay::End));
            assert!(took < limit, "{took:?}, with a terminal that reads: {reading}");
        });
        stage.expect_end(&[]);
    }
}

#[test]
fn after_the_end_nothing_more_is_shown() {
    let stage = Stage::ready(Access::ReadOnly);
    give(stage.session(), b"before");
    assert_eq!(stage.shown(6), b"before");
    // Both are there before the relay looks, and the session's was first.
    kill(stage.relay, Signal::SIGSTOP).unwrap();
    give(stage.session(), b"after");
    stage.tell(&ToRelay::End);
    kill(stage.relay, Signal::SIGCONT).unwrap();
    stage.expect_end(&[]);
    assert!(!wait_for(stage.terminal(), PollFlags::POLLIN, Instant::now()), "something was shown");
}

#[test]
fn a_monitor_that_hangs_up_is_the_end_whatever_goes_on() {
    for reading in [true, false] {
        let stage = Stage::ready(Access::ReadOnly);
        flooded(&stage, reading, || {
            shutdown(stage.monitor.as_ref().unwrap().as_fd().as_raw_fd(), Shutdown::Both).unwrap();
            assert_eq!(stage.exit_status(), 0);
        });
    }
}

#[test]
fn it_dies_with_the_monitor() {
    let stage = Stage::ready(Access::ReadOnly);
    // Stopped, it can do nothing about it itself.
    kill(stage.relay, Signal::SIGSTOP).unwrap();
    let took = time_to_end(&stage, |stage| stage.parent.signal(Signal::SIGKILL));
    assert!(took < Duration::from_millis(50), "{took:?}");
}

#[test]
fn a_terminal_that_hangs_up_is_the_end_whatever_goes_on() {
    let mut stage = Stage::ready(Access::ReadOnly);
    stage.terminal = None;
    stage.expect_end(&[ToMonitor::HungUp]);
    let mut stage = Stage::ready(Access::ReadOnly);
    flooded(&stage, false, || ());
    stage.terminal = None;
    stage.expect_end(&[ToMonitor::HungUp]);
    let stage = Stage::ready(Access::ReadOnly);
    kill(stage.relay, Signal::SIGHUP).unwrap();
    stage.expect_end(&[ToMonitor::HungUp]);
}

#[test]
fn a_session_at_its_end_is_the_end_without_a_word() {
    let mut stage = Stage::ready(Access::ReadOnly);
    stage.session = None;
    stage.expect_end(&[]);
    // Also for who typed what nobody read.
    let mut stage = Stage::ready(Access::ReadWrite);
    stage.type_until_stuck(b"x");
    stage.session = None;
    stage.expect_end(&[]);
}
