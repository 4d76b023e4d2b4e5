//! The second factor alone, after sshd has taken a key: for whom root says so, and for nobody else.

use super::otp::{OATH, PASSWORD, code, wrong};
use super::worked::expect_unix_sessions;
use crate::host::{GATE, Host, Person};

const MEMBER: &str = "groupadd -f tmux-gate-keys; usermod -a -G tmux-gate-keys -L alice";
const SSHD: &str = "\
Match Group tmux-gate-keys
	AuthenticationMethods publickey
	AuthorizedKeysFile /etc/ssh/authorized_keys/%u
";

fn host() -> Host {
    let host = Host::layered("otp");
    host.follow("second-factor");
    host.write(OATH.file, OATH.key, 0o600);
    host
}

/// What the manual page says about members, word for word.
fn make_alice_a_member(host: &Host) {
    let page = host.read("/usr/share/man/man7/tmux-gate-pam.7").replace("\\-", "-");
    assert!(page.contains(MEMBER) && page.contains(SSHD), "the manual page says something else: {page}");
    host.must(&["sh", "-ec", MEMBER]);
}

/// A server that takes only a key of root's keeping from alice, and gives her the gate.
fn with_sshd() -> Host {
    let host = host();
    host.sshd_with("login-shell.conf");
    host.configure("[attach]\nshell = \"/bin/bash\"\n");
    make_alice_a_member(&host);
    host.must(&["install", "-D", "-m", "644", "/home/alice/.ssh/authorized_keys", "/etc/ssh/authorized_keys/alice"]);
    host.write("/etc/ssh/sshd_config.d/01-keys.conf", SSHD, 0o644);
    host.must(&["sh", "-ec", "/usr/sbin/sshd -t; kill -HUP $(cat /run/sshd.pid)"]);
    let started = || host.read("/var/log/sshd.log").matches("Server listening").count();
    host.wait_until("the ssh server once more", || started() == 2);
    host
}

fn give_code(person: &mut Person<'_>, code: &str) {
    person.expect(OATH.prompt);
    person.send(format!("{code}\r"));
}

#[test]
fn after_the_key_the_code_is_asked_for_and_nothing_else() {
    let host = with_sshd();
    let mut carol = host.ssh_person("carol", "-t alice@localhost");
    let (now, next) = (code(&host, 0), code(&host, 30));
    give_code(&mut carol, &now);
    carol.expect_inside();
    carol.send("\x02d");
    carol.expect("[detached");
    assert_eq!(carol.status(), 0);
    carol.expect_not("assword: ");
    host.syslog_wait(&["event=detached", "user=alice"]);
    host.syslog_wait(&["pam_succeed_if(tmux-gate:auth)", "ingroup tmux-gate-keys", "was met by user \"alice\""]);
    carol.send("ssh -t alice@localhost\r");
    give_code(&mut carol, &now);
    carol.expect("Sorry, try again.");
    give_code(&mut carol, &wrong(&next));
    carol.expect("Sorry, try again.");
    give_code(&mut carol, "");
    carol.expect("authentication failed");
    assert_eq!(carol.status(), 77);
    host.expect_refusals(1);
    expect_unix_sessions(&host, "alice", 1);
    host.expect_nothing_left();
}

#[test]
fn without_the_key_nobody_reaches_the_gate() {
    let host = with_sshd();
    let key = "rm .ssh/id_ed25519*; ssh-keygen -q -t ed25519 -N '' -f .ssh/id_ed25519";
    let mut dave = host.person("dave");
    assert_eq!(dave.command(key).status, 0);
    // A line of her own in her home, as code that runs as her would add it.
    host.must(&["sh", "-ec", "cat /home/dave/.ssh/id_ed25519.pub >>/home/alice/.ssh/authorized_keys"]);
    for words in ["", "-o PubkeyAuthentication=no", "-o PreferredAuthentications=password"] {
        dave.send(format!("ssh -t {words} alice@localhost\r"));
        dave.expect("Permission denied (publickey).");
        assert_eq!(dave.status(), 255, "{words}");
    }
    let mut bob = host.person("bob");
    bob.send("su - alice\r");
    bob.expect("Password: ");
    bob.send(format!("{PASSWORD}\r"));
    bob.expect("Authentication failure");
    assert_ne!(bob.status(), 0);
    assert_eq!(host.events(), [""; 0]);
    expect_unix_sessions(&host, "alice", 0);
}

/// Nothing that the caller could bring along makes a member of him.
#[test]
fn whoever_is_no_member_is_asked_for_both_whatever_his_environment_says() {
    let host = host();
    host.configure("[authentication]\ntries = 1\n");
    let now = code(&host, 0);
    let connection = ["SSH_CONNECTION=192.0.2.1 1234 192.0.2.2 22", "SSH_USER_AUTH=/tmp/sshauth.abcdefghijklmno"];
    let gate = |gid: u32| {
        let gate = host.spawn("alice", &[GATE]).groups(&[1001, gid]).env("SSH_TTY=/dev/pts/0");
        connection.iter().fold(gate, |gate, variable| gate.env(variable)).on_terminal()
    };
    // No such group; the group of her process, but not of the users database; somebody else in it.
    for members in [None, Some("root"), Some("bob")] {
        if let Some(member) = members {
            host.must(&["groupadd", "-f", "-g", "3000", "tmux-gate-keys"]);
            host.must(&["usermod", "-a", "-G", "tmux-gate-keys", member]);
        }
        let mut alice = gate(3000);
        OATH.answer(&mut alice, "wrong", &now);
        assert_eq!(alice.exit_status(), 77, "{members:?}");
    }
    let mut alice = gate(3000);
    OATH.answer(&mut alice, PASSWORD, &code(&host, 30));
    alice.expect_inside();
    alice.send("\x02d");
    assert_eq!(alice.exit_status(), 0);
    host.expect_refusals(3);
    expect_unix_sessions(&host, "alice", 1);
    assert!(!host.syslog().join("\n").contains("pam_succeed_if"), "the log tells of those who gave no password");
}

/// What the manual page says in so many words: the gate does not see how a member came to run it.
#[test]
fn a_member_needs_the_code_alone_wherever_she_comes_from_and_guesses_are_counted() {
    let host = host();
    make_alice_a_member(&host);
    let mut alice = host.person("alice");
    let attempt = alice.attempt("tmux-gate");
    give_code(&mut alice, &code(&host, 0));
    alice.expect_inside();
    alice.leave(&attempt);
    host.must(&["chage", "-E", "0", "alice"]);
    let attempt = alice.attempt("tmux-gate");
    give_code(&mut alice, &code(&host, 30));
    alice.expect_refused(&attempt, 77, "the account may not be used");
    host.syslog_wait(&["pam_unix(tmux-gate:account): account alice has expired"]);
    host.must(&["chage", "-E", "-1", "alice"]);
    for _ in 0..10 {
        let attempt = alice.attempt("tmux-gate");
        alice.expect(OATH.prompt);
        host.kill_as("alice", "KILL", &[host.monitor().pid]);
        alice.expect_refused(&attempt, 77, "without a verdict");
    }
    let attempt = alice.attempt("tmux-gate");
    alice.expect("The account is locked due to 10 failed logins.");
    alice.expect_refused(&attempt, 77, "authentication failed");
    alice.expect_not("assword: ");
    host.must(&["gpasswd", "-d", "alice", "tmux-gate-keys"]);
    host.must(&["faillock", "--dir", "/var/lib/tmux-gate/faillock", "--user", "alice", "--reset"]);
    OATH.refused(&host, &mut alice, PASSWORD, &code(&host, 0)); // her password is locked
    host.expect_refusals(13);
    expect_unix_sessions(&host, "alice", 1);
}
