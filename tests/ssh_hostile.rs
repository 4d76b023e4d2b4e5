//! ssh by people and lines that one does not wish for: odd terminals, planted variables and start files, dead clients.

use crate::host::{Host, Person};

const ALICE: &str = "alice@localhost";

/// alice's session by ssh, with a mark in its pane.
fn inside_with_a_mark(host: &Host) -> Person<'_> {
    let mut carol = host.ssh_person("carol", &format!("-t {ALICE}"));
    carol.pass_as_alice();
    assert_eq!(carol.inside("mark=still-here").status, 0);
    host.expect_sessions("open alice\n");
    carol
}

/// The gate ended, closed its session, and the next one finds the pane as it was.
fn expect_intact(host: &Host) {
    host.expect_sessions("open alice\nclose alice\n");
    host.syslog_wait(&["event=detached", "user=alice", "session=main"]);
    host.expect_no_gate();
    assert!(host.clients().is_empty(), "{}", host.snapshot());
    let mut again = host.ssh_person("carol", &format!("-t {ALICE}"));
    again.pass_as_alice();
    assert!(again.inside("echo $mark").text.starts_with("still-here"));
}

fn pids(host: &Host, wanted: impl Fn(&crate::host::Process) -> bool) -> Vec<String> {
    let pids: Vec<_> = host.processes().into_iter().filter(wanted).map(|process| process.pid.to_string()).collect();
    assert!(!pids.is_empty(), "{}", host.snapshot());
    pids
}

fn kill(host: &Host, pids: &[String]) {
    let argv: Vec<_> = ["kill", "-9"].into_iter().chain(pids.iter().map(String::as_str)).collect();
    host.must(&argv);
}

#[test]
fn a_killed_client_ends_the_gate_and_leaves_the_session_intact() {
    let host = Host::with_forced_command();
    let mut carol = inside_with_a_mark(&host);
    kill(&host, &pids(&host, |process| process.comm == "ssh"));
    assert_eq!(carol.status(), 137);
    expect_intact(&host);
}

#[test]
fn killed_server_processes_end_the_gate_and_leave_the_session_intact() {
    // Of the connection: the one that is alice and holds the terminal; then root's one that watches it as well.
    for both in [false, true] {
        let host = Host::with_forced_command();
        let mut carol = inside_with_a_mark(&host);
        let of_connection = pids(&host, |process| {
            process.comm == "sshd" && (process.uids[0] == 1001 || both && process.cmdline.contains("alice"))
        });
        kill(&host, &of_connection);
        assert_eq!(carol.status(), 255);
        expect_intact(&host);
    }
}

#[test]
fn a_client_killed_at_the_prompt_ends_the_gate() {
    let host = Host::with_forced_command();
    let mut carol = host.ssh_person("carol", &format!("-t {ALICE}"));
    carol.expect("Password: ");
    kill(&host, &pids(&host, |process| process.comm == "ssh"));
    assert_eq!(carol.status(), 137);
    host.expect_refusal(&["user=alice"]);
    host.expect_sessions("");
}

#[test]
fn suspending_the_client_in_a_forced_command_does_not_hang_the_session() {
    let host = Host::with_forced_command();
    let mut carol = inside_with_a_mark(&host);
    carol.expect("\x1b[?1049h");
    for _ in 0..5 {
        carol.send("\x02\x1a");
        carol.expect("\x1b[?1049h"); // tmux is back; what was typed before it could be lost
        assert!(carol.inside("echo $mark").text.starts_with("still-here"));
    }
    carol.send("\x02d");
    carol.expect("[detached");
    assert_eq!(carol.status(), 0);
    host.expect_sessions("open alice\nclose alice\n");
    host.expect_nothing_left();
}

#[test]
fn terminals_of_no_size_and_of_one_cell_are_served() {
    for (rows, columns) in [(0, 0), (1, 1), (1, 1000)] {
        let host = Host::with_forced_command();
        let mut carol = host.person("carol");
        carol.command(&format!("stty rows {rows} columns {columns}"));
        carol.send(format!("ssh -t {ALICE}\r"));
        carol.expect("Password: ");
        carol.send("alice's secret\r");
        host.syslog_wait(&["event=attached", "user=alice"]);
        host.wait_until("the session", || host.ssh(&[ALICE, "list"]).stdout == b"main: 1 window, 1 client\n");
        carol.send("\x02d");
        assert_eq!(carol.status(), 0, "{rows}x{columns}");
        host.expect_sessions("open alice\nclose alice\n");
        host.expect_nothing_left();
    }
}

#[test]
fn a_term_that_is_none_ends_in_a_message_and_not_in_a_hang() {
    let host = Host::with_forced_command();
    let mut carol = host.person("carol");
    let long = "$(printf '%05000d' 1)";
    for (count, term) in
        ["''", long, "$'x\\e]52;c;aGk=\\ay\\n'", "../../../etc/passwd", "no-such-terminal"].iter().enumerate()
    {
        carol.send(format!("TERM={term} ssh -t {ALICE}; echo ov''er\r"));
        carol.expect("Password: ");
        carol.send("alice's secret\r");
        let said = carol.expect("over\r\n");
        assert!(said.contains("terminal"), "{term}: {said:?}");
        assert!(!said.contains("\x1b]52"), "{term}: {said:?}");
        host.expect_sessions(&"open alice\nclose alice\n".repeat(count + 1));
    }
    host.expect_nothing_left();
    carol.send(format!("ssh -t {ALICE}\r"));
    carol.pass_as_alice();
}

#[test]
fn of_the_clients_locales_only_plain_ones_arrive() {
    let host = Host::with_forced_command();
    let planted = "LC_PLAIN=de_DE.UTF-8 LC_PATH=../../x LC_BYTES=$'\\e[2J' LC_MARK='$(id)' LC_LONG=$(printf %0500d 1)";
    let mut carol = host.person("carol");
    carol.send(format!("{planted} ssh -o SendEnv='LC_*' -t {ALICE}\r"));
    carol.pass_as_alice();
    let said = carol.inside("env | grep -a ^LC_ | sort | cut -c1-70");
    assert!(said.text.starts_with("LC_PLAIN=de_DE.UTF-8\n") && !said.text.contains("LC_PATH"), "{said:?}");
    assert!(["LC_BYTES", "LC_MARK", "LC_LONG"].iter().all(|name| !said.text.contains(name)), "{said:?}");
    let other = carol.inside("env | grep -c SSH_ORIGINAL_COMMAND");
    assert!(other.text.starts_with('0'), "{other:?}");
}

#[test]
fn a_forged_original_command_gives_a_local_caller_nothing() {
    let host = Host::new();
    let mut alice = host.person("alice");
    for forged in ["sh -c id", "id", "x; id", "/bin/sh", "$(id)"] {
        let attempt = alice.attempt(&format!("SSH_ORIGINAL_COMMAND='{forged}' tmux-gate"));
        let said = alice.expect_refused(&attempt, 77, "not run");
        assert!(!said.contains("uid="), "{said}");
    }
    host.expect_refusals(5);
    let said = alice.command("SSH_ORIGINAL_COMMAND='sh -c id' tmux-gate list");
    assert_eq!((said.status, said.text.starts_with("no sessions")), (0, true), "{said:?}");
    for forged in ["attach", "attach main", "tmux-gate", ""] {
        let attempt = alice.attempt(&format!("SSH_ORIGINAL_COMMAND='{forged}' SSH_TTY=/dev/null tmux-gate"));
        alice.expect("Password: ");
        alice.send("\x03");
        alice.expect_refused(&attempt, 77, "interrupted");
    }
    let attempt = alice.attempt("SSH_ORIGINAL_COMMAND=list tmux-gate attach");
    alice.expect("Password: ");
    alice.send("\x03");
    alice.expect_refused(&attempt, 77, "interrupted");
    host.expect_sessions("");
}

/// The promise of force-command.conf ends here, as its comment says: what alice herself writes into ~/.bashrc runs
/// before the gate. It is a process of hers that did not pass, and so it reaches no session.
#[test]
fn her_own_bashrc_runs_before_a_forced_command_and_still_reaches_no_session() {
    let host = Host::with_forced_command();
    let _inside = inside_with_a_mark(&host);
    let script = "[ \"$SSH_ORIGINAL_COMMAND\" = past ] || return\n\
        id -nG; exec tmux -S /run/tmux-gate/1001/default ls 2>&1\n";
    host.write("/home/alice/.bashrc", script, 0o644);
    let output = host.ssh(&[ALICE, "past"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.starts_with("alice tmux-gate-users\n") && said.contains("Permission denied"), "{output:?}");
    assert_eq!(host.ssh(&[ALICE, "id"]).status.code(), Some(77));
}

/// What sshd reads in a home besides the key, and a start file that says what came of it.
fn plant_in_dot_ssh(host: &Host) {
    for user in ["alice", "bob"] {
        let home = format!("/home/{user}");
        host.write(&format!("{home}/.ssh/rc"), format!("touch /tmp/rc-{user}\n"), 0o644);
        host.write(&format!("{home}/.ssh/environment"), "PLANTED=yes\n", 0o644);
        let key = host.read(&format!("{home}/.ssh/authorized_keys"));
        host.write(&format!("{home}/.ssh/authorized_keys"), format!("environment=\"FROM_KEY=yes\" {key}"), 0o600);
        host.write(&format!("{home}/.bashrc"), "echo \"<$PLANTED$FROM_KEY>\" >/tmp/seen-$(id -un)\n", 0o644);
    }
}

#[test]
fn rc_environment_and_options_of_her_key_do_nothing() {
    let open = Host::new();
    open.sshd("PermitUserEnvironment yes\n");
    plant_in_dot_ssh(&open);
    assert!(open.ssh(&["bob@localhost", "true"]).status.success());
    assert_eq!((open.read("/tmp/seen-bob").as_str(), open.exists("/tmp/rc-bob")), ("<yesyes>\n", true));

    let host = Host::with_forced_command();
    plant_in_dot_ssh(&host);
    assert_eq!(host.ssh(&[ALICE, "list"]).status.code(), Some(0));
    assert_eq!((host.read("/tmp/seen-alice").as_str(), host.exists("/tmp/rc-alice")), ("<>\n", false));

    let key = host.read("/home/carol/.ssh/id_ed25519.pub");
    for command in ["internal-sftp", "/bin/sh", "tmux-gate list"] {
        let line = format!("command=\"{command}\" {key}");
        host.write("/home/alice/.ssh/authorized_keys", line, 0o600);
        assert_eq!(host.ssh(&[ALICE, "id"]).status.code(), Some(77), "{command}");
        assert_eq!(host.ssh(&[ALICE]).status.code(), Some(1), "{command}");
    }
}
