//! pam_namespace: everybody has a /tmp of her own, which her session sees; the gate and its sockets are where they were.

use crate::host::{Attempt, Host, NO_QUESTION, Person};

fn polyinstantiated(options: &str, rules: &str) -> Host {
    let host = Host::new();
    host.pam(&format!("{NO_QUESTION}session required pam_namespace.so {options}\n"));
    host.write("/etc/security/namespace.conf", rules, 0o644);
    host.must(&["install", "-d", "-m", "000", "/var/inst"]);
    host.write("/tmp/everybodys", "", 0o644);
    host
}

const TMP: &str = "/tmp /var/inst/ user root\n";

fn enter(alice: &mut Person<'_>) -> Attempt {
    let attempt = alice.attempt("tmux-gate");
    alice.expect_inside();
    attempt
}

/// What that process finds in /tmp.
fn tmp_of(host: &Host, pid: i32) -> String {
    host.must(&["ls", &format!("/proc/{pid}/root/tmp")]).replace('\n', " ")
}

fn mounts(host: &Host) -> String {
    host.must(&["sh", "-c", "cut -d' ' -f4-6 /proc/1/mountinfo"])
}

fn mount_namespace(host: &Host, pid: i32) -> String {
    host.must(&["readlink", &format!("/proc/{pid}/ns/mnt")])
}

#[test]
fn a_session_has_a_tmp_of_its_own_and_the_gate_its_sockets() {
    for (options, after) in [("", "hers "), ("unmount_on_close", "everybodys ")] {
        let host = polyinstantiated(options, TMP);
        let before = mounts(&host);
        let mut alice = host.person("alice");
        let attempt = enter(&mut alice);
        let said = alice.inside("touch /tmp/hers; ls /tmp; tmux list-sessions -F '#{session_name} is there'");
        assert!(said.text.starts_with("hers\nmain is there"), "{said:?}");
        let server = host.tmux_servers()[0];
        assert_eq!([tmp_of(&host, host.client().pid), tmp_of(&host, server)], ["hers ", "hers "]);
        assert_eq!([tmp_of(&host, 1), tmp_of(&host, host.front().pid)], ["everybodys ", "everybodys "]);
        alice.leave(&attempt);
        host.expect_sessions("open alice\nclose alice\n");
        host.expect_all_closed();
        // The server stays in the namespace of the monitor that is gone, in which the mount stays or not.
        assert_eq!(tmp_of(&host, server), after, "{options:?}");

        let attempt = enter(&mut alice); // a client in a namespace of its own comes to the server that runs
        let (client, server) = (host.client().pid, host.tmux_servers()[0]);
        assert_ne!(mount_namespace(&host, client), mount_namespace(&host, server));
        assert_eq!([tmp_of(&host, client), tmp_of(&host, server)], ["hers ", after]);
        let mut bob = host.person("bob");
        let hers = bob.attempt("tmux-gate");
        bob.expect_inside();
        assert!(bob.inside("ls /tmp | wc -l").text.starts_with("0\n"));
        bob.leave(&hers);
        alice.leave(&attempt);
        host.expect_all_closed();
        assert_eq!(mounts(&host), before, "{options:?}");
    }
}

/// As systemd leaves it: what is mounted in one namespace would be in all.
#[test]
fn with_shared_mounts_too_her_tmp_is_nobody_elses() {
    for options in ["", "mount_private"] {
        let host = polyinstantiated(options, TMP);
        host.must(&["mount", "--make-rshared", "/"]);
        let before = mounts(&host);
        let mut alice = host.person("alice");
        let attempt = enter(&mut alice);
        assert_eq!([tmp_of(&host, host.client().pid), tmp_of(&host, 1)], ["", "everybodys "], "{options:?}");
        assert_eq!(mounts(&host), before, "{options:?}");
        alice.leave(&attempt);
        host.expect_sessions("open alice\nclose alice\n");
        host.expect_all_closed();
        assert_eq!(mounts(&host), before, "{options:?}");
    }
}

/// What she can put where root mounts over it (CVE-2025-6020, CVE-2024-22365) keeps herself out.
#[test]
fn a_directory_that_she_has_replaced_is_mounted_over_nowhere() {
    for (trap, status, code) in [
        ("ln -s /etc tmp", 77, "SESSION_ERR"),
        ("mkdir other; ln -s other tmp", 77, "SESSION_ERR"),
        ("touch tmp", 77, "SESSION_ERR"),
        ("mkfifo tmp", 75, "not opened within 2s"), // on which pam_namespace waits
    ] {
        let host = polyinstantiated("", "$HOME/tmp /var/inst/ user root\n");
        host.configure("[authentication]\ntime_limit = \"2s\"\n");
        let before = mounts(&host);
        host.run_as("alice", &["sh", "-ec", &format!("cd ~; {trap}")]);
        let mut alice = host.person("alice");
        let attempt = alice.attempt("tmux-gate");
        alice.expect_refused(&attempt, status, "the PAM session ");
        host.expect_refusal(&["user=alice", code]);
        assert_eq!(mounts(&host), before, "{trap}");

        host.must(&["sh", "-ec", "cd ~alice; rm -r tmp; mkdir tmp; chown alice tmp"]);
        let attempt = enter(&mut alice);
        let mounted = host.must(&["cat", &format!("/proc/{}/mountinfo", host.client().pid)]);
        assert!(mounted.contains("/inst/alice /home/alice/tmp "), "{mounted}");
        alice.leave(&attempt);
        host.expect_all_closed();
    }
}
