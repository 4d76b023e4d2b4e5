//! Kerberos: where the tickets of a session are, how long, and for whom; and what the gate takes for the KDC. The realm and
//! its passwords: kerberos.rs.

use super::kerberos::Realm;
use crate::host::Person;

impl Realm {
    /// What the session of the person's first server gives to a new window: the name of the cache, and whether it is good.
    fn in_a_new_window(&self, alice: &mut Person<'_>) -> String {
        alice.inside("tmux new-window -d 'echo $KRB5CCNAME $(klist -s && echo good) >w; mv w window'");
        self.wait_until("the window's word", || self.exists("/home/alice/window"));
        let said = self.read("/home/alice/window").trim().to_owned();
        self.remove("/home/alice/window");
        said
    }

    fn in_the_session(&self, alice: &mut Person<'_>) -> String {
        let said = alice.inside("tmux show-environment KRB5CCNAME");
        said.text.trim().strip_prefix("KRB5CCNAME=").unwrap_or_else(|| panic!("{said:?}")).to_owned()
    }
}

fn good(cache: &str) -> String {
    format!("FILE:{cache} good")
}

#[test]
fn a_session_has_one_ticket_cache_that_is_its_owners_alone_and_goes_with_it() {
    let realm = Realm::new();
    let mut alice = realm.person("alice");
    let attempt = alice.comes_with("alice's ticket");
    alice.expect_inside();
    let cache = realm.the_cache_of(1001);
    let environment = realm.read(&format!("/proc/{}/environ", realm.client().pid));
    let kerberos: Vec<_> = environment.split('\0').filter(|pair| pair.contains("KRB5")).collect();
    assert_eq!(kerberos, [format!("KRB5CCNAME=FILE:{cache}")]);
    assert_eq!(realm.in_the_session(&mut alice), format!("FILE:{cache}"));
    let said = alice.inside("klist; echo in the pane: $KRB5CCNAME");
    for part in ["principal: alice@EXAMPLE.ORG", "krbtgt/EXAMPLE.ORG@", &format!("in the pane: FILE:{cache}\n")] {
        assert!(said.text.contains(part), "{part} in {said:?}");
    }
    assert_eq!(realm.in_a_new_window(&mut alice), good(&cache));
    alice.leave(&attempt);
    realm.expect_over(1);
}

#[test]
fn given_a_re_attach_the_session_learns_its_new_cache_and_the_old_pane_keeps_a_name_of_nothing() {
    let realm = Realm::new();
    let mut alice = realm.person("alice");
    let attempt = alice.comes_with("alice's ticket");
    alice.expect_inside();
    let first = realm.the_cache_of(1001);
    alice.leave(&attempt);
    realm.expect_over(1);
    let attempt = alice.comes_with("alice's ticket");
    alice.expect_inside();
    let second = realm.the_cache_of(1001);
    assert_ne!(first, second);
    assert_eq!(realm.in_the_session(&mut alice), format!("FILE:{second}"));
    assert_eq!(realm.in_a_new_window(&mut alice), good(&second));
    let said = alice.inside("klist -s; echo $? $KRB5CCNAME");
    assert!(said.text.contains(&format!("1 FILE:{first}\n")), "{said:?}");
    let said = alice.inside("export $(tmux show-environment KRB5CCNAME); klist -s"); // as the manual says
    assert_eq!(said.status, 0);
    alice.leave(&attempt);
    realm.expect_over(2);
}

#[test]
fn given_two_attaches_at_a_time_each_has_a_cache_and_takes_it_along() {
    let realm = Realm::new();
    let (mut alice, mut elsewhere) = (realm.person("alice"), realm.person("alice"));
    let attempt = alice.comes_with("alice's ticket");
    alice.expect_inside();
    let first = realm.the_cache_of(1001);
    let other = elsewhere.comes_with("alice's ticket");
    elsewhere.expect_inside();
    let both = realm.caches();
    let second = both.iter().find(|cache| **cache != first).unwrap();
    assert_eq!(both.len(), 2, "{both:?}");
    assert_eq!(realm.in_a_new_window(&mut alice), good(second));
    elsewhere.leave(&other);
    realm.wait_until("one cache less", || realm.caches() == [first.as_str()]);
    assert_eq!(realm.in_a_new_window(&mut alice), format!("FILE:{second}"), "the session names the last that came");
    alice.leave(&attempt);
    realm.expect_over(2);
}

#[test]
fn however_a_session_ends_no_cache_stays() {
    let realm = Realm::new();
    let ends = ["client killed", "monitor asked to end", "front killed", "hung up", "shell left", "server killed"];
    for (count, how) in ends.into_iter().enumerate() {
        let mut alice = realm.person("alice");
        alice.comes_with("alice's ticket");
        alice.expect_inside();
        realm.the_cache_of(1001);
        match how {
            "client killed" => realm.kill("KILL", &[realm.client().pid]),
            "monitor asked to end" => realm.kill("TERM", &[realm.monitor().pid]),
            "front killed" => realm.kill("KILL", &[realm.front().pid]),
            "hung up" => alice.hang_up(),
            "shell left" => alice.send("exit\r"),
            _ => alice.send("tmux kill-server\r"),
        }
        realm.wait_until(how, || realm.gates().is_empty());
        realm.expect_over(count + 1);
    }
}

#[test]
fn given_that_root_kills_the_monitor_the_cache_stays_its_owners_and_the_record_says_so() {
    let realm = Realm::new();
    let mut alice = realm.person("alice");
    alice.comes_with("alice's ticket");
    alice.expect_inside();
    let cache = realm.the_cache_of(1001);
    realm.kill("KILL", &[realm.monitor().pid]);
    realm.syslog_wait(&["event=cut", "user=alice"]);
    realm.expect_nothing_left();
    assert_eq!(realm.the_cache_of(1001), cache);
}

#[test]
fn given_a_refusal_after_authentication_no_ticket_stays() {
    let realm = Realm::new();
    let mut alice = realm.person("alice");
    let attempt = alice.attempt("tmux-gate");
    alice.expect("Password: ");
    realm.configure("[attach]\nusers = [\"bob\"]\n");
    alice.send("alice's ticket\r");
    alice.expect_refused(&attempt, 77, "alice");
    realm.syslog_wait(&["pam_krb5", "user alice authenticated as alice@EXAMPLE.ORG"]);
    realm.expect_refusals(1, "\"");
}

#[test]
fn a_cache_that_became_a_link_to_a_file_of_roots_is_not_followed() {
    let realm = Realm::new();
    let links = realm.read("/proc/sys/fs/protected_symlinks");
    assert_eq!(links, "1\n", "fs.protected_symlinks is off on this machine: libkrb5 overwrites what the link names");
    realm.write("/etc/precious", "precious\n", 0o600);
    let mut alice = realm.person("alice");
    let attempt = alice.comes_with("alice's ticket");
    alice.expect_inside();
    let said = alice.inside("f=${KRB5CCNAME#FILE:}; ln -sf /etc/precious $f; test -L $f");
    assert_eq!(said.status, 0);
    alice.leave(&attempt);
    realm.expect_no_gate();
    assert_eq!(realm.read("/etc/precious"), "precious\n");
    super::worked::expect_unix_sessions(&realm, "alice", 1);
}

/// krb5.conf of somebody who brings his own KDC.
const HOSTILE: &str = "\
[libdefaults]
    default_realm = EXAMPLE.ORG
    dns_lookup_kdc = false
    verify_ap_req_nofail = false
[realms]
    EXAMPLE.ORG = {
        kdc = 127.0.0.1:8888
    }
[appdefaults]
    search_k5login = true
";

#[test]
fn given_a_caller_who_brings_his_own_kdc_in_the_environment_it_has_no_effect() {
    let realm = Realm::new();
    realm.stop_demanding_a_keytab(); // nothing else may keep him out
    realm.remove("/etc/krb5.keytab");
    realm.start_impostor("8888");
    realm.write("/home/alice/krb5.conf", HOSTILE, 0o644);
    let mut alice = realm.person("alice");
    alice.command("export KRB5_CONFIG=/home/alice/krb5.conf KRB5_TRACE=/home/alice/trace KRB5CCNAME=/home/alice/cc");
    alice.command("export KRB5_KTNAME=/home/alice/kt KRB5_KDC_PROFILE=$KRB5_CONFIG KRB5_CLIENT_KTNAME=$KRB5_KTNAME");
    let said = alice.command("echo \"impostor's ticket\" | kinit alice && klist -s && rm trace cc; echo kinit=$?");
    assert!(said.text.contains("kinit=0"), "the impostor is at work: {said:?}");
    let attempt = alice.comes_with("impostor's ticket");
    alice.expect("Sorry, try again.");
    alice.answers("alice's ticket");
    alice.expect_inside();
    let cache = realm.the_cache_of(1001);
    assert_eq!(realm.in_the_session(&mut alice), format!("FILE:{cache}"));
    assert_eq!(alice.inside("env | grep KRB5 | grep -v KRB5CCNAME").status, 1);
    alice.leave(&attempt);
    assert!(!realm.exists("/home/alice/trace") && !realm.exists("/home/alice/cc"));
    realm.expect_over(1);
}

#[test]
fn given_an_impostor_on_the_net_the_keytab_keeps_out_whom_he_vouches_for() {
    let realm = Realm::new();
    realm.configure("[authentication]\ntries = 1\n");
    realm.stop_demanding_a_keytab();
    realm.stop_kdc();
    realm.start_impostor("88");
    let mut alice = realm.person("alice");
    let attempt = alice.comes_with("impostor's ticket"); // he does not know this host
    alice.expect_refused(&attempt, 77, "authentication failed");
    realm.expect_refusals(1, "pam=AUTH_ERR");
    realm.syslog_wait(&["pam_krb5", "credential verification failed: Server", "not found"]);
    let profile = "KRB5_KDC_PROFILE=/var/lib/impostor/kdc.conf";
    realm.must(&["env", profile, "kadmin.local", "addprinc", "-randkey", "-kvno", "2", "host/gatehost.example.org"]);
    let attempt = alice.comes_with("impostor's ticket"); // he has not this host's key
    alice.expect_refused(&attempt, 77, "authentication failed");
    realm.expect_refusals(2, "pam=AUTH_ERR");
}

#[test]
fn given_no_key_of_this_host_the_demand_for_one_keeps_everybody_out() {
    let realm = Realm::new();
    realm.configure("[authentication]\ntries = 1\n");
    let mut alice = realm.person("alice");
    let other = "/root/other.keytab";
    realm.must(&["kadmin.local", "addprinc", "-randkey", "HTTP/gatehost.example.org"]);
    realm.must(&["kadmin.local", "ktadd", "-k", other, "HTTP/gatehost.example.org"]);
    let others: [&dyn Fn(); 3] = [
        &|| drop(realm.must(&["kadmin.local", "ktadd", "-k", "/root/newer", "host/gatehost.example.org"])),
        &|| drop(realm.must(&["mv", other, "/etc/krb5.keytab"])),
        &|| realm.remove("/etc/krb5.keytab"),
    ];
    for (count, become_worse) in others.into_iter().enumerate() {
        become_worse(); // the key is an old one, that of another service, none
        let attempt = alice.comes_with("alice's ticket");
        alice.expect_refused(&attempt, 77, "authentication failed");
        realm.expect_refusals(count + 1, "pam=AUTH_ERR");
    }
    realm.stop_kdc();
    realm.start_impostor("88");
    let attempt = alice.comes_with("impostor's ticket");
    alice.expect_refused(&attempt, 77, "authentication failed");
    realm.expect_refusals(4, "pam=AUTH_ERR");
    realm.stop_demanding_a_keytab();
    let attempt = alice.comes_with("impostor's ticket");
    alice.expect_inside();
    alice.leave(&attempt);
    realm.expect_over(1);
}

#[test]
fn given_a_k5login_of_the_persons_own_it_lets_nobody_in_and_keeps_nobody_out() {
    let realm = Realm::new();
    realm.write("/home/alice/.k5login", "bob@EXAMPLE.ORG\n", 0o644);
    realm.must(&["chown", "alice:", "/home/alice/.k5login"]);
    let mut alice = realm.person("alice");
    let attempt = alice.comes_with("bob's ticket");
    alice.expect("Sorry, try again.");
    alice.answers("alice's ticket");
    alice.expect_inside();
    alice.leave(&attempt);
    realm.expect_over(1);
    let search = "[appdefaults]\n    search_k5login = true\n"; // what an administrator may have for other services
    realm.write("/etc/krb5.conf", realm.read("/etc/krb5.conf") + search, 0o644);
    let attempt = alice.comes_with("bob's ticket");
    alice.expect("Sorry, try again.");
    realm.syslog_wait(&["user alice does not match local name bob"]);
    alice.expect("Password: ");
    alice.send("\x03");
    alice.expect_refused(&attempt, 77, "interrupted");
    realm.expect_over(1);
    let service = realm.read("/etc/pam.d/tmux-gate");
    realm.pam_exactly(&service.replace(" ignore_k5login", ""));
    let attempt = alice.comes_with("bob's ticket");
    alice.expect_inside(); // this is what the option is for
    alice.leave(&attempt);
    realm.expect_over(2);
}

#[test]
fn given_no_keytab_the_commands_of_the_manual_stop_before_they_change_the_service() {
    let realm = Realm::as_installed();
    let before = realm.read("/etc/pam.d/tmux-gate");
    realm.remove("/etc/krb5.keytab");
    let followed = realm.run(&["sh", "-euxc", &realm.commands_of("krb5")]);
    assert!(!followed.status.success(), "{followed:?}");
    assert_eq!(realm.read("/etc/pam.d/tmux-gate"), before);
}
