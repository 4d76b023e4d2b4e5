//! The gate as alice's login shell, with packaging/ssh/login-shell.conf installed as its comment says: nothing that she
//! can write into her home, and no way of opening a shell, gets past it.

use crate::host::{Host, Person};

const ALICE: &str = "alice@localhost";
const IN_BASH: &str = "[attach]\nshell = \"/bin/bash\"\n";

/// The gate is alice's shell, and panes run bash, whose prompt the tests know.
fn with_bash_in_panes() -> Host {
    let host = Host::with_login_shell();
    host.configure(IN_BASH);
    host
}

/// Start files that leave a mark each, wherever a shell of alice's would look for them.
fn plant_start_files(host: &Host) {
    for name in [".bashrc", ".profile", ".bash_login", ".zshenv", ".ssh/rc", ".pam_environment"] {
        host.write(
            &format!("/home/alice/{name}"),
            format!("echo past; touch /tmp/past-{}\n", name.replace('/', "-")),
            0o755,
        );
    }
    host.write("/home/alice/.ssh/environment", "BASH_ENV=/home/alice/.bashrc\nSSH_ORIGINAL_COMMAND=id\n", 0o644);
}

fn expect_no_mark(host: &Host) {
    assert_eq!(host.must(&["sh", "-c", "ls /tmp | grep past || true"]), "");
}

/// Passes, looks around in the pane, leaves.
fn visit(host: &Host, person: &mut Person<'_>) {
    person.pass_as_alice();
    let said = person.inside("id -un; echo $SHELL; tmux ls");
    assert!(said.text.starts_with("alice\n/bin/bash\nmain: 1 windows"), "{said:?}");
    person.send("\x02d");
    person.expect("[detached");
    host.syslog_wait(&["event=detached", "user=alice", "session=main"]);
}

/// A pane whose shell is sh or dash: its prompt is on the first line, where the prompt of carol's own shell is not.
fn expect_pane_of_sh(carol: &Person<'_>) {
    let there = |screen: &str| screen.contains("[main]") && screen.trim_start().starts_with('$');
    carol.expect_on_screen("a pane with its prompt", |screen| there(screen).then_some(()));
}

#[test]
fn the_piece_is_valid_and_alice_cannot_take_another_shell() {
    let host = Host::new();
    let settings = host.sshd_with("login-shell.conf");
    for line in ["forcecommand /usr/bin/tmux-gate", "disableforwarding yes", "permittunnel no", "x11forwarding no"] {
        assert!(settings.lines().any(|found| found == line), "{line:?} in {settings}");
    }
    assert!(host.must(&["getent", "passwd", "alice"]).ends_with(":/usr/bin/tmux-gate\n"));
    assert!(!host.read("/etc/shells").contains("tmux-gate"));
    for (user, changed) in [("bob", true), ("alice", false)] {
        let mut person = host.person(user);
        person.send("chsh -s /bin/sh\r");
        if person.expect_one_of(&["Password: ", "may not change"]) == 0 {
            person.send(format!("{user}'s secret\r"));
        }
        assert_eq!(person.status() == 0, changed, "{user}: {}", person.transcript());
        assert_eq!(host.must(&["getent", "passwd", user]).ends_with(":/bin/sh\n"), changed, "{user}");
    }
}

#[test]
fn by_ssh_it_asks_and_panes_run_the_shell_of_the_configuration() {
    let host = Host::with_login_shell();
    let mut carol = host.ssh_person("carol", &format!("-t {ALICE}"));
    carol.expect("Password: ");
    carol.send("alice's secret\r");
    expect_pane_of_sh(&carol);
    let said = carol.inside("tmux show -gv default-shell && tmux new-window -d && tmux split-window -d");
    assert!(said.text.starts_with("/bin/sh\n") && said.status == 0, "{said:?}");
    let server = host.processes().into_iter().find(|process| process.is_tmux_server()).expect("a server").pid;
    let panes = || host.processes().into_iter().filter(|process| process.ppid == server).collect::<Vec<_>>();
    host.wait_until("three shells", || panes().iter().filter(|pane| pane.cmdline == "-sh").count() == 3);
    for pane in panes() {
        let environment = host.read(&format!("/proc/{}/environ", pane.pid));
        assert!(environment.split('\0').any(|variable| variable == "SHELL=/bin/sh"), "{pane}: {environment:?}");
    }
    carol.send("\x02d");
    assert_eq!(carol.status(), 0);
    host.expect_sessions("open alice\nclose alice\n");

    host.must(&["pkill", "-x", "tmux: server"]);
    host.configure(IN_BASH);
    carol.send(format!("ssh -t {ALICE}\r"));
    visit(&host, &mut carol);
    assert_eq!(carol.status(), 0);
    host.expect_nothing_left();
}

#[test]
fn by_ssh_verbs_work_and_every_other_command_is_refused() {
    let host = Host::with_login_shell();
    plant_start_files(&host);
    let output = host.ssh(&[ALICE, "list"]);
    assert!(output.status.success() && output.stdout.starts_with(b"no sessions"), "{output:?}");
    assert_eq!(host.ssh(&[ALICE]).status.code(), Some(1));
    for command in ["id", "sh -c id", "bash -l", "scp -t .", "/usr/lib/openssh/sftp-server"] {
        let output = host.ssh(&[ALICE, command]);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(77), 0), "{command}: {output:?}");
    }
    for copy in [
        &["scp", "-q", "-oBatchMode=yes", "-O", "alice@localhost:.bashrc", "/tmp/got"][..],
        &["scp", "-q", "-oBatchMode=yes", "alice@localhost:.bashrc", "/tmp/got"],
        &["sftp", "-q", "-oBatchMode=yes", "alice@localhost:.bashrc", "/tmp/got"],
    ] {
        assert!(!host.run_as("carol", copy).status.success(), "{copy:?}");
    }
    host.expect_refusals(1 + 5 + 3);
    assert!(!host.exists("/tmp/got"));
    expect_no_mark(&host);
    host.expect_sessions("");
    host.expect_nothing_left();
}

#[test]
fn without_the_piece_the_login_shell_alone_refuses_commands_too() {
    let host = Host::new();
    host.must(&["usermod", "-s", "/usr/bin/tmux-gate", "alice"]);
    host.configure(IN_BASH);
    host.sshd("Subsystem sftp /usr/lib/openssh/sftp-server\n");
    plant_start_files(&host);
    host.remove("/home/alice/.ssh/rc"); // sshd runs it through the login shell: refused, and said so
    for command in ["id", "sh -c id", "scp -t ."] {
        assert_eq!(host.ssh(&[ALICE, command]).status.code(), Some(77), "{command}");
    }
    assert!(!host.run_as("carol", &["sftp", "-q", "-oBatchMode=yes", ALICE]).status.success());
    let mut carol = host.ssh_person("carol", ALICE);
    visit(&host, &mut carol);
    assert_eq!(carol.status(), 0);
}

#[test]
fn su_opens_the_gate_for_root_and_for_others_on_their_own_terminals() {
    let host = with_bash_in_panes();
    plant_start_files(&host);
    for (user, line) in [("root", "su - alice"), ("root", "su alice"), ("bob", "su - alice"), ("bob", "su -l alice")] {
        let mut person = host.person(user);
        let before = person.termios();
        person.send(format!("{line}\r"));
        if user != "root" {
            person.expect("Password: ");
            person.send("alice's secret\r");
            person.expect("\n");
        }
        visit(&host, &mut person);
        assert_eq!(person.status(), 0, "{user}: {line}");
        assert_eq!(person.termios(), before, "{user}: {line}");
    }
    host.expect_nothing_left();
    let marks = host.must(&["sh", "-c", "ls /tmp | grep past || true"]);
    assert!(!marks.contains("profile") && !marks.contains("login"), "{marks}");
    host.expect_sessions(&"open alice\nclose alice\n".repeat(4));
}

#[test]
fn su_with_a_command_or_a_shell_of_ones_choice_is_held_to_the_verbs() {
    let host = with_bash_in_panes();
    plant_start_files(&host);
    let mut root = host.person("root");
    let said = root.command("su alice -c list");
    assert_eq!((said.status, said.text.starts_with("no sessions")), (0, true), "{said:?}");
    for line in
        ["su alice -c id", "su - alice -c 'sh -c id'", "su alice -c 'list; id'", "su alice -c \"$(printf 'x\\nid')\""]
    {
        let said = root.command(line);
        assert_eq!((said.status, said.text.contains("uid=")), (77, false), "{line}: {said:?}");
    }
    let mut bob = host.person("bob");
    for line in ["su -s /bin/sh alice -c id", "SHELL=/bin/sh su -m alice -c id", "su -P - alice -c id"] {
        bob.send(format!("{line}\r"));
        bob.expect("Password: ");
        bob.send("alice's secret\r");
        let said = bob.finished();
        assert_eq!((said.status, said.text.contains("uid=")), (77, false), "{line}: {said:?}");
        assert!(said.text.contains("tmux-gate: "), "{line}: {said:?}");
    }
    expect_no_mark(&host);
    host.expect_sessions("");
}

#[test]
fn on_a_console_login_opens_the_gate() {
    let host = with_bash_in_panes();
    plant_start_files(&host);
    for words in
        [&["login", "-p", "alice"][..], &["login", "alice"], &["login", "-f", "alice"], &["login", "-p", "-f", "alice"]]
    {
        let mut console = host.spawn("root", words).on_terminal();
        if !words.contains(&"-f") {
            console.expect("Password: ");
            console.send("alice's secret\r");
            console.expect("\n");
        }
        visit(&host, &mut console);
        assert_eq!(console.exit_status(), 0, "{words:?}");
    }
    expect_no_mark(&host);
    host.expect_sessions(&"open alice\nclose alice\n".repeat(4));
}

#[test]
fn a_refused_person_is_out_and_not_in_a_shell() {
    let host = with_bash_in_panes();
    host.configure("[authentication]\ntries = 1\n");
    for answer in ["wrong\r", "\x03", "\x04"] {
        let mut console = host.spawn("root", &["login", "-f", "alice"]).on_terminal();
        console.expect("Password: ");
        console.send(answer);
        console.wait();
        console.expect_not("in$");
    }
    host.expect_refusals(3);
    host.configure("nonsense");
    let mut root = host.person("root");
    assert_eq!(root.command("su - alice").status, 78);
    host.expect_all_closed();
}

#[test]
fn her_tmux_conf_is_hers_inside_and_not_outside() {
    let host = with_bash_in_panes();
    host.write(
        "/home/alice/.tmux.conf",
        "set -g default-shell /bin/dash\nset -g default-command 'touch /tmp/hers; exec dash'\n",
        0o644,
    );
    let mut carol = host.ssh_person("carol", &format!("-t {ALICE}"));
    carol.expect("Password: ");
    assert!(!host.exists("/tmp/hers"));
    carol.send("\x03");
    assert_eq!(carol.status(), 77);
    assert!(!host.exists("/tmp/hers") && host.processes().iter().all(|process| !process.is_tmux_server()));
    carol.send(format!("ssh -t {ALICE}\r"));
    carol.expect("Password: ");
    carol.send("alice's secret\r");
    expect_pane_of_sh(&carol);
    assert!(carol.inside("readlink /proc/$$/exe").text.contains("dash"));
    assert!(host.exists("/tmp/hers"));

    host.must(&["pkill", "-x", "tmux: server"]);
    host.write("/home/alice/.tmux.conf", "set -g default-shell /usr/bin/tmux-gate\n", 0o644);
    carol.status();
    carol.send(format!("ssh -t {ALICE}\r"));
    carol.expect("Password: ");
    carol.send("alice's secret\r");
    host.syslog_wait(&["event=refused", "pane of that socket"]);
}
