//! What root believes: configuration, PAM service and tmux, each only if nobody but root could have written it; and no
//! entry without a record.

use crate::host::{Host, NO_QUESTION};

const CONFIG: &str = "/etc/tmux-gate/config.toml";

/// After `done`, nobody is in: this status, a text that holds this, one refusal.
fn expect_closed(done: &str, status: i32, text: &str) {
    let host = Host::new();
    host.pam(NO_QUESTION);
    host.configure("[attach]\nusers = [\"alice\"]\n");
    host.must(&["sh", "-ec", done]);
    let mut alice = host.person("alice");
    let attempt = alice.attempt("tmux-gate");
    let said = alice.expect_refused(&attempt, status, text);
    assert!(!said.contains('\x1b'), "{done}: {said}");
    host.expect_refusal(&["user=alice"]);
    host.expect_sessions("");
    assert_eq!(host.must(&["ls", "/run/tmux-gate"]), "", "after: {done}");
}

#[test]
fn a_configuration_that_others_could_have_written_closes_the_gate() {
    for done in [
        "chmod o+w /etc/tmux-gate/config.toml",
        "chmod g+w /etc/tmux-gate/config.toml",
        "chown bob /etc/tmux-gate/config.toml",
        "chmod 777 /etc/tmux-gate",
        "chmod 1777 /etc/tmux-gate",
        "chown bob /etc/tmux-gate",
        "chmod g+w /etc",
        "cd /etc/tmux-gate; mv config.toml /home/bob/c; ln -s /home/bob/c config.toml",
        "cd /etc/tmux-gate; mkdir -m 777 /var/open; mv config.toml /var/open/c; ln -s /var/open/c config.toml",
        "mv /etc/tmux-gate /home/bob/t; ln -s /home/bob/t /etc/tmux-gate",
    ] {
        expect_closed(done, 78, "/");
    }
}

#[test]
fn a_link_that_leads_through_a_users_directory_is_the_users_word() {
    let middle = "mkdir /var/real; install -d -o bob /home/bob/middle; ln -s /var/real/c /home/bob/middle/c; \
                  chown -h root: /home/bob/middle/c";
    expect_closed(
        &format!("{middle}; cd /etc/tmux-gate; mv config.toml /var/real/c; ln -s /home/bob/middle/c config.toml"),
        78,
        "/home/bob",
    );
    expect_closed(
        &format!("{middle}; cd /etc/pam.d; mv tmux-gate /var/real/c; ln -s /home/bob/middle/c tmux-gate"),
        78,
        "/home/bob",
    );
    expect_closed(
        &format!("{middle}; mv /usr/bin/tmux /var/real/c; ln -s /home/bob/middle/c /usr/bin/tmux"),
        78,
        "/home/bob",
    );
}

#[test]
fn what_is_no_file_or_no_small_one_where_the_configuration_belongs_closes_the_gate() {
    for done in [
        "rm $C; mkfifo $C",
        "rm $C; mkdir $C",
        "rm $C; ln -s config.toml $C",
        "rm -r /etc/tmux-gate; echo >/etc/tmux-gate",
        "rm $C; ln -s /dev/zero $C",
        "rm $C; mknod $C c 1 5",
        "head -c 10000000 /dev/zero | tr '\\0' '#' >$C",
        "truncate -s 1T $C",
        "printf '[attach]\\nusers = [\"alice\"]\\n# \\377\\n' >$C",
        "printf '\\0' >$C",
    ] {
        expect_closed(&format!("C={CONFIG}; {done}"), 78, "/");
    }
}

#[test]
fn a_link_that_leads_nowhere_is_no_configuration_in_which_nothing_is_written() {
    for done in ["rm $C; ln -s /nowhere $C", "mv /etc/tmux-gate /var/x; ln -s /nowhere /etc/tmux-gate"] {
        expect_closed(&format!("C={CONFIG}; {done}"), 78, "/etc/tmux-gate");
    }
}

#[test]
fn every_fault_in_the_configuration_closes_the_gate_and_names_its_place() {
    for (text, place) in [
        ("[attach]\\nuser = []\\n", "config.toml:2:1: "),
        ("[attach]\\nusers = [\"alice\"]\\n[atach]\\nusers = []\\n", "config.toml:3:2: "),
        ("[attach]\\nusers = [\"alice\"]\\nusers = []\\n", "config.toml:3:1: "),
        ("[attach]\\nusers = \"alice\"\\n", "config.toml:2:9: "),
        ("[attach]\\nusers = [\"@ops alice\"]\\n", "config.toml:2:"),
        ("[authentication]\\ntries = 0\\n", "config.toml:2:9: "),
        ("[authentication]\\ntries = 99999999999\\n", "config.toml:2:9: "),
        ("[authentication]\\ntime_limit = \"0s\"\\n", "config.toml:2:14: "),
        ("[authentication]\\ntime_limit = 60\\n", "config.toml:2:14: "),
        ("[tmux]\\npath = \"tmux\"\\n", "config.toml:2:8: "),
        ("[audit]\\nrequired = 0\\n", "config.toml:2:12: "),
        ("[attach\\n", "config.toml:1:"),
        ("\\033[2J\\n", "config.toml:1:"),
        ("include = \"/etc/passwd\"\\n", "config.toml:1:1: "),
    ] {
        expect_closed(&format!("printf '{text}' >{CONFIG}"), 78, place);
    }
}

#[test]
fn a_byte_order_mark_or_line_ends_of_another_system_weaken_no_rule() {
    for text in
        ["\\357\\273\\277[attach]\\nusers = []\\n", "[attach]\\r\\nusers = []\\r\\n", "[attach]\\rusers = []\\r"]
    {
        let host = Host::new();
        host.pam(NO_QUESTION);
        host.must(&["sh", "-ec", &format!("printf '{text}' >{CONFIG}")]);
        let mut alice = host.person("alice");
        alice.attempt("tmux-gate");
        let said = alice.finished();
        assert!(said.status == 77 || said.status == 78, "{text}: {said:?}");
        host.expect_refusal(&["user=alice"]);
    }
}

#[test]
fn a_service_that_others_could_have_written_or_that_decides_nothing_closes_the_gate() {
    for (done, name) in [
        ("chmod o+w /etc/pam.d/tmux-gate", "/etc/pam.d/tmux-gate"),
        ("chown bob /etc/pam.d/tmux-gate", "/etc/pam.d/tmux-gate"),
        ("chmod o+w /etc/pam.d", "/etc/pam.d"),
        ("rm /etc/pam.d/tmux-gate; mkfifo /etc/pam.d/tmux-gate", "/etc/pam.d/tmux-gate"),
        ("rm /etc/pam.d/tmux-gate; mkdir /etc/pam.d/tmux-gate", "/etc/pam.d/tmux-gate"),
        ("rm /etc/pam.d/tmux-gate; ln -s /nowhere /etc/pam.d/tmux-gate", "/etc/pam.d/tmux-gate"),
        ("mv /etc/pam.d/tmux-gate /home/bob/p; ln -s /home/bob/p /etc/pam.d/tmux-gate", "/"),
        ("truncate -s 10M /etc/pam.d/tmux-gate", "/etc/pam.d/tmux-gate"),
        (": >/etc/pam.d/tmux-gate", "auth"),
        ("echo 'auth required pam_permit.so' >/etc/pam.d/tmux-gate", "account"),
        ("echo 'account required pam_permit.so' >/etc/pam.d/tmux-gate", "auth"),
        ("echo '@include common-auth' >>/etc/pam.d/tmux-gate; chmod o+w /etc/pam.d/common-auth", "common-auth"),
        ("echo 'session include nosuch' >>/etc/pam.d/tmux-gate", "nosuch"),
    ] {
        expect_closed(done, 78, name);
    }
}

#[test]
fn a_tmux_that_others_could_have_replaced_is_never_run() {
    let set = |path: &str| format!("printf '[tmux]\\npath = \"{path}\"\\n' >{CONFIG}");
    for (done, status, name) in [
        (format!("install -o bob /usr/bin/tmux /home/bob/tmux; {}", set("/home/bob/tmux")), 78, "/home"),
        (format!("install -m 777 /usr/bin/tmux /usr/local/bin/t; {}", set("/usr/local/bin/t")), 78, "/usr/local/bin/t"),
        (format!("install /usr/bin/tmux /tmp/t; {}", set("/tmp/t")), 78, "/tmp"),
        (
            format!(
                "ln -s /home/bob/t /usr/local/bin/t; install -o bob /usr/bin/tmux /home/bob/t; {}",
                set("/usr/local/bin/t")
            ),
            78,
            "/home",
        ),
        ("chmod g+w /usr/bin".to_owned(), 78, "/usr/bin"),
        (set("/nowhere/tmux"), 69, "/nowhere/tmux"),
        (set("/usr/bin"), 69, "/usr/bin"),
        (format!("mkfifo /usr/local/bin/t; {}", set("/usr/local/bin/t")), 78, "/usr/local/bin/t"),
        (set("/usr/bin/../bin/tmux"), 78, "absolute"),
        ("rm /usr/bin/tmux".to_owned(), 69, "/usr/bin/tmux"),
    ] {
        expect_closed(&done, status, name);
    }
}

#[test]
fn no_record_no_entry() {
    let host = Host::new();
    host.pam(NO_QUESTION);
    for stuck in [false, true] {
        if stuck {
            host.syslog_stuck()
        } else {
            host.syslog_stop()
        }
        let mut alice = host.person("alice");
        let attempt = alice.attempt("tmux-gate");
        alice.expect_refused(&attempt, 1, "/dev/log");
        assert!(host.clients().is_empty());
        host.expect_sessions("");
        host.expect_nothing_left();
    }
    host.syslog_stop();
    host.syslog_start();
    let mut alice = host.person("alice");
    let attempt = alice.attempt("tmux-gate");
    alice.expect_inside();
    host.syslog_stop(); // restarted while somebody is in
    host.syslog_start();
    alice.leave(&attempt);
    host.syslog_wait(&["event=detached", "user=alice"]);
    host.expect_all_closed();
}

#[test]
fn where_the_administrator_says_so_people_enter_without_a_record() {
    let host = Host::new();
    host.pam(NO_QUESTION);
    host.configure("[audit]\nrequired = false\n");
    host.syslog_stop();
    let mut alice = host.person("alice");
    let attempt = alice.attempt("tmux-gate");
    alice.expect_inside();
    alice.leave(&attempt);
    host.expect_all_closed();
}

#[test]
fn nothing_listens_to_the_record_but_the_local_socket() {
    let host = Host::new();
    host.pam(NO_QUESTION);
    host.syslog_stop();
    let listen =
        "use IO::Socket::INET; my $u = IO::Socket::INET->new(LocalAddr => '127.0.0.1:514', Proto => 'udp') or die;
        open my $r, '>', '/tmp/ready'; close $r; $SIG{ALRM} = sub { exit 0 }; alarm 4; $u->recv(my $x, 9); exit 1";
    std::thread::scope(|scope| {
        let listener = scope.spawn(|| host.run(&["perl", "-e", listen]));
        host.wait_until("a listener on UDP", || host.exists("/tmp/ready"));
        let mut alice = host.person("alice");
        let attempt = alice.attempt("tmux-gate");
        alice.expect_refused(&attempt, 1, "/dev/log");
        let heard = listener.join().unwrap();
        assert_eq!(heard.status.code(), Some(0), "the record went to the network: {heard:?}");
    });
}

#[test]
fn messages_name_only_what_the_caller_may_know_and_are_english_in_every_locale() {
    let host = Host::new();
    host.pam(NO_QUESTION);
    host.configure("[attach]\nusers = [\"bob\", \"@staff\"]\n");
    for language in ["de_DE.UTF-8", "../../tmp/x", "C"] {
        let gate = host.spawn("alice", &["/usr/bin/tmux-gate"]).env(format!("LANG={language}"));
        let mut alice = gate.env(format!("LANGUAGE={language}")).env("NLSPATH=/tmp/%N").on_terminal();
        assert_eq!(alice.exit_status(), 77);
        alice.expect("ask your administrator");
        alice.expect_not("bob");
        alice.expect_not("staff");
    }
}
