//! The gate as sshd's forced command, with packaging/ssh/force-command.conf installed as its comment says. alice is in
//! the group that it names; bob is not, and shows that the server would let it happen.

use crate::host::Host;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;

const ALICE: &str = "alice@localhost";

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn the_piece_is_valid_and_shuts_what_it_names() {
    let host = Host::new();
    let settings = host.sshd_with("force-command.conf");
    for line in [
        "forcecommand /usr/bin/tmux-gate",
        "disableforwarding yes",
        "allowtcpforwarding no",
        "allowstreamlocalforwarding no",
        "allowagentforwarding no",
        "x11forwarding no",
        "permittunnel no",
    ] {
        assert!(settings.lines().any(|found| found == line), "{line:?} in {settings}");
    }
    let all = host.must(&["/usr/sbin/sshd", "-T", "-C", "user=alice,host=localhost,addr=127.0.0.1"]);
    for line in ["permituserrc no", "permituserenvironment no", "permittty yes"] {
        assert!(all.lines().any(|found| found == line), "{line:?} in {all}");
    }
    let bob = host.must(&["/usr/sbin/sshd", "-T", "-C", "user=bob,host=localhost,addr=127.0.0.1"]);
    assert!(bob.contains("forcecommand none\n") && bob.contains("allowtcpforwarding yes\n"), "{bob}");
}

#[test]
fn with_a_terminal_ssh_lands_in_the_session_after_the_password() {
    let host = Host::with_forced_command();
    let mut carol = host.ssh_person("carol", &format!("-t {ALICE}"));
    carol.pass_as_alice();
    assert!(carol.inside("tmux ls").text.starts_with("main: 1 windows"));
    host.syslog_wait(&["event=attached", "user=alice", "tty=/dev/pts/", "session=main"]);
    host.expect_sessions("open alice\n");
    carol.send("\x02d");
    carol.expect("[detached");
    assert_eq!(carol.status(), 0);
    host.expect_sessions("open alice\nclose alice\n");
    host.expect_nothing_left();
}

#[test]
fn a_session_is_chosen_by_its_name_and_a_wrong_password_is_refused() {
    let host = Host::with_forced_command();
    host.configure("[authentication]\ntries = 1\n");
    let mut carol = host.ssh_person("carol", &format!("-t {ALICE} attach work"));
    carol.pass_as_alice();
    carol.expect_screen("[work]");
    carol.send("\x02d");
    assert_eq!(carol.status(), 0);
    carol.send(format!("ssh -t {ALICE} /usr/bin/tmux-gate attach work\r"));
    carol.expect("Password: ");
    carol.send("carol's secret\r");
    carol.expect("authentication failed");
    assert_eq!(carol.status(), 77);
    host.syslog_wait(&["event=refused", "user=alice", "pam=AUTH_ERR"]);
    host.expect_all_closed();
}

#[test]
fn without_a_terminal_it_says_what_to_do_and_takes_no_password_from_a_pipe() {
    let host = Host::with_forced_command();
    let piped = host.spawn("carol", &["ssh", "-oBatchMode=yes", ALICE]).output_with(b"alice's secret\n");
    let named = host.spawn("carol", &["ssh", "-oBatchMode=yes", ALICE, "attach work"]).output_with(b"alice's secret\n");
    for output in [piped, named, host.ssh(&["-T", ALICE]), host.ssh(&["-n", ALICE])] {
        let said = text(&output.stderr);
        let lines: Vec<_> = said.lines().filter(|line| line.starts_with("tmux-gate: ")).collect();
        assert_eq!((output.status.code(), lines.len(), output.stdout.len()), (Some(1), 1, 0), "{output:?}");
        assert!(lines[0].contains("ssh -t"), "{output:?}");
    }
    host.expect_refusals(4);
    assert!(!host.events().join("\n").contains("event=authenticated"));
    host.expect_sessions("");
    host.expect_nothing_left();
}

#[test]
fn the_verbs_without_a_password_work_without_a_terminal() {
    let host = Host::with_forced_command();
    let output = host.ssh(&[ALICE, "list"]);
    assert!(output.status.success() && text(&output.stdout).starts_with("no sessions"), "{output:?}");
    let mut carol = host.ssh_person("carol", &format!("-t {ALICE}"));
    carol.pass_as_alice();
    let output = host.ssh(&[ALICE, "list", "--json"]);
    assert!(output.status.success() && text(&output.stdout).contains("\"session\":\"main\""), "{output:?}");
    assert!(host.ssh(&[ALICE, "explain"]).status.success());
    host.expect_refusals(0);
}

#[test]
fn every_other_command_is_refused_in_one_line_recorded_and_not_run() {
    let host = Host::with_forced_command();
    let long = [b"list ; touch /tmp/ran ; ".to_vec(), vec![b'x'; 100_000]].concat();
    let mut commands: Vec<Vec<u8>> = [
        "sh -c id",
        "id",
        "touch /tmp/ran",
        "list; touch /tmp/ran",
        "list\ntouch /tmp/ran",
        "$(touch /tmp/ran)",
        "`touch /tmp/ran`",
        "list && touch /tmp/ran",
        "'list' | touch /tmp/ran",
        "\"list",
        "list 'x",
        "work",
        "tmux -S /run/tmux-gate/1001/default attach",
        "scp -t /tmp/ran",
        "/usr/lib/openssh/sftp-server",
        "internal-sftp",
        "rsync --server --sender -vlogDtpre.iLsfxCIvu . /etc/passwd",
        "\x1b]52;c;aGk=\x07",
        "\u{202e}tsil",
    ]
    .map(|command| command.as_bytes().to_vec())
    .to_vec();
    commands.extend([long, b"list \xff\xfe".to_vec(), b"\xff".to_vec()]);
    let mut wrong = Vec::new();
    for command in &commands {
        let output = host.ssh(&[ALICE.as_bytes(), command]);
        let shown = text(command).chars().take(60).collect::<String>();
        let said = text(&output.stderr);
        let one_line = said.starts_with("tmux-gate: ") && said.ends_with('\n') && said.len() < 1000;
        let plain = !said.trim_end().contains(|letter: char| letter.is_control());
        if (output.status.code(), output.stdout.len(), one_line, plain) != (Some(77), 0, true, true) {
            wrong.push(format!("{shown:?}: {} {said:?}", output.status));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    host.expect_refusals(commands.len());
    assert!(host.events().iter().all(|line| line.len() < 1500 && line.bytes().all(|byte| (32..127).contains(&byte))));
    assert!(!host.exists("/tmp/ran"), "something ran");
    host.expect_sessions("");
    host.expect_nothing_left();
}

#[test]
fn a_usage_error_in_a_verb_is_two_as_everywhere() {
    let host = Host::with_forced_command();
    for command in ["list --nonsense", "attach a b c", "attach ../../x", "attach -d"] {
        let output = host.ssh(&[ALICE, command]);
        assert_eq!(output.status.code(), Some(2), "{command}: {output:?}");
        assert_eq!(text(&output.stderr).lines().count(), 1, "{command}: {output:?}");
    }
}

#[test]
fn no_file_is_copied_either_way() {
    let host = Host::with_forced_command();
    host.must(&["sh", "-c", "echo x >/tmp/carols; for i in alice bob; do echo $i >/home/$i/own; done"]);
    let copy = |mode: &[&str], from: &str, to: &str| {
        let output = host.run_as("carol", &[&["scp", "-oBatchMode=yes"], mode, &[from, to]].concat());
        (output.status.success(), text(&output.stderr))
    };
    for (mode, refused) in [(&["-O"][..], 2), (&[], 4)] {
        let control = [copy(mode, "bob@localhost:own", "/tmp/got"), copy(mode, "/tmp/carols", "bob@localhost:new")];
        assert!(control.iter().all(|(done, _)| *done), "{mode:?}: {control:?}");
        let copies = [copy(mode, "alice@localhost:own", "/tmp/no"), copy(mode, "/tmp/carols", "alice@localhost:no")];
        assert!(copies.iter().all(|(done, _)| !done), "{mode:?}: {copies:?}");
        host.expect_refusals(refused);
    }
    let sftp =
        |who: &str, line: &[u8]| host.spawn("carol", &["sftp", "-b", "-", who]).output_with(line).status.success();
    assert!(sftp("bob@localhost", b"put /tmp/carols by-sftp\n") && host.exists("/home/bob/by-sftp"));
    assert!(!sftp(ALICE, b"put /tmp/carols by-sftp\n"));
    host.expect_refusals(5);
    assert_eq!(host.must(&["sh", "-c", "ls /home/alice /tmp | grep -E 'no|by-sftp' || true"]), "");
    host.expect_nothing_left();
}

/// What comes out of a port of the host after `first` was written to it.
fn from_port(host: &Host, port: u16, first: &str) -> String {
    let script = format!("exec 3<>/dev/tcp/127.0.0.1/{port}; printf '{first}' >&3; head -c 15 <&3 | tr -d '\\0'");
    text(&host.run(&["bash", "-c", &script]).stdout)
}

#[test]
fn ports_and_sockets_are_not_forwarded_for_her_and_are_for_others() {
    let host = Host::with_forced_command();
    let socket = UnixListener::bind(host.path("/tmp/hers")).unwrap();
    std::fs::set_permissions(host.path("/tmp/hers"), std::fs::Permissions::from_mode(0o666)).unwrap();
    socket.set_nonblocking(true).unwrap();
    let socks = "\\x04\\x01\\x00\\x16\\x7f\\x00\\x00\\x01\\x00";
    for (who, base, open) in [("bob@localhost", 9000_u16, true), (ALICE, 9100, false)] {
        let through = host.ssh(&["-W", "127.0.0.1:22", who]);
        assert_eq!(text(&through.stdout).starts_with("SSH-2.0"), open, "-W {who}: {through:?}");

        let (local, dynamic, unix) = (base + 1, base + 2, base + 3);
        let listen = [format!("{local}:127.0.0.1:22"), dynamic.to_string(), format!("{unix}:/tmp/hers")];
        let [to_port, to_any, to_socket] = listen.each_ref().map(String::as_str);
        let words = ["-fN", "-oExitOnForwardFailure=yes", "-L", to_port, "-D", to_any, "-L", to_socket, who];
        assert!(host.ssh(&words).status.success(), "-L, -D {who}");
        assert_eq!(from_port(&host, local, "").starts_with("SSH-2.0"), open, "-L {who}");
        assert_eq!(from_port(&host, dynamic, socks).contains("SSH-2."), open, "-D {who}");
        if open {
            let reached = std::thread::spawn({
                let socket = socket.try_clone().unwrap();
                move || loop {
                    match socket.accept() {
                        Ok((mut stream, _)) => return stream.write_all(b"reached").unwrap(),
                        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock),
                    }
                    std::thread::sleep(std::time::Duration::from_millis(5));
                }
            });
            assert_eq!(from_port(&host, unix, ""), "reached", "-L to a socket");
            reached.join().unwrap();
        } else {
            assert_eq!(from_port(&host, unix, ""), "", "-L to a socket");
            assert!(socket.accept().is_err(), "somebody came through to the socket");
        }
        for from in [format!("{}:127.0.0.1:22", base + 4), format!("/tmp/from-{base}:127.0.0.1:22")] {
            let output = host.ssh(&["-fN", "-oExitOnForwardFailure=yes", "-R", &from, who]);
            assert_eq!(output.status.success(), open, "-R {from} {who}: {output:?}");
        }
        assert_eq!(host.exists(&format!("/tmp/from-{base}")), open, "-R of a socket");
    }
    let hers: Vec<_> = host.processes().into_iter().filter(|process| process.uids[0] == 1001).collect();
    assert!(!hers.is_empty() && hers.iter().all(|process| process.comm == "sshd"), "{hers:?}");
    host.expect_sessions("");
}

#[test]
fn agent_and_display_are_not_forwarded_for_her_and_are_for_others() {
    let host = Host::with_forced_command();
    let mut carol = host.person("carol");
    carol.command("eval $(ssh-agent) >/dev/null; export DISPLAY=:7; [ -S $SSH_AUTH_SOCK ]");
    let said =
        carol.command("ssh -A -Y bob@localhost 'echo \"<$SSH_AUTH_SOCK><$DISPLAY>\"; find /tmp -type s -user bob'");
    assert!(said.text.contains("agent.") && said.text.contains("<localhost:10.0>"), "{said:?}");
    assert!(said.text.matches("agent.").count() == 2, "{said:?}");
    carol.send(format!("ssh -t -A -Y {ALICE}\r"));
    carol.expect("X11 forwarding request failed");
    carol.pass_as_alice();
    let said = carol.inside("echo \"<$SSH_AUTH_SOCK><$DISPLAY>\"");
    assert!(said.text.starts_with("<><>"), "{said:?}");
    let sockets = host.must(&["find", "/tmp", "/home", "-type", "s", "-user", "alice"]);
    assert_eq!(sockets, "");
}

#[test]
fn every_session_of_one_connection_authenticates_for_itself() {
    let host = Host::with_forced_command();
    assert!(host.ssh(&["-fNM", "-S", "/tmp/master", ALICE]).status.success());
    let mut first = host.ssh_person("carol", &format!("-S /tmp/master -t {ALICE}"));
    first.pass_as_alice();
    let mut second = host.ssh_person("carol", &format!("-S /tmp/master -t {ALICE} attach other"));
    second.pass_as_alice();
    let mut third = host.ssh_person("carol", &format!("-S /tmp/master -t {ALICE}"));
    third.expect("Password: ");
    third.send("\x03");
    third.expect("interrupted");
    assert_eq!(third.status(), 77);
    assert_eq!(host.ssh(&["-S", "/tmp/master", ALICE, "id"]).status.code(), Some(77));
    for person in [&mut first, &mut second] {
        person.send("\x02d");
        assert_eq!(person.status(), 0);
    }
    let authenticated = host.events().iter().filter(|line| line.contains("event=authenticated")).count();
    assert_eq!(authenticated, 2, "{:?}", host.events());
    host.expect_sessions("open alice\nopen alice\nclose alice\nclose alice\n");
}
