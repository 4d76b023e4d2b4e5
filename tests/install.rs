//! `make install` and `make uninstall`: what stands where with which mode, and what both leave alone.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Output};

use crate::host::Host;

const CHECKOUT: &str = "/tmp/checkout";
const SERVICE: &str = "/etc/pam.d/tmux-gate";
const CONFIGURATION: &str = "/etc/tmux-gate/config.toml";
const DEFAULTS: &str = "/usr/share/tmux-gate/defaults";

/// All files of an installation with their modes; every one is root's.
const FILES: [(&str, &str); 23] = [
    ("644", "/etc/pam.d/tmux-gate"),
    ("644", "/etc/tmux-gate/config.toml"),
    ("4755", "/usr/bin/tmux-gate"),
    ("644", "/usr/lib/sysusers.d/tmux-gate.conf"),
    ("644", "/usr/lib/tmpfiles.d/tmux-gate.conf"),
    ("644", "/usr/share/bash-completion/completions/tmux-gate"),
    ("644", "/usr/share/doc/tmux-gate/ssh/force-command.conf"),
    ("644", "/usr/share/doc/tmux-gate/ssh/login-shell.conf"),
    ("644", "/usr/share/fish/vendor_completions.d/tmux-gate.fish"),
    ("644", "/usr/share/man/man1/tmux-gate.1"),
    ("644", "/usr/share/man/man5/tmux-gate.toml.5"),
    ("644", "/usr/share/man/man7/tmux-gate-pam.7"),
    ("644", "/usr/share/tmux-gate/defaults/config.toml"),
    ("644", "/usr/share/tmux-gate/defaults/pam"),
    ("755", "/usr/share/tmux-gate/own-scope"),
    ("644", "/usr/share/tmux-gate/pam.d/krb5"),
    ("644", "/usr/share/tmux-gate/pam.d/ldap"),
    ("644", "/usr/share/tmux-gate/pam.d/ldap-sssd"),
    ("644", "/usr/share/tmux-gate/pam.d/otp"),
    ("644", "/usr/share/tmux-gate/pam.d/otp-google"),
    ("644", "/usr/share/tmux-gate/pam.d/second-factor"),
    ("644", "/usr/share/tmux-gate/pam.d/strict"),
    ("644", "/usr/share/zsh/site-functions/_tmux-gate"),
];

/// A host with what `make install` needs of the checkout, and the program as it was built.
fn host_with_checkout() -> Host {
    let host = Host::as_installed();
    let source = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target = Path::new(env!("CARGO_BIN_EXE_tmux-gate")).ancestors().nth(2).unwrap();
    host.must(&["mkdir", "-p", &format!("{CHECKOUT}/target/release")]);
    let copy = |from: &Path, to: &str| {
        let copied = Command::new("cp").arg("-r").arg(from).arg(host.path(&format!("{CHECKOUT}/{to}"))).status();
        assert!(copied.unwrap().success(), "{}: not copied", from.display());
    };
    for name in ["Makefile", "packaging", "pam.d"] {
        copy(&source.join(name), "");
    }
    copy(&target.join("release/tmux-gate"), "target/release/");
    copy(&target.join("generated"), "target/");
    host
}

fn make(host: &Host, words: &[&str]) -> Output {
    host.run(&[&["make", "-s", "-C", CHECKOUT], words].concat())
}

/// Runs make, which has to succeed; what it said.
fn must_make(host: &Host, words: &[&str]) -> String {
    let output = make(host, words);
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "make {words:?}: {said}");
    said
}

fn must_not_make(host: &Host, words: &[&str]) -> String {
    let output = make(host, words);
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(!output.status.success(), "make {words:?}: {said}");
    said
}

/// Mode, owner, group and path of every file below a folder, in the order of `FILES`.
fn files_below(host: &Host, folder: &str) -> Vec<String> {
    let list = host.must(&["find", folder, "!", "-type", "d", "-printf", "%m %u:%g /%P\n"]);
    let mut list: Vec<String> = list.lines().map(str::to_owned).collect();
    list.sort_by(|a, b| a.split(' ').next_back().cmp(&b.split(' ').next_back()));
    list
}

fn expected_files() -> Vec<String> {
    FILES.iter().map(|(mode, path)| format!("{mode} root:root {path}")).collect()
}

fn stat(host: &Host, path: &str) -> String {
    host.must(&["stat", "-c", "%F %a %U:%G", path]).trim().to_owned()
}

fn expect_account(host: &Host) {
    let field = |line: &str, number: usize| line.trim().split(':').nth(number).unwrap().to_owned();
    let (group, user) = (host.must(&["getent", "group", "tmux-gate"]), host.must(&["getent", "passwd", "tmux-gate"]));
    assert_eq!(field(&group, 3), "", "members of {group}");
    assert_eq!(field(&user, 3), field(&group, 2), "{user} {group}");
    assert!(field(&user, 2).parse::<u32>().unwrap() < 1000, "{user}");
    assert_eq!(field(&user, 5), "/");
    assert!(field(&user, 6).ends_with("/nologin"), "{user}");
    assert_eq!(stat(host, "/run/tmux-gate"), "directory 710 root:tmux-gate");
}

#[test]
fn an_installation_has_the_files_modes_owners_and_account_of_the_table() {
    let host = Host::as_installed();
    for (mode, path) in FILES {
        assert_eq!(stat(&host, path), format!("regular file {mode} root:root"), "{path}");
    }
    assert_eq!(stat(&host, "/etc/tmux-gate"), "directory 755 root:root");
    expect_account(&host);
}

#[test]
fn the_program_is_hardened_and_looks_for_libraries_where_the_system_has_them() {
    let host = Host::as_installed();
    let elf =
        host.must(&["readelf", "--wide", "--file-header", "--dynamic", "--program-headers", "/usr/bin/tmux-gate"]);
    assert!(elf.contains("Position-Independent Executable"), "{elf}");
    assert!(elf.contains("GNU_RELRO") && elf.contains("BIND_NOW"), "{elf}");
    assert!(elf.lines().any(|line| line.contains("GNU_STACK") && line.contains(" RW ")), "{elf}");
    assert!(!elf.contains("RPATH") && !elf.contains("RUNPATH"), "{elf}");
    assert!(elf.contains("[libpam.so.0]"), "{elf}");
}

#[test]
fn without_systemd_the_account_is_the_same() {
    let host = host_with_checkout();
    must_make(&host, &["uninstall"]);
    host.must(&["userdel", "tmux-gate"]);
    host.run(&["groupdel", "tmux-gate"]);
    for tool in ["/usr/bin/systemd-sysusers", "/usr/bin/systemd-tmpfiles"] {
        host.must(&["rm", "-f", tool]);
    }
    must_make(&host, &["install"]);
    expect_account(&host);
}

#[test]
fn an_edited_service_file_or_configuration_is_never_overwritten() {
    let host = host_with_checkout();
    let service = host.read(SERVICE) + "# mine\n";
    host.write(SERVICE, &service, 0o644);
    host.write(CONFIGURATION, "[authentication]\ntries = 1\n", 0o644);
    for words in [["install", "PAM=debian"], ["install", "PAM=suse"], ["uninstall", "PAM="]] {
        let said = must_make(&host, &words);
        assert!(said.contains(&format!("{SERVICE}: edited")), "{said}");
        assert!(said.contains(&format!("{CONFIGURATION}: edited")), "{said}");
        assert_eq!(host.read(SERVICE), service);
        assert_eq!(host.read(CONFIGURATION), "[authentication]\ntries = 1\n");
    }
}

#[test]
fn what_nobody_edited_follows_the_version_and_goes_with_it() {
    let host = host_with_checkout();
    let newer = host.read(&format!("{CHECKOUT}/pam.d/debian")) + "# newer\n";
    host.write(&format!("{CHECKOUT}/pam.d/debian"), &newer, 0o644);
    must_make(&host, &["install"]);
    assert_eq!(host.read(SERVICE), newer);
    assert_eq!(host.read(&format!("{DEFAULTS}/pam")), newer);
    must_make(&host, &["uninstall"]);
    for path in FILES.map(|(_, path)| path).iter().chain(&["/etc/tmux-gate", "/usr/share/tmux-gate", "/run/tmux-gate"])
    {
        assert!(!host.exists(path), "{path} is left");
    }
}

#[test]
fn a_link_in_place_of_a_configuration_file_is_left_alone() {
    let host = host_with_checkout();
    host.must(&["mv", SERVICE, "/etc/pam.d/site"]);
    host.must(&["ln", "-s", "site", SERVICE]);
    must_make(&host, &["install"]);
    must_make(&host, &["uninstall"]);
    assert_eq!(host.must(&["readlink", SERVICE]), "site\n");
    assert!(host.exists("/etc/pam.d/site"));
}

#[test]
fn a_running_session_survives_a_second_installation_and_the_removal() {
    let host = host_with_checkout();
    let mut alice = host.person("alice");
    let attempt = alice.enter("alice");
    for verb in ["install", "uninstall"] {
        let said = must_make(&host, &[verb]);
        assert_eq!(said.contains("sessions go on"), verb == "uninstall", "{said}");
        assert!(alice.inside("tmux list-sessions").text.contains("main: 1 windows"));
        expect_account(&host);
    }
    assert!(!host.exists("/usr/bin/tmux-gate"));
    alice.leave(&attempt);
    host.syslog_wait(&["event=detached", "user=alice"]);

    must_make(&host, &["install"]);
    alice.enter("alice");
    assert!(alice.inside("tmux list-sessions").text.contains("main: 1 windows"));
}

#[test]
fn the_program_is_replaced_in_one_step() {
    let host = host_with_checkout();
    let inode = || std::fs::metadata(host.path("/usr/bin/tmux-gate")).unwrap().ino();
    let before = inode();
    let watch = "while [ ! -e /tmp/stop ]; do
        [ \"$(stat -c %a /usr/bin/tmux-gate)\" = 4755 ] && tmux-gate --version >/dev/null || { echo bad; exit 1; }
        touch /tmp/watching
    done";
    std::thread::scope(|threads| {
        let watcher = threads.spawn(|| host.run_as("alice", &["sh", "-c", watch]));
        host.wait_until("the watcher", || host.exists("/tmp/watching"));
        for _ in 0..5 {
            must_make(&host, &["install"]);
        }
        host.write("/tmp/stop", "", 0o644);
        let output = watcher.join().unwrap();
        assert!(output.status.success(), "{output:?}");
    });
    assert_ne!(inode(), before);
}

#[test]
fn with_destdir_nothing_but_destdir_changes() {
    let host = host_with_checkout();
    must_make(&host, &["uninstall"]);
    host.must(&["userdel", "tmux-gate"]);
    host.run(&["groupdel", "tmux-gate"]);
    host.must(&["touch", "/tmp/before"]);
    must_make(&host, &["install", "DESTDIR=/tmp/package", "PAM=alpine"]);
    assert_eq!(files_below(&host, "/tmp/package"), expected_files());
    assert!(host.read("/tmp/package/etc/pam.d/tmux-gate").contains("base-auth"));
    let changed = ["find", "/etc", "/usr", "/var", "/run", "-newercm", "/tmp/before", "!", "-path", "*/log/*"];
    assert_eq!(host.must(&changed), "");
    must_make(&host, &["uninstall", "DESTDIR=/tmp/package"]);
    assert_eq!(files_below(&host, "/tmp/package"), Vec::<String>::new());
}

#[test]
fn a_packager_without_root_gets_the_same_files() {
    let host = host_with_checkout();
    let words = ["make", "-s", "-C", CHECKOUT, "install", "DESTDIR=/home/bob/package", "PAM=redhat"];
    let output = host.run_as("bob", &words);
    assert!(output.status.success(), "{output:?}");
    let expected: Vec<String> = expected_files().iter().map(|line| line.replace("root:root", "bob:bob")).collect();
    assert_eq!(files_below(&host, "/home/bob/package"), expected);
    let output = host.run_as("bob", &["make", "-s", "-C", CHECKOUT, "install"]);
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("root"), "{output:?}");
}

#[test]
fn another_prefix_is_named_in_the_texts() {
    let host = host_with_checkout();
    must_make(&host, &["install", "DESTDIR=/tmp/package", "PREFIX=/usr/local", "PAM=arch"]);
    assert_eq!(stat(&host, "/tmp/package/usr/local/bin/tmux-gate"), "regular file 4755 root:root");
    let piece = host.read("/tmp/package/usr/local/share/doc/tmux-gate/ssh/force-command.conf");
    assert!(piece.contains("ForceCommand /usr/local/bin/tmux-gate\n"), "{piece}");
    must_not_make(&host, &["install", "PREFIX=relative"]);
}

#[test]
fn a_member_of_the_group_stops_the_installation() {
    let host = host_with_checkout();
    host.must(&["gpasswd", "-a", "alice", "tmux-gate"]);
    let said = must_not_make(&host, &["install"]);
    assert!(said.contains("gpasswd -d alice tmux-gate"), "{said}");
    host.must(&["gpasswd", "-d", "alice", "tmux-gate"]);
    host.must(&["usermod", "-g", "tmux-gate", "bob"]);
    let said = must_not_make(&host, &["install"]);
    assert!(said.contains("primary group of bob"), "{said}");
}

#[test]
fn nothing_built_means_nothing_installed_and_nothing_compiled() {
    let host = host_with_checkout();
    host.must(&["rm", "-r", &format!("{CHECKOUT}/target")]);
    let said = must_not_make(&host, &["install"]);
    assert!(said.contains("run make first"), "{said}");
    assert!(!host.exists(&format!("{CHECKOUT}/target")));
}

#[test]
fn the_service_file_is_that_of_the_family() {
    let host = host_with_checkout();
    let families = [
        ("ID=debian", "debian"),
        ("ID=ubuntu\nID_LIKE=debian", "debian"),
        ("ID=fedora", "redhat"),
        ("ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"", "redhat"),
        ("ID=arch", "arch"),
        ("ID=\"opensuse-leap\"\nID_LIKE=\"suse opensuse\"", "suse"),
        ("ID=alpine", "alpine"),
        ("ID=unheard-of", "debian"), // by the files that are there to be included
    ];
    host.must(&["rm", "-f", "/etc/os-release"]);
    for (release, family) in families {
        host.write("/etc/os-release", format!("{release}\n"), 0o644);
        host.must(&["rm", "-rf", "/tmp/package"]);
        must_make(&host, &["install", "DESTDIR=/tmp/package"]);
        let service = host.read("/tmp/package/etc/pam.d/tmux-gate");
        assert_eq!(service, host.read(&format!("{CHECKOUT}/pam.d/{family}")), "{release}");
    }
    let said = must_not_make(&host, &["install", "PAM=../../etc/shadow"]);
    assert!(said.contains("not one of"), "{said}");
    let said = must_make(&host, &["install", "PAM=redhat"]);
    assert!(said.contains("system-auth, which this host lacks"), "{said}");
}

#[test]
fn no_service_file_lets_anybody_in_unchecked() {
    for family in ["debian", "redhat", "arch", "suse", "alpine"] {
        let path = format!("{}/pam.d/{family}", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
        for kind in ["auth", "account", "password", "session"] {
            let included = format!("@include common-{kind}");
            assert!(
                lines.iter().any(|line| *line == included || line.split_whitespace().next() == Some(kind)),
                "{path}: no {kind}"
            );
        }
        for bad in ["pam_permit", "nullok", "pam_rootok", "/"] {
            assert!(!lines.iter().any(|line| line.contains(bad)), "{path}: {bad}");
        }
    }
}

#[test]
fn every_key_of_the_installed_configuration_may_be_uncommented() {
    let host = Host::as_installed();
    let installed = host.read(CONFIGURATION);
    assert!(installed.lines().all(|line| line.is_empty() || line.starts_with('#')), "{installed}");
    // A key or a table follows its # at once, prose after a space.
    let uncommented: Vec<&str> =
        installed.lines().filter_map(|line| line.strip_prefix('#').filter(|rest| !rest.starts_with(' '))).collect();
    assert!(uncommented.len() >= 9, "{installed}");
    host.configure(&uncommented.join("\n"));
    let output = host.run_as("alice", &["tmux-gate", "explain"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    for line in uncommented.iter().filter(|line| !line.starts_with('[')) {
        let wrong = uncommented.join("\n").replace(line, &format!("x{line}"));
        host.configure(&wrong);
        assert_eq!(host.run_as("alice", &["tmux-gate", "explain"]).status.code(), Some(78), "{wrong}");
    }
}

#[test]
fn the_manual_pages_are_clean_and_name_every_verb_and_key() {
    let host = Host::as_installed();
    for (page, words) in [
        (
            "/usr/share/man/man1/tmux-gate.1",
            vec!["attach", "list", "check", "explain", "EXIT STATUS", "PAM", "SEE ALSO"],
        ),
        ("/usr/share/man/man5/tmux-gate.toml.5", vec!["users", "shell", "time_limit", "tries", "path", "required"]),
    ] {
        let lint = host.run(&["groff", "-man", "-ww", "-z", "-Tutf8", page]);
        assert!(lint.status.success() && lint.stderr.is_empty(), "{page}: {}", String::from_utf8_lossy(&lint.stderr));
        let text = host.must(&["groff", "-man", "-Tascii", "-P-cbu", page]);
        for word in words {
            assert!(text.contains(word), "{page}: nothing of {word}");
        }
    }
}

#[test]
fn a_check_right_after_the_installation_finds_nothing() {
    let host = Host::as_installed();
    let output = host.run_as("alice", &["tmux-gate", "check"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}
