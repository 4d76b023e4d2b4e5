//! Which SSH key came: the record names its fingerprint where sshd's ExposeAuthInfo tells it (SSH_USER_AUTH). It is a claim of
//! the caller's, and what his file holds decides nothing and is shown nowhere.

use crate::host::{GATE, Host, UNIX};

const ALICE: &str = "alice@localhost";
/// What sshd's file is called.
const FILE: &str = "/tmp/sshauth.abcdefghijklmno";

/// Sets this in the server's configuration before all else, and has it read again.
fn configure_sshd(host: &Host, settings: &str) {
    host.write("/etc/ssh/sshd_config.d/00-first.conf", settings, 0o644);
    let starts = || host.read("/var/log/sshd.log").matches("Server listening").count();
    let before = starts();
    host.must(&["sh", "-ec", "/usr/sbin/sshd -t; kill -HUP $(cat /run/sshd.pid)"]);
    host.wait_until("the ssh server once more", || starts() > before);
}

/// As `ssh-keygen -lf` prints it.
fn fingerprint(host: &Host, file: &str) -> String {
    let line = host.must(&["ssh-keygen", "-l", "-f", file]);
    let print = line.split_whitespace().nth(1).expect("bits, fingerprint, comment").to_owned();
    assert!(print.starts_with("SHA256:"), "{line}");
    print
}

/// The events of the gate so far with the keys they name.
fn named(host: &Host) -> Vec<(String, Option<String>)> {
    let word = |line: &str, field: &str| {
        let rest = line.split_once(field)?.1;
        Some(rest.split(' ').next().unwrap_or_default().trim_matches('"').to_owned())
    };
    host.recorded().iter().map(|line| (word(line, "event=").unwrap(), word(line, " ssh_key="))).collect()
}

/// carol goes by ssh into alice's session and out of it, and interrupts a second gate.
fn visit(host: &Host, words: &str, password: Option<&str>) {
    let mut carol = host.person("carol");
    for leave in [true, false] {
        carol.send(format!("ssh -t {words} {ALICE}\r"));
        if let Some(password) = password {
            carol.expect("localhost's password: ");
            carol.send(format!("{password}\r"));
        }
        carol.expect("Password: ");
        if leave {
            carol.send("alice's secret\r");
            carol.expect_inside();
            carol.send("\x02d");
            assert_eq!(carol.status(), 0);
            host.syslog_wait(&["event=detached"]);
        } else {
            carol.send("\x03");
            assert_eq!(carol.status(), 77);
        }
    }
    host.expect_sessions("open alice\nclose alice\n");
    host.expect_nothing_left();
}

/// What the record of `visit` says in each of its events.
fn expect_named(host: &Host, key: Option<&str>) {
    let events = ["authenticated", "attached", "detached", "refused"];
    let expected: Vec<_> = events.iter().map(|event| ((*event).to_owned(), key.map(str::to_owned))).collect();
    assert_eq!(named(host), expected, "{}", host.snapshot());
}

/// A second key of carol's, which opens alice's account, too.
fn second_key(host: &Host) -> String {
    let make = "cd /home/carol/.ssh; ssh-keygen -q -t ecdsa -N '' -f second; chown carol second*; cat second.pub >>/home/alice/.ssh/authorized_keys";
    host.must(&["sh", "-ec", make]);
    fingerprint(host, "/home/carol/.ssh/second.pub")
}

#[test]
fn the_record_names_the_key_that_sshd_took() {
    for host in [Host::with_forced_command(), Host::with_login_shell()] {
        host.configure("[attach]\nshell = \"/bin/bash\"\n");
        configure_sshd(&host, "ExposeAuthInfo yes\n");
        visit(&host, "", None);
        expect_named(&host, Some(&fingerprint(&host, "/home/carol/.ssh/id_ed25519.pub")));
    }
}

#[test]
fn without_expose_auth_info_it_names_none() {
    let host = Host::with_forced_command();
    host.must(&["sed", "-i", "/ExposeAuthInfo/d", "/etc/ssh/sshd_config.d/00-tmux-gate.conf"]);
    configure_sshd(&host, "");
    visit(&host, "", None);
    expect_named(&host, None);
}

#[test]
fn with_the_piece_of_sshd_config_as_it_is_it_names_the_key() {
    let host = Host::with_forced_command();
    let key = fingerprint(&host, "/home/carol/.ssh/id_ed25519.pub");
    visit(&host, "", None);
    expect_named(&host, Some(&key));
}

#[test]
fn after_a_password_at_sshd_it_names_none() {
    let host = Host::with_forced_command();
    configure_sshd(&host, "ExposeAuthInfo yes\n");
    visit(&host, "-o PubkeyAuthentication=no", Some("alice's secret"));
    expect_named(&host, None);
}

#[test]
fn of_two_keys_it_names_both_and_of_a_key_and_a_password_the_key() {
    let host = Host::with_forced_command();
    let (first, second) = (fingerprint(&host, "/home/carol/.ssh/id_ed25519.pub"), second_key(&host));
    configure_sshd(&host, "ExposeAuthInfo yes\nAuthenticationMethods publickey,publickey\n");
    visit(&host, "-o IdentitiesOnly=yes -i .ssh/id_ed25519 -i .ssh/second", None);
    expect_named(&host, Some(&format!("{first},{second}")));

    let host = Host::with_forced_command();
    configure_sshd(&host, "ExposeAuthInfo yes\nAuthenticationMethods publickey,password\n");
    visit(&host, "", Some("alice's secret"));
    expect_named(&host, Some(&fingerprint(&host, "/home/carol/.ssh/id_ed25519.pub")));
}

#[test]
fn of_a_certificate_it_names_the_key() {
    for kind in ["ed25519", "ecdsa", "rsa"] {
        let host = Host::with_forced_command();
        let sign = format!(
            "ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ca; cd /home/carol/.ssh; rm id_*; ssh-keygen -q -t {kind} -N '' -f id_{kind}; \
             ssh-keygen -q -s /etc/ssh/ca -I carol -n alice id_{kind}.pub; chown carol id_*"
        );
        host.must(&["sh", "-ec", &sign]);
        configure_sshd(&host, "ExposeAuthInfo yes\nTrustedUserCAKeys /etc/ssh/ca.pub\n");
        visit(&host, "", None);
        assert!(host.read("/var/log/sshd.log").contains("Accepted certificate ID"));
        expect_named(&host, Some(&fingerprint(&host, &format!("/home/carol/.ssh/id_{kind}-cert.pub"))));
    }
}

/// alice in and out once, with this in her environment; what the record named meanwhile.
fn claimed(host: &Host, variable: &[u8]) -> Vec<Option<String>> {
    let before = host.recorded().len();
    let mut alice = host.spawn("alice", &[GATE]).env([b"SSH_USER_AUTH=", variable].concat()).on_terminal();
    alice.expect("Password: ");
    alice.send("alice's secret\r");
    alice.expect_inside();
    alice.send("\x02d");
    assert_eq!(alice.exit_status(), 0);
    alice.expect_not("MARK");
    let events = named(host).split_off(before);
    assert_eq!(events.len(), 3, "{}", host.snapshot());
    assert!(!host.syslog().join("\n").contains("MARK"), "{}", host.snapshot());
    host.run(&["sh", "-c", "rm -rf /tmp/*"]);
    events.into_iter().map(|(_, key)| key).collect()
}

/// A host, what sshd would write there after a login by carol's key, and that key's fingerprint.
fn with_file() -> (Host, String, String) {
    let host = Host::new();
    host.pam(UNIX);
    let public = host.read("/home/carol/.ssh/id_ed25519.pub");
    let key: Vec<_> = public.split_whitespace().take(2).collect();
    let print = fingerprint(&host, "/home/carol/.ssh/id_ed25519.pub");
    (host, format!("publickey {}\n", key.join(" ")), print)
}

/// As that user, in that mode.
fn put(host: &Host, path: &str, content: impl AsRef<[u8]>, owner: &str, mode: u32) {
    host.write(path, content, mode);
    host.must(&["chown", &format!("{owner}:{owner}"), path]);
}

#[test]
fn a_file_that_is_not_as_sshd_makes_it_names_no_key_and_stops_nobody() {
    let (host, line, print) = with_file();
    let real = "/tmp/elsewhere";
    for (what, owner, mode, script) in [
        ("a symbolic link", "alice", 0o600, "ln -s /tmp/elsewhere FILE; chown -h alice FILE"),
        ("root's symbolic link", "alice", 0o600, "ln -s /tmp/elsewhere FILE"),
        ("a hard link", "alice", 0o600, "ln /tmp/elsewhere FILE"),
        ("another's file", "bob", 0o600, "cp -p /tmp/elsewhere FILE"),
        ("another's readable file", "bob", 0o644, "cp -p /tmp/elsewhere FILE"),
        ("root's file", "root", 0o600, "cp -p /tmp/elsewhere FILE"),
        ("a file that all may write", "alice", 0o666, "cp -p /tmp/elsewhere FILE"),
        ("a fifo", "alice", 0o600, "mkfifo -m 600 FILE; chown alice FILE"),
        ("a directory", "alice", 0o600, "mkdir -m 700 FILE; cp -p /tmp/elsewhere FILE; chown alice FILE"),
        ("a link to shadow", "alice", 0o600, "ln -s /etc/shadow FILE"),
        ("a link to a device", "alice", 0o600, "ln -s /dev/zero FILE"),
        ("nothing", "alice", 0o600, "true"),
        ("1 GB", "alice", 0o600, "cp -p /tmp/elsewhere FILE; truncate -c -s 1G FILE"),
    ] {
        put(&host, real, &line, owner, mode);
        host.must(&["sh", "-ec", &script.replace("FILE", FILE)]);
        assert_eq!(claimed(&host, FILE.as_bytes()), [None, None, None], "{what}");
    }
    put(&host, FILE, &line, "alice", 0o600);
    assert_eq!(claimed(&host, FILE.as_bytes()), vec![Some(print); 3]);
}

#[test]
fn a_variable_that_names_another_file_names_no_key_and_stops_nobody() {
    let (host, line, print) = with_file();
    let elsewhere = [
        "/tmp/sshauth.abcdefghijklmn",
        "/tmp/sshauth.abcdefghijklmnop",
        "/tmp/sshauth.abcdefghijklmn-",
        "/tmp/sshauth.abcdefghijklm.o",
        "/tmp/sshauth.",
        "/tmp/other.abcdefghijklmno",
        "/tmp/sub/sshauth.abcdefghijklmno",
        "/home/alice/sshauth.abcdefghijklmno",
    ];
    for path in elsewhere {
        host.must(&["install", "-d", "-m", "755", "/tmp/sub"]);
        put(&host, path, &line, "alice", 0o600);
        assert_eq!(claimed(&host, path.as_bytes()), [None, None, None], "{path}");
    }
    let otherwise = [
        "//tmp/sshauth.abcdefghijklmno",
        "/tmp/../tmp/sshauth.abcdefghijklmno",
        "/tmp/./sshauth.abcdefghijklmno",
        "/tmp/sshauth.abcdefghijklmno/",
        "/tmp/sshauth.abcdefghijklmno\n",
        "/proc/self/environ",
        "/etc/shadow",
        "/dev/zero",
        "",
    ];
    for path in otherwise {
        put(&host, FILE, &line, "alice", 0o600);
        assert_eq!(claimed(&host, path.as_bytes()), [None, None, None], "{path}");
    }
    for path in [&b"/tmp/sshauth.\xff\xfe\x01\x1b[2JMARK"[..], b"\n", &[b'x'; 100_000]] {
        assert_eq!(claimed(&host, path), [None, None, None]);
    }
    put(&host, FILE, &line, "alice", 0o600);
    assert_eq!(claimed(&host, FILE.as_bytes()), vec![Some(print); 3]);
}

#[test]
fn a_file_whose_text_is_not_sshds_names_no_key_and_none_of_it_is_shown() {
    let (host, line, print) = with_file();
    let bare = line.trim_end();
    let texts: [Vec<u8>; 12] = [
        Vec::new(),
        b"MARK\n".to_vec(),
        b"publickey\n".to_vec(),
        b"publickey ssh-ed25519\n".to_vec(),
        b"publickey ssh-ed25519 MARK!!!!\n".to_vec(),
        b"publickey MARK\x1b]52;c;aGk=\x07 AAAA\n".to_vec(),
        b"publickey ssh-ed25519 AAAA\x00\x1b[2JMARK\n".to_vec(),
        b"publickey ssh-ed25519 event=attached user=root MARK\n".to_vec(),
        b"password\nkeyboard-interactive/pam\nMARK\n".to_vec(),
        vec![0xff; 4096],
        format!("{bare}{}", "A".repeat(1_000_000)).into_bytes(),
        line.repeat(1000).into_bytes(),
    ];
    for text in texts {
        put(&host, FILE, &text, "alice", 0o600);
        let shown = String::from_utf8_lossy(&text[..text.len().min(80)]).into_owned();
        assert_eq!(claimed(&host, FILE.as_bytes()), [None, None, None], "{shown:?}");
    }
    assert!(host.events().iter().all(|line| line.bytes().all(|byte| (32..127).contains(&byte))));
    put(&host, FILE, &line, "alice", 0o600);
    assert_eq!(claimed(&host, FILE.as_bytes()), vec![Some(print); 3]);
}
