//! The private hosts themselves: what the other tests rely on.

use crate::host::{Host, fixture};

#[test]
fn a_private_host_leaves_the_machine_untouched_and_starts_fresh() {
    let before = std::fs::read_to_string("/etc/passwd").unwrap();
    let host = Host::new();
    assert_eq!(host.must(&["hostname"]), "gatehost\n");
    host.must(&["sh", "-c", "echo x >>/etc/passwd; touch /usr/x /var/x /home/x /root/x /run/x /tmp/x /dev/x"]);
    assert!(!host.run(&["touch", "/x"]).status.success());
    assert_eq!(std::fs::read_to_string("/etc/passwd").unwrap(), before);
    for path in ["/usr/x", "/var/x", "/home/x", "/root/x", "/run/x", "/tmp/x", "/dev/x"] {
        assert!(!std::path::Path::new(path).exists(), "{path}");
        assert!(host.exists(path) && !Host::new().exists(path), "{path}");
    }
}

#[test]
fn a_person_has_a_terminal_of_her_own_with_job_control() {
    let host = Host::new();
    let mut alice = host.person("alice");
    assert!(alice.command("tty").text.contains("/dev/pts/0"));
    assert!(alice.command("id").text.contains("uid=1001(alice) gid=1001(alice) groups=1001(alice)"));
    assert_eq!(alice.command("stat -c '%U %G %a' $(tty)").text.trim(), "alice tty 620");
    alice.send("sleep 100\r");
    host.wait_until("sleep", || host.processes().iter().any(|process| process.comm == "sleep"));
    alice.send("\x1a");
    alice.expect("Stopped");
    assert_eq!(alice.status(), 148);
    alice.command("kill %1; wait");
    assert_eq!(alice.command("exit 3 | exit 7").status, 7);
    let modes = alice.termios();
    alice.command("stty -echo");
    assert_ne!(modes, alice.termios());
    alice.command("stty echo");
    assert_eq!(modes, alice.termios());
    host.expect_nothing_left();
    alice.hang_up();
    alice.wait();
}

#[test]
fn a_person_works_in_a_tmux_and_sees_its_screen() {
    let host = Host::new();
    let mut bob = host.person("bob");
    bob.send("tmux new -s main\r");
    bob.expect_screen("[main]");
    let said = bob.inside("tmux split-window -h; tmux ls");
    assert_eq!((said.text.contains("main: 1 windows"), said.status), (true, 0));
    assert_eq!(bob.inside("(exit 5)").status, 5);
    bob.resize(30, 100);
    bob.expect_on_screen("the status line in row 30", |screen| {
        screen.lines().nth(29)?.starts_with("[main]").then_some(())
    });
    host.wait_until("the new size in the pane", || bob.inside("stty size").text.contains("29 49"));
    assert_eq!(host.clients().len(), 1);
    bob.send("\x02d");
    assert_eq!(bob.status(), 0);
    host.expect_nothing_left();
}

#[test]
fn a_hostile_caller_is_started_as_described() {
    let host = Host::new();
    let show =
        ["sh", "-c", "id; pwd; umask; ulimit -f; grep -E 'Sig(Blk|Ign)' /proc/self/status; ls /proc/self/fd; env"];
    let spawn = host.spawn("dave", &show).umask(0).deleted_directory().limit(libc::RLIMIT_FSIZE, 0);
    let spawn = spawn.signals_ignored().extra_descriptors(200).env(b"BAD=\xff\x1b").groups(&[5]);
    let output = spawn.output();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    for part in ["uid=1004(dave)", "groups=1004(dave),5(tty)", "\n0000\n0\n", "BAD=", "\n200\n"] {
        assert!(text.contains(part), "{part:?} in {text} {output:?}");
    }
    let nothing = host.spawn("dave", &["sh"]).arguments::<&str>(&[]).no_env().output();
    assert!(nothing.status.success(), "{nothing:?}");
    let stranger = host.spawn("4000000000", &["id", "-u"]).closed(&[0, 2]).signals_blocked().no_new_privs().output();
    assert_eq!(stranger.stdout, b"4000000000\n");
}

#[test]
fn syslog_is_collected_stopped_and_stuck_at_will() {
    let host = Host::new();
    host.must(&["logger", "-t", "test", "hello"]);
    assert!(host.syslog_wait(&["test", "hello"]).starts_with('<'));
    host.syslog_stop();
    assert!(!host.exists("/dev/log"));
    host.syslog_stuck();
    assert!(host.exists("/dev/log"));
    host.syslog_stop();
    host.syslog_start();
    host.must(&["logger", "again"]);
    host.syslog_wait(&["again"]);
}

#[test]
fn ssh_leads_in_by_key_and_by_password() {
    let host = Host::new();
    host.sshd("");
    let mut carol = host.ssh_person("carol", "alice@localhost id -un");
    assert_eq!(carol.finished().text.trim(), "alice");
    carol.send("ssh -o PubkeyAuthentication=no -t alice@localhost\r");
    carol.expect("password: ");
    carol.send("alice's secret\r");
    carol.expect("in$ ");
    carol.send("exit 9\r");
    assert_eq!(carol.status(), 9);
    host.expect_nothing_left();
}

#[test]
fn the_hostile_module_does_as_it_is_told() {
    let host = Host::new();
    let mut alice = host.person("alice");
    host.write("/etc/pam.d/su", fixture("auth:two auth:say=a\\_b\\x21 any:note=x"), 0o644);
    alice.send("su bob -c 'echo in'\r");
    alice.expect("two questions follow");
    alice.expect("hidden: ");
    alice.send("räk \r");
    alice.expect("visible: ");
    alice.send("\r");
    alice.expect("a b!");
    alice.expect("in\r\n");
    assert_eq!(alice.status(), 0);
    assert_eq!(host.read("/var/log/gate-answers"), "72c3a46b20\n\n");
    assert!(host.read("/var/log/gate-notes").starts_with("auth x user=bob ruser=alice"));
    for (what, status) in [("auth:crash", 139), ("auth:exit0", 0), ("auth:fail=7", 1), ("auth:mistake", 1)] {
        host.write("/etc/pam.d/su", fixture(what), 0o644);
        let said = alice.command("su bob -c 'echo in'");
        assert_eq!((said.status, said.text.contains("in\r\n")), (status, false), "{what}: {said:?}");
    }
    host.write("/etc/pam.d/su", fixture("auth:say=here auth:hang"), 0o644);
    alice.send("su bob -c 'echo in'\r");
    alice.expect("here");
    host.must(&["pkill", "-INT", "-x", "su"]);
    assert!(host.processes().iter().any(|process| process.comm == "su"));
    host.must(&["pkill", "-KILL", "-x", "su"]);
    assert_eq!(alice.status(), 137);
}
