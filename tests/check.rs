//! `check` and `explain`: each thing that is wrong is found with its cure, by breaking one at a time; nothing of it needs
//! root, and a standard output that takes nothing is no success.

use crate::host::{GATE, Host};
use std::process::Output;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn json(output: &Output) -> serde_json::Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

/// The installed host, `done` to it as root; `check` finds, as alice and as root, only lines with all of `parts`.
#[track_caller]
fn expect_finding(done: &str, parts: &[&str]) {
    expect_findings(done, &[parts]);
}

/// As many findings as there are lists of parts, in this order.
#[track_caller]
fn expect_findings(done: &str, findings: &[&[&str]]) {
    let host = Host::as_installed();
    host.must(&["sh", "-ec", done]);
    for user in ["alice", "root"] {
        let output = host.run_as(user, &[GATE, "check"]);
        let said = text(&output.stdout);
        assert_eq!((output.status.code(), output.stderr.len()), (Some(78), 0), "{user}: {done}: {output:?}");
        let lines: Vec<_> = said.lines().collect();
        assert_eq!(lines.len(), findings.len(), "{user}: {done}: {said}");
        for (line, parts) in lines.iter().zip(findings) {
            assert!(parts.iter().all(|part| line.contains(part)), "{user}: {done}: {parts:?} in {line:?}");
            assert!(line.contains("; "), "no cure: {line:?}");
        }
        let listed = json(&host.run_as(user, &[GATE, "check", "--json"]));
        assert_eq!(listed["findings"].as_array().expect("a list").len(), findings.len(), "{listed}");
        assert_eq!(listed["findings"][0], *lines[0]);
    }
}

#[test]
fn everything_right_is_said_so() {
    let host = Host::as_installed();
    for user in ["alice", "root", "nobody"] {
        let output = host.run_as(user, &[GATE, "check"]);
        assert_eq!(output.status.code(), Some(0), "{user}: {output:?}");
        assert_eq!((text(&output.stdout).as_str(), output.stderr.len()), ("everything is set up right\n", 0));
        let output = host.run_as(user, &[GATE, "check", "--json"]);
        assert_eq!((output.status.code(), json(&output)), (Some(0), serde_json::json!({ "findings": [] })));
    }
    assert_eq!(host.events(), Vec::<String>::new());
}

#[test]
fn a_binary_with_wrong_mode_owner_or_mount_is_found() {
    expect_finding("chmod 0755 /usr/bin/tmux-gate", &["/usr/bin/tmux-gate: mode 0755", "run: chmod 4755"]);
    expect_finding("chmod 4775 /usr/bin/tmux-gate", &["/usr/bin/tmux-gate: mode 4775", "run: chmod 4755"]);
    expect_finding("chmod 4757 /usr/bin/tmux-gate", &["/usr/bin/tmux-gate: mode 4757", "run: chmod 4755"]);
    expect_finding("mount --bind /usr/bin /usr/bin; mount -o remount,bind,nosuid /usr/bin", &["nosuid"]);
    // Setuid bob: the gate is neither root nor the caller, and must not do anything as bob.
    let host = Host::as_installed();
    host.must(&["sh", "-ec", "chown bob /usr/bin/tmux-gate; chmod 4755 /usr/bin/tmux-gate"]);
    let output = host.run_as("root", &[GATE, "check"]);
    assert_eq!(output.status.code(), Some(78), "{output:?}");
    let said = text(&output.stdout);
    assert!(said.contains("/usr/bin/tmux-gate: owned by uid 1002") && said.contains("run: chown root"), "{said}");
    let output = host.run_as("alice", &[GATE, "check"]);
    assert_eq!(output.status.code(), Some(78), "{output:?}");
}

#[test]
fn a_pam_service_that_does_not_decide_is_found() {
    let service = "/etc/pam.d/tmux-gate";
    let with = |text: &str| format!("printf '%b' '{text}' >{service}");
    let rest = "account required pam_unix.so\\npassword required pam_unix.so\\nsession required pam_unix.so\\n";
    expect_finding(&format!("rm {service}"), &[service, "missing"]);
    for line in [
        "auth required pam_permit.so",
        "auth sufficient pam_permit.so",
        "auth required pam_unix.so\\n-auth optional /lib/security/pam_permit.so",
    ] {
        expect_finding(&with(&format!("{line}\\n{rest}")), &[service, "pam_permit.so", "remove it"]);
    }
    expect_finding(&with(&format!("auth required pam_unix.so nullok\\n{rest}")), &[service, "nullok", "remove it"]);
    expect_finding(&with(&format!("auth required \\\\\\n pam_unix.so \\\\\\n nullok\\n{rest}")), &[service, "nullok"]);
    expect_finding(&with(&format!("-auth required pam_unix.so\\n{rest}")), &[service, "no \"auth\" line"]);
    for kind in ["auth", "account", "password", "session"] {
        expect_finding(&format!("sed -i '/^@include common-{kind}/d; /^{kind}/d' {service}"), &[service, kind]);
    }
}

#[test]
fn what_a_pam_service_includes_is_looked_at_too() {
    let include = "sed -i 's/^@include common-auth/@include hers/' /etc/pam.d/tmux-gate";
    let hers = "/etc/pam.d/hers";
    expect_finding(&format!("{include}; echo 'auth sufficient pam_permit.so' >{hers}"), &[hers, "pam_permit.so"]);
    expect_finding(&format!("{include}; echo 'account required pam_unix.so' >{hers}"), &["tmux-gate", "\"auth\""]);
    expect_finding(include, &[hers, "missing"]);
    let include = "sed -i 's/^@include common-auth/auth include hers/' /etc/pam.d/tmux-gate";
    expect_finding(&format!("{include}; echo 'auth required pam_permit.so' >{hers}"), &[hers, "pam_permit.so"]);
    let include = include.replace("include hers", "substack hers");
    expect_finding(&format!("{include}; echo 'auth sufficient pam_permit.so' >{hers}"), &[hers, "pam_permit.so"]);
}

#[test]
fn pam_files_that_others_can_write_are_found() {
    for (done, path) in [
        ("chmod 0666 /etc/pam.d/tmux-gate", "/etc/pam.d/tmux-gate"),
        ("chmod 0664 /etc/pam.d/tmux-gate", "/etc/pam.d/tmux-gate"),
        ("chown alice /etc/pam.d/tmux-gate", "/etc/pam.d/tmux-gate"),
        ("chmod 0777 /etc/pam.d", "/etc/pam.d"),
        ("chmod 0666 /etc/pam.d/common-auth", "/etc/pam.d/common-auth"),
        ("mv /etc/pam.d/tmux-gate /home/alice/x; ln -s /home/alice/x /etc/pam.d/tmux-gate", "/home/alice"),
    ] {
        expect_finding(done, &[&format!("{path}: "), "root", "go-w"]);
    }
    expect_finding("rm /etc/pam.d/tmux-gate; mkdir /etc/pam.d/tmux-gate", &["/etc/pam.d/tmux-gate: "]);
}

#[test]
fn a_configuration_that_is_unsafe_or_wrong_is_found_with_line_and_column() {
    let path = "/etc/tmux-gate/config.toml";
    for (text, place, part) in [
        ("[attach]\\nuser = []\\n", "2:1", "unknown field"),
        ("[tmux]\\npath = \"tmux\"\\n", "2:8", "absolute"),
        ("\\n\\n[authentication]\\ntries = 0\\n", "4:9", "between 1 and 10"),
        ("[audit\\n", "1:7", ""),
        ("[attach]\\nusers = [\"ali ce\"]\\n", "2:", "not a valid"),
    ] {
        expect_finding(&format!("printf '{text}' >{path}"), &[&format!("{path}:{place}"), part, "tmux-gate.toml(5)"]);
    }
    expect_finding(&format!("chmod 0646 {path}"), &[path, "mode 0646", "chmod go-w"]);
    expect_finding(&format!("chown alice {path}"), &[path, "uid 1001", "chown root"]);
    expect_finding("chmod 0777 /etc/tmux-gate", &["/etc/tmux-gate: ", "mode 0777"]);
    expect_finding(&format!("rm {path}; mkdir {path}"), &[path, "not a regular"]);
    expect_finding(&format!("rm {path}; mkfifo -m 0644 {path}"), &[path, "not a regular"]);
    expect_finding(&format!("printf '\\377' >{path}"), &[path, "UTF-8"]);
}

#[test]
fn names_that_nobody_has_are_found_each() {
    expect_findings(
        "printf '[attach]\\nusers = [\"alice\", \"eve\", \"@alice\", \"@nogroup-here\", \"uid:77\"]\\n' >/etc/tmux-gate/config.toml",
        &[&["\"eve\"", "[attach] users", "remove it"], &["\"@nogroup-here\"", "remove it"]],
    );
}

#[test]
fn the_group_and_the_runtime_directory_are_looked_at() {
    expect_finding(
        "userdel tmux-gate; groupdel -f tmux-gate || true; ! getent group tmux-gate",
        &["group tmux-gate: missing", "groupadd"],
    );
    expect_finding("gpasswd -a bob tmux-gate", &["group tmux-gate", "bob", "gpasswd -d"]);
    let path = "/run/tmux-gate";
    for (done, parts) in [
        ("rmdir /run/tmux-gate", ["missing", "systemd-tmpfiles"]),
        ("chown bob /run/tmux-gate", ["owner 1002:", "chown 0:"]),
        ("chgrp bob /run/tmux-gate", ["owner 0:1002", "chown 0:"]),
        ("chmod 0711 /run/tmux-gate", ["mode 0711", "chmod 0710"]),
        ("mv /run/tmux-gate /run/x; ln -s /run/x /run/tmux-gate", ["not a directory", "remove"]),
        ("rmdir /run/tmux-gate; touch /run/tmux-gate", ["not a directory", "remove"]),
    ] {
        expect_finding(done, &[path, parts[0], parts[1]]);
    }
}

#[test]
fn whoever_has_the_group_for_a_primary_one_is_a_member_too() {
    expect_finding("usermod -g tmux-gate bob", &["group tmux-gate", "bob"]);
}

/// A tmux that answers like this, where the configuration says.
fn stub(script: &str, mode: &str) -> String {
    format!(
        "printf '#!/bin/sh\\n{script}\\n' >/usr/local/bin/old; chmod {mode} /usr/local/bin/old; \
         printf '[tmux]\\npath = \"/usr/local/bin/old\"\\n' >/etc/tmux-gate/config.toml"
    )
}

#[test]
fn a_tmux_that_is_missing_too_old_unsafe_or_no_tmux_is_found() {
    for version in ["tmux 3.1c", "tmux 2.9a", "tmux 1.8", "screen 5.0", "", "tmux 3.1c\\n; tmux 3.3"] {
        let finding = ["/usr/local/bin/old", "3.2 or newer", "install"];
        expect_finding(&stub(&format!("printf \"{version}\\n\""), "755"), &finding);
    }
    expect_finding(&stub("printf \"\\033]52;c;aGk=\\007\"", "755"), &["/usr/local/bin/old", "\\x1b]52"]);
    expect_finding(&stub("echo tmux 3.3", "777"), &["/usr/local/bin/old", "chmod go-w"]);
    expect_finding(&stub("echo tmux 3.3", "644"), &["/usr/local/bin/old"]);
    expect_finding("rm /usr/bin/tmux", &["/usr/bin/tmux", "not there", "install tmux"]);
    let host = Host::as_installed();
    host.must(&["sh", "-ec", &stub("echo tmux next-3.6", "755")]);
    assert_eq!(host.run_as("alice", &[GATE, "check"]).status.code(), Some(0));
}

#[test]
fn a_kernel_that_cannot_shut_the_relay_in_is_found_unless_that_is_only_wanted() {
    let host = Host::as_installed();
    for (call, name) in [(libc::SYS_landlock_create_ruleset, "Landlock"), (libc::SYS_seccomp, "seccomp")] {
        for (wish, status) in
            [("", 78), ("[join]\nsandbox = \"required\"\n", 78), ("[join]\nsandbox = \"wanted\"\n", 0)]
        {
            host.configure(wish);
            let output = host.spawn("alice", &[GATE, "check"]).without_call(call).output();
            let said = text(&output.stdout);
            assert_eq!((output.status.code(), said.lines().count()), (Some(status), 1), "{name} {wish}: {output:?}");
            let named = said.contains(name) && said.contains("; ") && said.contains("[join] sandbox");
            assert_eq!(named, status == 78, "{said}");
        }
    }
}

#[test]
fn all_that_is_wrong_is_found_at_once() {
    expect_findings(
        "chmod 0755 /usr/bin/tmux-gate; rm /etc/pam.d/tmux-gate; echo x >/etc/tmux-gate/config.toml; gpasswd -a bob tmux-gate; rmdir /run/tmux-gate",
        &[&["mode 0755"], &["/etc/pam.d"], &["config.toml:1:"], &["bob"], &["/run/tmux-gate"]],
    );
}

#[test]
fn check_and_explain_are_the_caller_before_they_look_at_anything() {
    let host = Host::as_installed();
    host.must(&[
        "sh",
        "-ec",
        &stub("grep -E \"^(Uid|Gid|Groups)\" /proc/self/status >>/tmp/who; echo tmux 3.3", "755"),
    ]);
    host.must(&["sh", "-c", "install -m 0666 /dev/null /tmp/who"]);
    assert_eq!(host.spawn("alice", &[GATE, "check"]).groups(&[1001, 1002]).output().status.code(), Some(0));
    assert_eq!(
        host.read("/tmp/who"),
        "Uid:\t1001\t1001\t1001\t1001\nGid:\t1001\t1001\t1001\t1001\nGroups:\t1001 1002 \n"
    );
    host.must(&["chmod", "0600", "/etc/tmux-gate/config.toml"]);
    for verb in ["check", "explain"] {
        let output = host.run_as("alice", &[GATE, verb]);
        let said = text(&output.stdout) + &text(&output.stderr);
        assert_eq!(output.status.code(), Some(78), "{verb}: {output:?}");
        assert!(said.contains("config.toml") && said.contains("Permission denied"), "{verb}: {said}");
    }
    assert_eq!(host.run(&[GATE, "check"]).status.code(), Some(0));
}

#[test]
fn a_standard_output_that_takes_nothing_is_no_success_and_no_crash() {
    let host = Host::new();
    for verb in ["check", "check --json", "list", "list --json", "explain", "--help", "--version"] {
        let full = host.run_as("alice", &["sh", "-c", &format!("tmux-gate {verb} >/dev/full")]);
        let said = text(&full.stderr);
        assert!(said.starts_with("tmux-gate: ") && said.lines().count() == 1, "{verb}: {full:?}");
        assert_eq!(full.status.code(), Some(1), "{verb}: {full:?}");
        let closed = host.run_as("alice", &["sh", "-c", &format!("tmux-gate {verb} >&-")]);
        assert_eq!((closed.status.code(), text(&closed.stderr)), (Some(0), String::new()), "{verb}");
        let neither = host.run_as("alice", &["sh", "-c", &format!("tmux-gate {verb} >/dev/full 2>/dev/full")]);
        assert_eq!(neither.status.code(), Some(1), "{verb}: {neither:?}");
    }
    host.remove("/etc/pam.d/tmux-gate");
    for to in [">/dev/full", ">&-", ">/dev/full 2>&-"] {
        let output = host.run_as("alice", &["sh", "-c", &format!("tmux-gate check {to}")]);
        assert!(matches!(output.status.code(), Some(1 | 78)), "{to}: {output:?}");
    }
}

#[test]
fn explain_names_the_rule_that_decides() {
    let host = Host::new();
    for (users, user, status, rule, part) in [
        (None, "alice", 0, "default", "sets no [attach] users"),
        (Some("[\"alice\"]"), "alice", 0, "attach.users[0]", "\"alice\""),
        (Some("[\"bob\", \"eve\", \"@alice\"]"), "alice", 0, "attach.users[2]", "\"@alice\""),
        (Some("[\"@tmux-gate\", \"uid:1001\"]"), "alice", 0, "attach.users[1]", "\"uid:1001\""),
        (Some("[\"alice\", \"uid:1001\"]"), "bob", 77, "attach.users", "may not"),
        (Some("[]"), "root", 77, "attach.users", "may not"),
        (Some("[\"eve\", \"@nobody-here\"]"), "alice", 77, "attach.users", "may not"),
    ] {
        host.configure(&users.map_or(String::new(), |users| format!("[attach]\nusers = {users}\n")));
        let output = host.run_as(user, &[GATE, "explain"]);
        let said = text(&output.stdout);
        assert_eq!((output.status.code(), said.lines().count()), (Some(status), 1), "{users:?}: {output:?}");
        assert!(said.contains(part) && said.contains(user), "{users:?}: {said}");
        let output = host.run_as(user, &[GATE, "explain", "--json"]);
        let value = json(&output);
        assert_eq!(output.status.code(), Some(status), "{users:?}: {output:?}");
        assert_eq!((&value["user"], &value["rule"]), (&user.into(), &rule.into()), "{users:?}: {value}");
        assert_eq!(value["allowed"], status == 0, "{users:?}: {value}");
    }
    host.configure("[attach]\nusers = 7\n");
    let output = host.run_as("alice", &[GATE, "explain"]);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(78), 0), "{output:?}");
    assert!(text(&output.stderr).contains("config.toml:2:9"), "{output:?}");
}

#[test]
fn help_version_and_usage_errors() {
    let host = Host::new();
    let help = text(&host.run_as("alice", &[GATE, "--help"]).stdout);
    assert!(["attach", "list", "check", "explain"].iter().all(|verb| help.contains(verb)), "{help}");
    let version = format!("tmux-gate {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(text(&host.run_as("alice", &[GATE, "--version"]).stdout), version);
    for words in [
        &["--nonsense"][..],
        &["list", "--nonsense"],
        &["check", "extra"],
        &["attach", "a", "b"],
        &["attach", "#(id)"],
        &["attach", "-t"],
        &["join"],
        &["-c"],
        &["\x1b[2J\n", "x"],
        &[""],
    ] {
        let output = host.run_as("alice", &[&[GATE], words].concat());
        let said = text(&output.stderr);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{words:?}: {output:?}");
        assert!(said.starts_with("tmux-gate: ") && said.lines().count() == 1 && !said.contains('\x1b'), "{said:?}");
    }
    assert_eq!(host.events(), Vec::<String>::new());
}
