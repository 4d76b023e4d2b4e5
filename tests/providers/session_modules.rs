//! Linux-PAM's session modules through the gate: variables, a home, groups, keys, texts and programs of the administrator's.

use crate::environment::in_session;
use crate::host::{GATE, Host, NO_QUESTION, Person};

/// A host on which nothing is asked and these lines come after what opens the session, before what records it.
fn with(lines: &str) -> Host {
    let host = Host::new();
    host.pam(&format!("{NO_QUESTION}{lines}\n"));
    host
}

fn enter(alice: &mut Person<'_>) -> crate::host::Attempt {
    let attempt = alice.attempt("tmux-gate");
    alice.expect_inside();
    attempt
}

fn expect_visits(host: &Host, count: usize) {
    host.expect_sessions(&"open alice\nclose alice\n".repeat(count));
    host.expect_all_closed();
}

#[test]
fn what_pam_env_sets_arrives_in_client_and_panes_but_nothing_that_loads_or_finds_programs() {
    let host = with("session required pam_env.so conffile=/etc/gate-env.conf envfile=/etc/gate-environment");
    host.write("/etc/gate-env.conf", "FROM_CONF DEFAULT=@{HOME}/conf\nBASH_ENV DEFAULT=/tmp/x\n", 0o644);
    host.write("/etc/gate-environment", "FROM_FILE=\"a file\"\nPATH=/tmp/x\nLD_PRELOAD=/tmp/x\nSHELL=/tmp/x\n", 0o644);
    let mut alice = host.person("alice");
    let attempt = enter(&mut alice);
    for text in in_session(&host, "environ") {
        let has = |pair: &str| text.split('\0').any(|other| other == pair);
        assert!(has("FROM_CONF=/home/alice/conf") && has("FROM_FILE=a file") && !text.contains("/tmp/x"), "{text:?}");
    }
    assert!(alice.inside("echo $FROM_CONF, $FROM_FILE").text.starts_with("/home/alice/conf, a file"));
    alice.leave(&attempt);
    host.write("/etc/gate-environment", "FROM_FILE=another\n", 0o644);
    let attempt = enter(&mut alice); // the client is new and knows it, the server is not
    assert!(host.read(&format!("/proc/{}/environ", host.client().pid)).contains("FROM_FILE=another\0"));
    assert!(alice.inside("echo $FROM_FILE").text.starts_with("a file"));
    alice.leave(&attempt);
    expect_visits(&host, 2);
}

#[test]
fn what_she_writes_into_pam_environment_loads_nothing_into_the_client() {
    let host = with("session required pam_env.so user_readenv=1");
    let bad = ["LD_PRELOAD", "LD_LIBRARY_PATH", "PATH", "BASH_ENV", "ENV", "TMUX", "TMUX_TMPDIR", "TERMINFO", "SHELL"];
    let lines = bad.map(|name| format!("{name} DEFAULT=/tmp/x\n")).concat();
    host.write("/home/alice/.pam_environment", format!("{lines}HERS DEFAULT=hers\n"), 0o644);
    let mut alice = host.person("alice");
    let attempt = enter(&mut alice);
    for text in in_session(&host, "environ") {
        assert!(text.contains("HERS=hers\0") && !text.contains("/tmp/x"), "{text:?}");
    }
    alice.leave(&attempt);
    expect_visits(&host, 1);
}

#[test]
fn pam_mkhomedir_makes_the_home_in_which_the_session_starts() {
    let host = with("session required pam_mkhomedir.so umask=0077");
    host.must(&["sh", "-ec", "mv /home/alice/.bash_profile /etc/skel/; rm -r /home/alice"]);
    let mut alice = host.spawn("alice", &[GATE]).on_terminal();
    alice.expect_inside(); // which is what .bash_profile of the skeleton sets as prompt
    assert!(alice.inside("pwd").text.starts_with("/home/alice\n"));
    let made = host.must(&["stat", "-c", "%U:%G %a", "/home/alice", "/home/alice/.bash_profile"]);
    assert_eq!(made, "alice:alice 700\nalice:alice 600\n");
    alice.send("\x02d");
    assert_eq!(alice.exit_status(), 0);
    expect_visits(&host, 1);
}

#[test]
fn programs_of_pam_exec_run_as_root_when_the_session_opens_and_closes_and_are_told_of_whom() {
    let host = Host::new();
    let exec = |kind: &str, options: &str| format!("{kind} required pam_exec.so {options}\n");
    let lines = [
        exec("auth", "log=/var/log/plainly /usr/bin/id -ru"),
        exec("auth", "seteuid log=/var/log/seteuid /usr/bin/id -ru"),
        exec("session", "log=/var/log/env /usr/bin/env"),
        exec("session", "log=/var/log/ids /usr/bin/id -ru"),
    ];
    host.pam(&format!("{NO_QUESTION}{}", lines.concat()));
    let mut alice = host.spawn("alice", &["env", "LD_PRELOAD=/tmp/x", "HERS=x", GATE]).on_terminal();
    alice.expect_inside();
    alice.send("\x02d");
    assert_eq!(alice.exit_status(), 0);
    expect_visits(&host, 1);
    let written = |file: &str| {
        let text = host.read(file);
        text.lines().filter(|line| !line.starts_with("***")).map(|line| format!("{line} ")).collect::<String>()
    };
    let told = |call: &str| {
        format!("PAM_RUSER=alice PAM_SERVICE=tmux-gate PAM_TTY=/dev/pts/0 PAM_USER=alice PAM_TYPE={call}_session ")
    };
    let sorted = |text: &str| text.split(' ').map(str::to_owned).collect::<std::collections::BTreeSet<_>>();
    let env = written("/var/log/env");
    assert_eq!(sorted(&env), sorted(&(told("open") + &told("close"))), "{env}");
    assert_eq!(written("/var/log/ids"), "0 0 ");
    assert_eq!([written("/var/log/plainly"), written("/var/log/seteuid")], ["1001 ", "0 "]); // the caller's until PAM judged
}

#[test]
fn a_program_of_pam_exec_that_fails_when_the_session_opens_keeps_her_out_and_leaves_nothing_open() {
    let host = Host::new();
    let failing = "auth optional pam_fixture.so delete:note=x\nsession required pam_exec.so /bin/false\n";
    host.pam_recorded_first(&format!("{NO_QUESTION}{failing}"));
    let mut alice = host.person("alice");
    let attempt = alice.attempt("tmux-gate");
    let said = alice.expect_refused(&attempt, 77, "the PAM session could not be opened");
    assert!(said.contains("/bin/false failed: exit code 1"), "{said:?}");
    host.expect_refusal(&["user=alice", "pam=SYSTEM_ERR"]);
    expect_visits(&host, 1);
    host.expect_note("delete x");
}

#[test]
fn a_program_of_pam_exec_that_fails_when_the_session_closes_is_on_record_and_the_rest_is_closed() {
    let host = Host::new();
    host.write("/usr/local/bin/at-close", "#!/bin/sh\n[ $PAM_TYPE != close_session ]\n", 0o755);
    let failing = "auth optional pam_fixture.so delete:note=x\nsession required pam_exec.so /usr/local/bin/at-close\n";
    host.pam(&format!("{NO_QUESTION}{failing}"));
    let mut alice = host.person("alice");
    let attempt = enter(&mut alice);
    alice.leave(&attempt);
    expect_visits(&host, 1);
    host.syslog_wait(&["pam_exec(tmux-gate:session)", "/usr/local/bin/at-close failed: exit code 1"]);
    host.expect_note("delete x");
    assert!(alice.transcript().contains("\n/usr/local/bin/at-close failed: exit code 1\n"), "{}", alice.transcript());
}

#[test]
fn what_modules_and_their_programs_say_reaches_the_person_before_the_session_begins() {
    let service = "account required pam_echo.so Hello %u\n\
                   session required pam_exec.so stdout /bin/echo a program at\n\
                   session optional pam_motd.so motd=/etc/gate-motd noupdate\n\
                   session optional pam_mail.so dir=/var/mail standard\n\
                   session optional pam_lastlog.so never\n";
    let host = with(service);
    host.write("/etc/gate-motd", "The message of the day.\n", 0o644);
    host.write("/var/mail/alice", "From bob\n\nHello\n", 0o600);
    host.must(&["chown", "alice", "/var/mail/alice"]);
    host.write("/var/log/lastlog", "", 0o664);
    let mut alice = host.person("alice");
    for log_in in ["Welcome to your new account!", "Last login: "] {
        let attempt = enter(&mut alice);
        let before = alice.transcript();
        let before = before.rsplit_once("$ tmux-gate\n").unwrap().1.split("\\u{1b}[?1049h").next().unwrap().to_owned();
        let texts = ["Hello alice", "a program at", "The message of the day.", "You have ", log_in];
        for text in texts {
            assert!(before.contains(text), "{text:?}: {before:?}");
        }
        alice.leave(&attempt);
    }
    expect_visits(&host, 2);
}

#[test]
fn groups_of_pam_group_arrive_with_those_of_the_users_database() {
    let host = Host::new();
    host.pam(&format!("auth optional pam_group.so\n{NO_QUESTION}"));
    host.must(&["sh", "-ec", "groupadd -g 3001 lent; groupadd -g 3002 other; groupadd -g 3003 -U alice own"]);
    let rule = |service: &str, group: &str| format!("{service};pts/*;alice;Al0000-2400;{group}\n");
    host.write("/etc/security/group.conf", rule("tmux-gate", "lent") + &rule("sshd", "other"), 0o644);
    let groups = |pid: i32| {
        let process = host.processes().into_iter().find(|process| process.pid == pid).unwrap();
        [3001, 3002, 3003].map(|gid| process.groups.contains(&gid))
    };
    let mut alice = host.person("alice");
    let attempt = enter(&mut alice);
    assert_eq!(groups(host.client().pid), [true, false, true]);
    let said = alice.inside("id -nG");
    assert!(said.text.contains("lent"), "{said:?}");
    alice.leave(&attempt);
    host.write("/etc/security/group.conf", "", 0o644);
    let attempt = enter(&mut alice);
    assert_eq!(groups(host.client().pid), [false, false, true]);
    assert_eq!(groups(host.tmux_servers()[0]), [true, false, true]); // a server keeps what it began with
    alice.leave(&attempt);
    expect_visits(&host, 2);
}

/// The serial number of the session keyring, or why there is none: by keyctl(2), whose number the kernel knows.
fn keyring() -> String {
    format!("perl -e '$n = syscall({}, 0, -3, 0); print $n < 0 ? $! : $n, qq(\\n)'", libc::SYS_keyctl)
}

/// `revoke` is for programs with which the session ends; a tmux server goes on, without its keys.
#[test]
fn pam_keyinit_gives_the_session_a_keyring_of_its_own() {
    let outside = |alice: &mut Person<'_>| alice.command(&keyring()).text.trim().to_owned();
    let inside = |alice: &mut Person<'_>| alice.inside(&keyring()).text.lines().next().unwrap().trim().to_owned();
    for options in ["force", "force revoke"] {
        let host = with(&format!("session required pam_keyinit.so {options}"));
        let mut alice = host.person("alice");
        let before = outside(&mut alice);
        let attempt = enter(&mut alice);
        let within = inside(&mut alice);
        assert_ne!(before, within, "{options}");
        alice.leave(&attempt);
        let attempt = enter(&mut alice);
        let expected = if options.contains("revoke") { "Key has been revoked" } else { &within };
        assert_eq!(inside(&mut alice), expected, "{options}");
        alice.leave(&attempt);
        assert_eq!(outside(&mut alice), before, "{options}");
        expect_visits(&host, 2);
    }
}

/// It belongs to programs that log people in; in a user namespace it fails.
#[test]
fn pam_loginuid_may_set_the_login_uid_and_may_fail() {
    let host = with("session optional pam_loginuid.so");
    let mut alice = host.person("alice");
    let attempt = enter(&mut alice);
    if host.exists("/proc/1/loginuid") {
        assert_eq!(host.read(&format!("/proc/{}/loginuid", host.client().pid)), "1001");
    }
    alice.leave(&attempt);
    expect_visits(&host, 1);
}
