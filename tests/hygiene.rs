//! Hostile callers: whatever execve(2) passes on is put right before anything else, and the session starts as it should.

use crate::environment::{gate, in_session};
use crate::host::{GATE, Host, NO_QUESTION, Person, Spawn};
use std::fs;

/// Everything that a caller can do to a process before it becomes the gate, at once.
fn worst<'h>(host: &'h Host, program: &[&str]) -> Spawn<'h> {
    let spawn = host.spawn("alice", program).umask(0).deleted_directory().extra_descriptors(200);
    spawn.signals_blocked().signals_ignored().groups(&[5, 6])
}

/// Leaves the session of somebody who has no shell around the gate.
fn leave(mut alice: Person<'_>) {
    alice.send("\x02d");
    assert_eq!(alice.exit_status(), 0, "{}", alice.transcript());
}

fn descriptors(host: &Host, pid: i32) -> Vec<(String, String)> {
    let entries = fs::read_dir(host.path(&format!("/proc/{pid}/fd"))).unwrap().map(|entry| entry.unwrap());
    let link = |path| fs::read_link(path).unwrap_or_default().to_string_lossy().into_owned();
    let mut all: Vec<_> = entries.map(|e| (e.file_name().to_string_lossy().into_owned(), link(e.path()))).collect();
    all.sort();
    all
}

/// A set of signals from /proc, without the two that the C library keeps for itself and lets nobody set.
fn signals(status: &str, name: &str) -> u64 {
    u64::from_str_radix(line(status, name), 16).unwrap()
}

fn line<'t>(text: &'t str, name: &str) -> &'t str {
    let found = text.lines().find_map(|line| line.strip_prefix(name));
    found.unwrap_or_else(|| panic!("{name} in {text}")).trim()
}

#[test]
fn the_session_starts_as_it_should_whatever_the_caller_did() {
    let host = Host::open();
    let mut alice = worst(&host, &[GATE]).on_terminal();
    alice.expect_inside();
    alice.inside("(umask; pwd; id -G | sed 's/ [0-9]*$//'; id -u; ls /proc/self/fd; grep -E 'Sig(Blk|Ign|Cgt)|Cap|NoNew' /proc/self/status) >/tmp/seen 2>&1");
    let seen = host.read("/tmp/seen");
    let group = host.must(&["getent", "group", "tmux-gate"]).split(':').nth(2).unwrap().to_owned();
    let expected = format!("0022\n/home/alice\n1001 {group}\n1001\n0\n1\n2\n3\n");
    assert!(seen.starts_with(&expected), "{seen}");
    assert_eq!((signals(&seen, "SigBlk:"), signals(&seen, "SigIgn:")), (0, 0), "{seen}");
    for name in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
        assert_eq!(line(&seen, name), "0000000000000000", "{name} {seen}");
    }
    assert_eq!(line(&seen, "NoNewPrivs:"), "0");
    for status in in_session(&host, "status") {
        assert_eq!((line(&status, "Umask:"), line(&status, "SigBlk:")), ("0022", "0000000000000000"), "{status}");
        assert_eq!(line(&status, "Uid:"), "1001\t1001\t1001\t1001");
        assert_eq!(line(&status, "Gid:"), "1001\t1001\t1001\t1001");
    }
    leave(alice);
    host.expect_all_closed();
}

#[test]
fn of_200_open_descriptors_none_reaches_pam_modules_or_the_session() {
    let host = Host::with_fixture("auth:ask=Go: open:leak"); // and none that a module left open
    let mut alice = worst(&host, &[GATE]).on_terminal();
    alice.expect("Go:");
    for gate in host.gates() {
        let open = descriptors(&host, gate.pid);
        assert!(open.len() < 12, "{open:?}");
        assert!(open.iter().all(|(_, path)| path != "/dev/null"), "{open:?}");
    }
    alice.send("\r");
    alice.expect_inside();
    let client = &host.clients()[0];
    let open = descriptors(&host, client.pid);
    let foreign =
        |path: &str| !["/dev/pts", "/dev/tty", "anon_inode", "socket:", "pipe:"].iter().any(|p| path.starts_with(p));
    assert!(open.len() < 10 && !open.iter().any(|(_, path)| foreign(path) && path != "/home/alice"), "{open:?}");
    leave(alice);
}

#[test]
fn given_closed_standard_descriptors_nothing_of_the_gates_takes_their_place() {
    for closed in [&[0, 1, 2][..], &[0], &[1], &[0, 2], &[1, 2]] {
        let host = Host::open();
        let mut alice = gate(&host).closed(closed).on_terminal();
        assert_eq!(alice.exit_status(), 1, "{closed:?}");
        host.expect_refusal(&["user=alice", "no terminal"]);
    }
    let host = Host::open();
    let alice = gate(&host).closed(&[2]).on_terminal();
    alice.expect_inside();
    leave(alice);
    for verb in ["list", "check", "explain", "--help", "--version"] {
        let output = host.spawn("alice", &[GATE, verb]).closed(&[0, 1, 2]).output();
        assert!(output.status.code().is_some_and(|status| status != 101), "{verb}: {output:?}");
    }
    host.expect_all_closed();
}

#[test]
fn a_full_standard_output_is_no_crash() {
    let host = Host::open();
    for verb in ["list", "list --json", "check", "explain", "--help", "--version"] {
        let output = host.run_as("alice", &["sh", "-c", &format!("{GATE} {verb} >/dev/full")]);
        assert!(output.status.code().is_some_and(|status| status < 100), "{verb}: {output:?}");
    }
}

#[test]
fn given_no_arguments_at_all_or_odd_ones_the_gate_keeps_to_its_grammar() {
    let host = Host::open();
    let alice = gate(&host).arguments::<&str>(&[]).on_terminal();
    alice.expect_inside();
    leave(alice);
    host.expect_all_closed();
    let huge = vec![b'a'; 100_000];
    let many = vec![b"list".as_slice(); 20_000];
    let name = b"%n%s\x1b[2J".as_slice();
    for arguments in [
        &[b"x".as_slice(), b"\xff\xfe"][..],
        &[b"x", b"attach", b"\xff"],
        &[b"x", b"--", b"-froot"],
        &[b"x", b"-froot"],
        &[b"x", &huge],
        &many,
        &[name, b"#(touch /tmp/pwned)"],
        &[b"x", b"attach", b"a/../b"],
        &[b"x", b".."],
        &[b"x", b"=main"],
        &[b"x", b"a\nb"],
        &[b"x", b"\x1b]52;c;x\x07"],
        &[b"x", b""],
        &[b"x", b"$0"],
    ] {
        let mut person = host.spawn("alice", &[GATE]).arguments(arguments).on_terminal();
        assert_eq!(person.exit_status(), 2, "{:?}", person.transcript());
        person.expect("\n");
        for raw in ["\x1b", "\x07"] {
            person.expect_not(raw);
        }
        assert_eq!(person.transcript().trim().lines().count(), 1, "{}", person.transcript());
        assert!(person.transcript().len() < 6000, "{}", person.transcript());
    }
    assert!(!host.exists("/tmp/pwned") && host.clients().is_empty());
    host.expect_sessions("open alice\nclose alice\n");
}

#[test]
fn given_a_huge_or_unreadable_environment_the_gate_does_not_stumble() {
    let host = Host::open();
    let mut spawn = gate(&host).env(b"BAD=\xff\xfe").env(b"\xff=x").env("=").env("noequals").env("TERM=xterm-256color");
    for number in 0..60 {
        spawn = spawn.env(format!("X{number}={}", "y".repeat(20_000)));
    }
    let alice = spawn.env(format!("LC_ALL={}", "z".repeat(100_000))).on_terminal();
    alice.expect_inside();
    leave(alice);
    let mut alice = gate(&host).env(format!("SSH_ORIGINAL_COMMAND={}", "list ".repeat(20_000))).on_terminal();
    assert_eq!(alice.exit_status(), 77);
    let mut alice = gate(&host).env(b"SSH_ORIGINAL_COMMAND=list \xff").on_terminal();
    assert_eq!(alice.exit_status(), 77);
    host.expect_sessions("open alice\nclose alice\n");
}

#[test]
fn given_all_signals_blocked_and_ignored_the_time_limit_holds() {
    let host = Host::with_fixture("auth:hang");
    host.configure("[authentication]\ntime_limit = \"2s\"\n");
    let mut alice = worst(&host, &[GATE]).on_terminal();
    assert_eq!(alice.exit_status(), 75);
    alice.expect("no verdict within 2s");
    host.expect_refusal(&["user=alice", "no verdict"]);
}

#[test]
fn given_sigchld_ignored_modules_that_start_helpers_are_not_misread() {
    for (program, status) in [("/bin/false", 77), ("/bin/true", 0)] {
        let host = Host::new();
        host.pam(&format!("auth required pam_exec.so quiet {program}\n{NO_QUESTION}"));
        let mut alice = gate(&host).signals_ignored().signals_blocked().on_terminal();
        if alice.is_in() {
            leave(alice);
            assert_eq!(status, 0, "{program} was taken for success");
        } else {
            assert_eq!(alice.exit_status(), status, "{program}");
        }
    }
}

#[test]
fn a_timer_that_the_caller_set_before_does_not_end_the_gate() {
    let host = Host::with_fixture("auth:ask=Go:");
    let slack = format!("syscall({}, {}, 4000000000, 0, 0, 0)", libc::SYS_prctl, libc::PR_SET_TIMERSLACK);
    let timers = format!("alarm 1; {slack} == 0 or die; exec '/usr/bin/tmux-gate'");
    let mut alice = host.spawn("alice", &["perl", "-e", &timers]).on_terminal();
    alice.expect("Go:");
    std::thread::sleep(std::time::Duration::from_millis(1200)); // longer than the caller's timer: no event says "not"
    for gate in host.gates() {
        let status = host.read(&format!("/proc/{}/status", gate.pid));
        assert_eq!(line(&status, "ShdPnd:"), "0000000000000000", "{status}");
        // With another slack every wait would end when the caller likes.
        assert_eq!(host.read(&format!("/proc/{}/timerslack_ns", gate.pid)), "50000\n");
    }
    alice.send("\r");
    alice.expect_inside();
    leave(alice);
}

#[test]
fn modules_run_with_a_clean_mask_a_private_umask_no_core_and_the_root_directory() {
    let host = Host::with_fixture("auth:ask=Go:");
    let mut alice = worst(&host, &[GATE]).limit(libc::RLIMIT_CORE, libc::RLIM_INFINITY).on_terminal();
    alice.expect("Go:");
    let gates = host.gates();
    let monitor = gates.iter().find(|gate| gates.iter().any(|front| front.pid == gate.ppid)).expect("a monitor");
    let status = host.read(&format!("/proc/{}/status", monitor.pid));
    let blocked: u64 = [libc::SIGTTIN, libc::SIGTTOU].iter().map(|signal| 1 << (signal - 1)).sum();
    assert_eq!(signals(&status, "SigBlk:"), blocked, "{status}");
    // Before the verdict no handler: the caller's signals must not interrupt what a module waits for.
    let ignored = [libc::SIGHUP, libc::SIGTSTP, libc::SIGPIPE, libc::SIGXFSZ];
    let ignored: u64 = ignored.iter().map(|signal| 1 << (signal - 1)).sum();
    assert_eq!(signals(&status, "SigIgn:"), ignored, "{status}");
    assert_eq!(signals(&status, "SigCgt:"), 0, "{status}");
    assert_eq!((line(&status, "Umask:"), line(&status, "Groups:")), ("0077", ""), "{status}");
    assert_eq!((line(&status, "Uid:"), line(&status, "Gid:")), ("1001\t0\t0\t0", "0\t0\t0\t0"));
    for gate in &gates {
        let limits = host.read(&format!("/proc/{}/limits", gate.pid));
        assert!(line(&limits, "Max core file size").starts_with("0 "), "{limits}");
        assert_eq!(fs::read_link(host.path(&format!("/proc/{}/cwd", gate.pid))).unwrap(), std::path::Path::new("/"));
    }
    alice.send("\x03");
    assert_eq!(alice.exit_status(), 77);
}

#[test]
fn an_unreadable_working_directory_is_no_hindrance() {
    let host = Host::open();
    host.must(&["mkdir", "-m", "700", "/var/closed"]);
    let alice = gate(&host).directory("/var/closed").on_terminal();
    alice.expect_inside();
    leave(alice);
    host.must(&["chmod", "000", "/home/alice"]);
    host.must(&["chown", "root:", "/home/alice"]);
    let alice = gate(&host).on_terminal();
    alice.expect_on_screen("a session in /", |screen| screen.contains("[main]").then_some(()));
    assert_eq!(fs::read_link(host.path(&format!("/proc/{}/cwd", host.clients()[0].pid))).unwrap().to_str(), Some("/"));
    drop(alice);
    host.must(&["pkill", "-9", "-f", "^tmux -S"]);
    host.expect_no_gate();
}

#[test]
fn a_gate_that_did_not_get_its_privilege_says_so_and_does_nothing() {
    let host = Host::open();
    host.must(&["sh", "-ec", "mkdir /var/plain /var/nosuid; cp /usr/bin/tmux-gate /var/plain; chmod 755 /var/plain/tmux-gate
        mount -t tmpfs -o nosuid,mode=755 none /var/nosuid; cp /usr/bin/tmux-gate /var/nosuid/; chmod 4755 /var/nosuid/tmux-gate"]);
    host.write("/tmp/trace.c", TRACE, 0o644);
    host.must(&["cc", "-o", "/usr/local/bin/trace", "/tmp/trace.c"]);
    let cases = [
        host.spawn("alice", &["/var/plain/tmux-gate"]),
        host.spawn("alice", &["/var/nosuid/tmux-gate"]),
        gate(&host).no_new_privs(),
        host.spawn("alice", &["trace", GATE]),
        host.spawn("alice", &["unshare", "--user", "--map-root-user", GATE]),
        host.spawn("alice", &["unshare", "--user", GATE]),
    ];
    for (number, case) in cases.into_iter().enumerate() {
        let mut alice = case.on_terminal();
        let status = alice.exit_status();
        assert_eq!(alice.expect_one_of(&["tmux-gate: ", "unshare failed"]), 0, "nobody may make user namespaces here");
        assert!(status == 78 || status == 77 && number == 5, "case {number}: {status} {}", alice.transcript());
        // Root by name only: told apart before anything of this place is believed.
        assert!(number != 4 || alice.transcript().contains("user namespace"), "{}", alice.transcript());
        assert!(host.clients().is_empty());
    }
    host.expect_sessions("");
    assert_eq!(host.must(&["ls", "/run/tmux-gate"]), "");
}

/// A debugger that starts the program and lets it run.
const TRACE: &str = r#"
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>
int main(int argc, char **argv)
{
	int status, pid = fork();
	if (pid == 0) {
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		execv(argv[1], argv + 1);
		_exit(127);
	}
	while (waitpid(pid, &status, 0) == pid) {
		if (WIFEXITED(status))
			return WEXITSTATUS(status);
		if (WIFSIGNALED(status))
			return 128 + WTERMSIG(status);
		ptrace(PTRACE_CONT, pid, 0, WSTOPSIG(status) == SIGTRAP ? 0 : WSTOPSIG(status));
	}
	return 126;
}
"#;
