//! Kerberos: a real KDC behind the worked file krb5. Passwords, their change, accounts, and a KDC that is away.
//! Tickets and whom the gate trusts: tickets.rs.

use super::worked::expect_unix_sessions;
use crate::host::{Attempt, Host, Person};
use std::ops::Deref;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

/// A host of the realm EXAMPLE.ORG that runs the KDC as well; alice, bob and root have principals (`alice's ticket`).
pub(super) struct Realm {
    host: Host,
    pub kdc: i32,
}

impl Deref for Realm {
    type Target = Host;

    fn deref(&self) -> &Host {
        &self.host
    }
}

impl Realm {
    /// With the worked file in place, as the manual says.
    pub fn new() -> Realm {
        let realm = Realm::as_installed();
        realm.follow("krb5");
        realm
    }

    /// With the service file that the gate was installed with, and what libpam-krb5 made of common-auth.
    pub fn as_installed() -> Realm {
        let host = Host::layered("krb5");
        let kdc = start(&host, "krb5kdc", "/etc/krb5kdc/kdc.conf", "88");
        Realm { host, kdc }
    }

    pub fn start_password_server(&self) {
        start(&self.host, "kadmind", "/etc/krb5kdc/kdc.conf", "749");
    }

    pub fn start_impostor(&self, port: &str) {
        start(&self.host, "krb5kdc", "/var/lib/impostor/kdc.conf", port);
    }

    pub fn stop_kdc(&self) {
        self.kill("TERM", &[self.kdc]);
        self.wait_until("the end of the KDC", || self.state(self.kdc).is_none());
    }

    /// Without a keytab libkrb5 believes any KDC from now on.
    pub fn stop_demanding_a_keytab(&self) {
        self.must(&["sed", "-i", "/verify_ap_req_nofail/d", "/etc/krb5.conf"]);
    }

    pub fn modify(&self, principal: &str, change: &str) {
        let change: Vec<_> = change.split(' ').collect();
        self.must(&[&["kadmin.local", "modprinc"], &change[..], &[principal]].concat());
    }

    /// The ticket caches in /tmp, the temporary ones of before the session too.
    pub fn caches(&self) -> Vec<String> {
        let names = std::fs::read_dir(self.path("/tmp")).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.filter(|name| name.starts_with("krb5cc")).collect();
        names.sort();
        names.into_iter().map(|name| format!("/tmp/{name}")).collect()
    }

    /// The only cache, which is this person's alone.
    pub fn the_cache_of(&self, uid: u32) -> String {
        let caches = self.caches();
        assert_eq!(caches.len(), 1, "{caches:?}\n{}", self.snapshot());
        let file = std::fs::symlink_metadata(self.path(&caches[0])).unwrap();
        assert!(file.is_file() && file.len() > 0, "{caches:?}");
        assert_eq!((file.uid(), file.gid(), file.mode() & 0o7777), (uid, uid, 0o600), "{caches:?}");
        caches[0].clone()
    }

    /// Nobody is in any more: this many sessions of alice's were opened and closed, and no ticket is left.
    pub fn expect_over(&self, sessions: usize) {
        self.expect_nothing_left();
        expect_unix_sessions(&self.host, "alice", sessions);
        assert_eq!(self.caches(), [""; 0], "{}", self.snapshot());
    }

    /// The last of this many refusals names PAM's code, and left nothing.
    pub fn expect_refusals(&self, count: usize, code: &str) {
        self.expect_over(0);
        let refusals: Vec<_> = self.recorded().into_iter().filter(|line| line.contains("event=refused")).collect();
        assert_eq!(refusals.len(), count, "{refusals:?}");
        let last = &refusals[count - 1];
        assert!(last.ends_with(code), "{code} in {last}\n{}", self.snapshot());
    }
}

fn start(host: &Host, program: &str, profile: &str, port: &str) -> i32 {
    let file = format!("/run/{program}.{}", host.next_number());
    let started = host.spawn("root", &[program, "-P", &file, "-p", port]).env(format!("KRB5_KDC_PROFILE={profile}"));
    let output = started.output();
    assert!(output.status.success(), "{program}: {output:?}");
    let mut pid = None;
    host.wait_until(program, || {
        pid = std::fs::read_to_string(host.path(&file)).ok().and_then(|text| text.trim().parse().ok());
        pid.is_some()
    });
    host.expect_process(pid.unwrap());
    pid.unwrap()
}

impl Person<'_> {
    /// Starts the gate and answers its first question.
    pub(super) fn comes_with(&mut self, password: &str) -> Attempt {
        let attempt = self.attempt("tmux-gate");
        self.answers(password);
        attempt
    }

    /// Answers the next question for the password.
    pub(super) fn answers(&mut self, password: &str) {
        self.expect("Password: ");
        self.send(format!("{password}\r"));
    }

    /// Answers the two questions for a new password.
    fn chooses(&mut self, new: &str, repeated: &str) {
        self.expect("Enter new password: ");
        self.send(format!("{new}\r"));
        self.expect("Enter it again: ");
        self.send(format!("{repeated}\r"));
    }

    /// Is in with this password, and leaves.
    fn comes_and_goes_with(&mut self, password: &str) {
        let attempt = self.comes_with(password);
        self.expect_inside();
        self.leave(&attempt);
    }
}

const NEW: &str = "quite another 7 words";

#[test]
fn given_the_principals_password_a_person_is_in_and_the_unix_password_opens_nothing() {
    let realm = Realm::new();
    let mut alice = realm.person("alice");
    let attempt = alice.comes_with("alice's secret");
    alice.expect("Sorry, try again.");
    alice.answers("alice's ticket");
    alice.expect_inside();
    realm.syslog_wait(&["event=authenticated", "user=alice"]);
    alice.leave(&attempt);
    alice.comes_and_goes_with("alice's ticket");
    realm.expect_over(2);
    alice.expect_not("ticket");
}

#[test]
fn given_three_wrong_passwords_the_gate_refuses_with_pams_code() {
    let realm = Realm::new();
    let mut alice = realm.person("alice");
    let attempt = alice.comes_with("bob's ticket");
    alice.answers("");
    alice.answers("alice's secret");
    let said = alice.expect_refused(&attempt, 77, "alice: authentication failed");
    assert!(!said.contains("Password: "), "{said}");
    realm.expect_refusals(1, "pam=AUTH_ERR");
}

#[test]
fn given_no_principal_of_that_name_nobody_is_in_and_root_is_not_even_asked() {
    let realm = Realm::new();
    let mut dave = realm.person("dave");
    let attempt = dave.comes_with("dave's secret");
    dave.answers("alice's ticket");
    dave.answers("x");
    dave.expect_refused(&attempt, 77, "dave: authentication failed");
    realm.expect_refusals(1, "pam=USER_UNKNOWN");
    let mut root = realm.person("root");
    let attempt = root.attempt("tmux-gate");
    let said = root.expect_refused(&attempt, 77, "root: authentication failed");
    assert!(!said.contains("Password"), "{said}");
    realm.expect_refusals(2, "pam=USER_UNKNOWN");
}

#[test]
fn given_an_expired_principal_its_password_is_changed_at_the_gate() {
    let realm = Realm::new();
    realm.start_password_server();
    realm.modify("alice", "-pwexpire yesterday");
    let mut alice = realm.person("alice");
    let attempt = alice.comes_with("alice's ticket");
    alice.expect("Password expired.");
    alice.chooses("short", "short");
    alice.expect("at least 10 characters");
    alice.chooses(NEW, "mistyped");
    alice.expect("Password mismatch");
    alice.chooses(NEW, NEW);
    alice.expect_inside();
    realm.the_cache_of(1001);
    alice.leave(&attempt);
    let attempt = alice.comes_with("alice's ticket");
    alice.expect("Sorry, try again.");
    alice.answers(NEW);
    alice.expect_inside();
    alice.leave(&attempt);
    realm.expect_over(2);
    alice.expect_not("another 7");
}

#[test]
fn given_an_expired_principal_whose_password_is_not_changed_nobody_is_in() {
    let realm = Realm::new();
    realm.modify("alice", "-pwexpire yesterday");
    let mut alice = realm.person("alice");
    let attempt = alice.comes_with("alice's ticket"); // the KDC answers, the password server is not there
    alice.chooses(NEW, NEW);
    alice.expect_refused(&attempt, 75, "cannot authenticate now");
    realm.expect_refusals(1, "pam=AUTHINFO_UNAVAIL");
    realm.start_password_server();
    let attempt = alice.comes_with("alice's secret");
    for (new, repeated) in [("short", "short"), (NEW, "mistyped")] {
        alice.answers("alice's ticket");
        for _ in 0..3 {
            alice.chooses(new, repeated);
        }
    }
    alice.expect_refused(&attempt, 77, "authentication failed");
    realm.expect_refusals(2, "pam=AUTH_ERR");
    let attempt = alice.comes_with("alice's ticket");
    alice.expect("Enter new password: ");
    alice.send("\x03");
    alice.expect_refused(&attempt, 77, "interrupted");
    realm.expect_refusals(3, "run tmux-gate again\"");
    realm.modify("alice", "-pwexpire never");
    alice.comes_and_goes_with("alice's ticket"); // it is still the password
    realm.expect_over(1);
}

#[test]
fn given_a_principal_that_is_locked_or_expired_the_right_password_is_refused() {
    let realm = Realm::new();
    realm.configure("[authentication]\ntries = 1\n");
    let mut alice = realm.person("alice");
    let table =
        [("-allow_tix", "pam=AUTH_ERR", "+allow_tix"), ("-expire yesterday", "pam=ACCT_EXPIRED", "-expire never")];
    for (count, (change, code, back)) in table.into_iter().enumerate() {
        realm.modify("alice", change);
        let attempt = alice.comes_with("alice's ticket");
        alice.expect_refused(&attempt, 77, "authentication failed");
        realm.expect_refusals(count + 1, code);
        realm.modify("alice", back);
    }
    alice.comes_and_goes_with("alice's ticket");
    realm.expect_over(1);
}

#[test]
fn the_hosts_account_counts_too_but_not_the_age_of_its_password() {
    let realm = Realm::new();
    let mut alice = realm.person("alice");
    realm.must(&["chage", "-E", "0", "alice"]);
    let attempt = alice.comes_with("alice's ticket");
    alice.expect_refused(&attempt, 77, "the account may not be used");
    realm.expect_refusals(1, "pam=ACCT_EXPIRED");
    realm.must(&["chage", "-E", "-1", "-d", "0", "alice"]);
    realm.must(&["usermod", "-L", "alice"]);
    alice.comes_and_goes_with("alice's ticket");
    realm.expect_over(1);
}

#[test]
fn given_a_kdc_that_is_down_the_gate_says_not_now_and_asks_no_second_time() {
    let realm = Realm::new();
    let mut alice = realm.person("alice");
    let attempt = alice.attempt("tmux-gate");
    alice.expect("Password: ");
    realm.stop_kdc(); // while she types
    alice.send("alice's ticket\r");
    let said = alice.expect_refused(&attempt, 75, "alice: cannot authenticate now");
    assert!(!said.contains("Password: "), "{said}");
    realm.expect_refusals(1, "pam=AUTHINFO_UNAVAIL");
    let started = Instant::now();
    let attempt = alice.comes_with("alice's secret"); // from the beginning
    alice.expect_refused(&attempt, 75, "alice: cannot authenticate now");
    assert!(started.elapsed() < Duration::from_secs(5), "a refused port says so at once");
    realm.expect_refusals(2, "pam=AUTHINFO_UNAVAIL");
}

#[test]
fn given_a_silent_kdc_the_gate_says_not_now_within_its_default_time_limit() {
    let realm = Realm::new();
    let mut alice = realm.person("alice");
    realm.kill("STOP", &[realm.kdc]);
    let started = Instant::now();
    let attempt = alice.comes_with("alice's ticket");
    while !alice.transcript().contains("tmux-gate: ") {
        assert!(started.elapsed() < Duration::from_secs(60), "{}", realm.snapshot());
        std::thread::sleep(Duration::from_millis(20));
    }
    println!("a silent KDC was given up after {:?}", started.elapsed());
    alice.expect_refused(&attempt, 75, "alice: cannot authenticate now");
    realm.expect_refusals(1, "pam=AUTHINFO_UNAVAIL");
}

#[test]
fn given_a_silent_kdc_a_shorter_limit_or_ctrl_c_ends_the_waiting() {
    let realm = Realm::new();
    realm.configure("[authentication]\ntime_limit = \"2s\"\n");
    let mut alice = realm.person("alice");
    realm.kill("STOP", &[realm.kdc]);
    let attempt = alice.comes_with("alice's ticket");
    alice.expect_refused(&attempt, 75, "no verdict within 2s");
    realm.expect_refusals(1, "no verdict within 2s; try again later\"");
    realm.configure("[authentication]\ntime_limit = \"60s\"\n");
    let attempt = alice.comes_with("alice's ticket");
    alice.expect_as_before(&attempt); // a moment earlier it would be a byte, and no signal
    alice.send("\x03");
    alice.expect_refused(&attempt, 77, "interrupted");
    realm.expect_refusals(2, "run tmux-gate again\"");
    realm.kill("CONT", &[realm.kdc]);
    alice.comes_and_goes_with("alice's ticket");
    realm.expect_over(1);
}

#[test]
fn given_a_kdc_that_goes_away_after_authentication_the_session_goes_on_and_closes() {
    let realm = Realm::new();
    let mut alice = realm.person("alice");
    let attempt = alice.comes_with("alice's ticket");
    alice.expect_inside();
    realm.stop_kdc();
    assert_eq!(alice.inside("klist -s").status, 0);
    alice.leave(&attempt);
    realm.expect_over(1);
}

#[test]
fn given_a_realm_that_is_not_configured_nobody_is_in() {
    let realm = Realm::new();
    realm.remove("/etc/krb5.conf");
    let mut alice = realm.person("alice");
    let attempt = alice.attempt("tmux-gate");
    alice.expect_refused(&attempt, 77, "authentication failed");
    realm.expect_refusals(1, "pam=SERVICE_ERR");
}

#[test]
fn the_service_as_installed_takes_what_libpam_krb5_set_up_for_the_host() {
    let realm = Realm::as_installed();
    realm.configure("[authentication]\ntries = 1\n");
    let mut alice = realm.person("alice");
    let attempt = alice.comes_with("wrong");
    alice.expect_refused(&attempt, 77, "authentication failed");
    realm.expect_refusals(1, "pam=AUTH_ERR");
    let attempt = alice.comes_with("alice's ticket");
    alice.expect_inside();
    realm.the_cache_of(1001);
    alice.leave(&attempt);
    realm.expect_over(1);
    let attempt = alice.comes_with("alice's secret"); // Debian's common-auth asks pam_unix next
    alice.expect_inside();
    assert_eq!(realm.caches(), [""; 0]);
    alice.leave(&attempt);
    realm.expect_over(2);
    realm.stop_kdc();
    let attempt = alice.comes_with("alice's ticket");
    alice.expect_refused(&attempt, 77, "authentication failed"); // pam_unix's word hides that the KDC is down
    alice.comes_and_goes_with("alice's secret");
    realm.expect_over(3);
}
