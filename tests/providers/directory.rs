//! An LDAP directory on loopback, which ldap.rs, ldap_away.rs and sssd.rs share: slapd, and the daemon between it and the
//! host, started, stopped, and made silent.

use super::worked;
use crate::host::{Host, Person};
use std::ops::Deref;

/// Any new password that the directory takes.
pub const NEW: &str = "quite another 7 words";

/// A host whose people are in a directory as well: lara and mona, who are in its group crew, omar, who is not, and others
/// (host/layers/slapd.inc).
pub struct Directory {
    host: Host,
}

impl Deref for Directory {
    type Target = Host;

    fn deref(&self) -> &Host {
        &self.host
    }
}

impl Directory {
    /// By nslcd, with Debian's service file, and waiting times as short as can be.
    pub fn by_nslcd() -> Directory {
        let directory = Directory { host: Host::layered("ldap") };
        directory.must(&["sed", "-i", "-E", "s/^(.*time[a-z]*) 3$/\\1 1/", "/etc/nslcd.conf"]);
        directory.start_slapd();
        directory.start_nslcd();
        directory
    }

    /// By nslcd, with the worked file.
    pub fn with_ldap() -> Directory {
        let directory = Directory::by_nslcd();
        directory.follow("ldap");
        directory
    }

    /// By sssd, with the worked file and these lines more for the domain in sssd.conf.
    pub fn with_sssd(more: &str) -> Directory {
        let directory = Directory { host: Host::layered("sssd") };
        let conf = directory.read("/etc/sssd/sssd.conf");
        directory.write("/etc/sssd/sssd.conf", conf + more, 0o600);
        directory.start_slapd();
        directory.start_sssd();
        directory.follow("ldap-sssd");
        directory
    }

    pub fn start_slapd(&self) {
        self.must(&["install", "-d", "-o", "openldap", "/run/slapd"]);
        let urls = "ldap://gatehost/ ldapi:///";
        self.start("slapd", &["slapd", "-h", urls, "-u", "openldap", "-g", "openldap", "-f", "/etc/ldap/slapd.conf"]);
        let asked = || self.run(&["ldapwhoami", "-x", "-H", "ldapi:///"]).status.success();
        self.wait_until("slapd to answer", asked);
    }

    pub fn start_nslcd(&self) {
        self.must(&["install", "-d", "-o", "nslcd", "/run/nslcd"]);
        self.start("nslcd", &["nslcd"]);
        self.expect_people();
    }

    pub fn start_sssd(&self) {
        self.start("sssd", &["sssd", "-D", "--logger=files"]);
        self.expect_people();
        self.wait_until("sssd's PAM responder", || self.exists("/var/lib/sss/pipes/pam"));
        self.expect_daemons("sssd");
    }

    /// Waits until the directory's people are in the users database.
    pub fn expect_people(&self) {
        self.wait_until("lara in the users database", || self.run(&["id", "lara"]).status.success());
    }

    fn start(&self, daemon: &str, argv: &[&str]) {
        self.must(argv);
        self.expect_daemons(daemon);
    }

    fn expect_daemons(&self, name: &str) {
        self.daemons(name).iter().for_each(|pid| self.expect_process(*pid));
    }

    /// All processes of that daemon.
    fn daemons(&self, name: &str) -> Vec<i32> {
        let processes = self.processes().into_iter();
        processes.filter(|process| process.comm.starts_with(name)).map(|process| process.pid).collect()
    }

    /// Ends that daemon.
    pub fn stop(&self, daemon: &str) {
        self.kill("TERM", &self.daemons(daemon));
        self.wait_until(&format!("the end of {daemon}"), || self.daemons(daemon).is_empty());
    }

    /// From now on that daemon keeps its connections and says nothing.
    pub fn silence(&self, daemon: &str) {
        self.signal(daemon, "STOP", 'T');
    }

    pub fn wake(&self, daemon: &str) {
        self.signal(daemon, "CONT", 'S');
    }

    fn signal(&self, daemon: &str, signal: &str, state: char) {
        let pids = self.daemons(daemon);
        self.kill(signal, &pids);
        let done = || pids.iter().all(|pid| self.state(*pid) == Some(state));
        self.wait_until(&format!("{daemon} to be {state} after {signal}"), done);
    }

    /// Changes what is in the directory.
    pub fn modify(&self, ldif: &str) {
        self.write("/tmp/ldif", ldif, 0o644);
        self.must(&["ldapmodify", "-Q", "-Y", "EXTERNAL", "-H", "ldapi:///", "-f", "/tmp/ldif"]);
    }

    /// Somebody passes with this password, is in, and leaves; his session was the only one.
    pub fn expect_in(&self, user: &str, password: &str) {
        let mut person = self.person(user);
        let attempt = person.attempt("tmux-gate");
        worked::answer(&mut person, &[("Password: ", password)]);
        person.expect_inside();
        person.leave(&attempt);
        worked::expect_unix_sessions(self, user, 1);
    }
}

/// The person is refused without having been asked, or after these prompts with their answers; nothing is opened.
pub fn expect_out(person: &mut Person<'_>, dialogue: &[(&str, &str)], status: i32, text: &str) -> String {
    let attempt = person.attempt("tmux-gate");
    worked::answer(person, dialogue);
    person.expect_refused(&attempt, status, text)
}

/// The settings that the manual page shows under this heading are those of these files, but for the site's `own`.
pub fn expect_as_in_manual(host: &Host, heading: &str, files: &[&str], own: &[&str]) {
    let page = host.read("/usr/share/man/man7/tmux-gate-pam.7");
    let section = page
        .split_once(&format!("\n.SS {}\n", heading.replace('-', "\\-")))
        .expect("the heading")
        .1
        .split("\n.S")
        .next()
        .unwrap();
    let had: Vec<String> =
        files.iter().flat_map(|file| host.read(file).lines().map(plain).collect::<Vec<_>>()).collect();
    let mut shown = false;
    let mut count = 0;
    for line in section.lines() {
        match line {
            ".nf" => shown = true,
            ".fi" => shown = false,
            line if shown => {
                let line = plain(&line.replace("\\-", "-"));
                let key = line.split(' ').next().unwrap_or_default();
                let there = had.iter().any(|have| *have == line || (own.contains(&key) && have.starts_with(key)));
                assert!(there, "{line}: not in {files:?}");
                count += 1;
            }
            _ => {}
        }
    }
    assert!(count > 5, "the settings under {heading}");
}

/// With one space between the words.
fn plain(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}
