//! Names in the paths of keys: nobody's name leads to somebody else's key.

use super::otp::{GOOGLE, Module, OATH, PASSWORD, code, expect_nobody_in};
use super::worked::expect_unix_sessions;
use crate::host::{GATE, Host};

/// Somebody of that name and uid, with alice's password and prompt.
fn add_person(host: &Host, uid: u32, name: &str) {
    let passwd = format!("{name}:x:{uid}:{uid}::/tmp:/bin/bash\n");
    host.write("/etc/passwd", host.read("/etc/passwd") + &passwd, 0o644);
    let shadow = host.read("/etc/shadow");
    let line = shadow.lines().find(|line| line.starts_with("alice:")).unwrap();
    host.write("/etc/shadow", format!("{shadow}{}\n", line.replacen("alice", name, 1)), 0o640);
    host.write("/tmp/.bash_profile", host.read("/home/alice/.bash_profile"), 0o644);
}

fn each_has_his_own(module: Module, names: &[&str]) {
    let host = module.host();
    host.configure("[authentication]\ntries = 1\n");
    for (uid, name) in (2001..).zip(names) {
        let now = code(&host, 0);
        add_person(&host, uid, name);
        let pass = || {
            let mut person = host.spawn(&uid.to_string(), &[GATE]).on_terminal();
            module.answer_as(name, &mut person, PASSWORD, &now);
            person
        };
        assert_eq!(pass().exit_status(), 77, "{name} with alice's key");
        host.write(&module.file.replace("alice", name), module.key.replace("alice", name), 0o600);
        let mut person = pass();
        person.expect_inside();
        person.send("\x02d");
        assert_eq!(person.exit_status(), 0, "{name}");
        expect_unix_sessions(&host, name, 1);
    }
    let mut alice = host.person("alice");
    let attempt = module.enter(&mut alice, &code(&host, 0));
    alice.leave(&attempt);
    expect_unix_sessions(&host, "alice", 1);
    host.expect_all_closed();
}

#[test]
fn given_names_like_files_each_has_a_key_of_his_own() {
    each_has_his_own(OATH, &["alice.oath.lock", "alice.oath", "ALICE", "..alice", "DOM\\alice$"]);
    each_has_his_own(GOOGLE, &["alice.google", "ALICE", "DOM\\alice$"]);
}

#[test]
fn given_a_name_that_is_a_path_nobody_is_asked() {
    let host = OATH.host();
    add_person(&host, 2001, "../otp/alice");
    add_person(&host, 2002, "x/../alice");
    for uid in ["2001", "2002"] {
        let mut person = host.spawn(uid, &[GATE]).on_terminal();
        person.expect("cannot be used");
        assert_eq!(person.exit_status(), 77);
        person.expect_not("Password: ");
    }
    expect_nobody_in(&host, 2);
}
