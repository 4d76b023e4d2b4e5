//! LDAP by sssd, whose memory makes the difference to ldap.rs and ldap_away.rs: here, and away.

use super::directory::{Directory, NEW, expect_as_in_manual, expect_out};
use super::worked::{answer, expect_unix_sessions, last_refusal};
use crate::host::Host;

const NOT_NOW: &str = "cannot authenticate now";
/// So that the directory's silence is noticed sooner.
const FAST: &str = "ldap_opt_timeout = 1\nldap_network_timeout = 1\n";
const CREW: &str = "[attach]\nusers = [\"@crew\"]\n";

#[test]
fn given_people_of_the_directory_alone_they_pass_with_their_own_password_and_all_their_groups() {
    let directory = Directory::with_sssd("");
    let mut lara = directory.person("lara");
    let attempt = lara.attempt("tmux-gate");
    answer(&mut lara, &[("Password: ", "omar's secret"), ("Sorry, try again.\r\nPassword: ", "lara's secret")]);
    lara.expect_inside();
    assert_eq!(lara.inside("id -un").text.trim(), "lara");
    assert_eq!(lara.inside("id -Gn 2>/dev/null | cut -d' ' -f-3").text.trim(), "people tmux-gate crew");
    lara.leave(&attempt);
    expect_unix_sessions(&directory, "lara", 1);

    let mut mona = directory.person("mona"); // is in 302 groups, and has the two that open the way to the socket
    let attempt = mona.enter("mona");
    assert_eq!(mona.inside("id -G | wc -w").text.trim(), "304");
    mona.leave(&attempt);
    expect_unix_sessions(&directory, "mona", 1);
    directory.expect_in("jo.anne", "jo.anne's secret");
    directory.expect_in("bea", "bea's secret");
}

#[test]
fn given_wrong_passwords_and_accounts_that_are_locked_or_expired_the_gate_refuses_and_names_the_code() {
    let directory = Directory::with_sssd("");
    let refused = "authentication failed";
    for (name, word, count, text, code) in [
        ("lara", "omar's secret", 3, refused, "AUTH_ERR"),
        ("lara", "", 3, refused, "AUTH_ERR"),
        ("lou", "lou's secret", 3, refused, "AUTH_ERR"),
        ("sven", "sven's secret", 1, "sven: the account may not be used", "ACCT_EXPIRED"),
    ] {
        let mut person = directory.person(name);
        expect_out(&mut person, &vec![("Password: ", word); count], 77, text);
        let record = last_refusal(&directory);
        assert!(record.contains(&format!("user={name}")) && record.contains(&format!("pam={code}")), "{record}");
        expect_unix_sessions(&directory, name, 0);
    }
    directory.expect_nothing_left();
}

#[test]
fn given_an_account_of_the_host_its_own_password_counts_with_or_without_a_directory() {
    let directory = Directory::with_sssd("");
    directory.modify(
        "dn: uid=alice,ou=people,dc=example,dc=org\nchangetype: add\nobjectClass: account\nobjectClass: posixAccount\n\
         uid: alice\ncn: alice\nuidNumber: 1001\ngidNumber: 20000\nhomeDirectory: /home/alice\nuserPassword: of the entry\n",
    );
    let mut alice = directory.person("alice");
    expect_out(&mut alice, &[("Password: ", "of the entry"); 3], 77, "authentication failed");
    for daemon in ["slapd", "sssd"] {
        directory.stop(daemon);
        let attempt = alice.enter("alice");
        alice.leave(&attempt);
    }
    expect_unix_sessions(&directory, "alice", 2);
}

#[test]
fn given_a_rule_by_a_group_of_the_directory_who_was_taken_out_of_it_does_not_pass() {
    let directory = Directory::with_sssd("");
    directory.configure(CREW);
    directory.expect_in("mona", "mona's secret");
    let mut omar = directory.person("omar");
    expect_out(&mut omar, &[], 77, "omar: not among [attach] users");
    omar.expect_not("Password: ");
    let mut lara = directory.person("lara");
    let member = "dn: cn=crew,ou=groups,dc=example,dc=org\nchangetype: modify\ndelete: memberUid\nmemberUid: lara\n";
    directory.modify(member);
    assert!(directory.must(&["id", "-Gn", "lara"]).contains("crew"), "sssd remembers");
    expect_out(&mut lara, &[("Password: ", "lara's secret")], 77, "lara: not among [attach] users");
    expect_unix_sessions(&directory, "lara", 0);
    directory.configure("[attach]\nusers = [\"lara\"]\n");
    let attempt = lara.enter("lara");
    lara.leave(&attempt);
    expect_unix_sessions(&directory, "lara", 1);
}

#[test]
fn given_a_password_that_has_to_be_changed_it_is_changed_in_the_directory() {
    let directory = Directory::with_sssd("");
    let mut rita = directory.person("rita");
    let old = "rita's secret";
    let changing = |new| {
        let again = ("Current Password: ", old);
        [("Password: ", old), again, ("New Password: ", new), ("Reenter new Password: ", new)]
    };
    let said = expect_out(&mut rita, &changing("short"), 77, "rita: the expired password was not changed");
    assert!(said.contains("quality"), "{said}");
    let wrong = [("Password: ", old), ("Current Password: ", NEW)];
    expect_out(&mut rita, &wrong, 77, "rita: the expired password was not changed");
    expect_unix_sessions(&directory, "rita", 0);
    let attempt = rita.attempt("tmux-gate");
    answer(&mut rita, &changing(NEW));
    rita.expect_inside();
    rita.leave(&attempt);
    let attempt = rita.attempt("tmux-gate");
    answer(&mut rita, &[("Password: ", old), ("Sorry, try again.\r\nPassword: ", NEW)]);
    rita.expect_inside();
    rita.leave(&attempt);
    expect_unix_sessions(&directory, "rita", 2);
    rita.expect_not(NEW);
}

/// What can be away, and how it goes.
type Way = (&'static str, fn(&Directory));

const WAYS: [Way; 3] = [
    ("slapd stopped", |directory| directory.stop("slapd")),
    ("slapd silent", |directory| directory.silence("slapd")),
    ("sssd stopped", |directory| directory.stop("sssd")),
];

#[test]
fn given_a_directory_that_is_away_or_goes_away_at_the_prompt_it_is_no_wrong_password() {
    for (way, begin) in WAYS {
        let directory = Directory::with_sssd(FAST);
        let mut lara = directory.person("lara");
        let attempt = lara.attempt("tmux-gate");
        lara.expect("Password: ");
        begin(&directory);
        lara.send("lara's secret\r");
        let said = lara.expect_refused(&attempt, 75, NOT_NOW);
        assert!(!said.contains("Sorry"), "{way}: {said}");
        expect_out(&mut lara, &[("Password: ", "lara's secret")], 75, NOT_NOW); // sssd remembers that she is there
        assert!(last_refusal(&directory).contains("pam=AUTHINFO_UNAVAIL"), "{way}");
        expect_unix_sessions(&directory, "lara", 0);
    }
}

#[test]
fn given_a_directory_that_goes_away_inside_the_session_goes_on_and_is_closed() {
    for (_, begin) in WAYS {
        let directory = Directory::with_sssd(FAST);
        let mut lara = directory.person("lara");
        let attempt = lara.enter("lara");
        begin(&directory);
        assert_eq!(lara.inside("echo still").text.trim(), "still");
        lara.leave(&attempt);
        expect_unix_sessions(&directory, "lara", 1);
    }
}

#[test]
fn given_no_sssd_and_none_of_its_memory_the_users_database_does_not_answer() {
    let directory = Directory::with_sssd("");
    directory.configure(CREW);
    let (mut lara, mut alice) = (directory.person("lara"), directory.person("alice"));
    directory.stop("sssd");
    for file in ["passwd", "group", "initgroups"] {
        directory.remove(&format!("/var/lib/sss/mc/{file}"));
    }
    for person in [&mut lara, &mut alice] {
        expect_out(person, &[], 75, "the users database does not answer");
    }
    directory.expect_all_closed();
}

#[test]
fn given_a_directory_that_is_away_who_was_never_seen_is_unknown_and_so_is_a_group() {
    let directory = Directory::with_sssd(FAST);
    directory.must(&["getent", "passwd", "20002"]); // omar, without his groups
    directory.stop("slapd");
    directory.configure("[attach]\nusers = [\"@many30001\"]\n");
    let mut omar = directory.person("omar");
    expect_out(&mut omar, &[], 77, "omar: not among [attach] users");
    let mut unseen = directory.spawn("20003", &["/usr/bin/tmux-gate"]).on_terminal();
    assert_eq!(unseen.exit_status(), 77);
    unseen.expect("uid 20003: not in the users database");
    directory.expect_all_closed();
}

#[test]
fn given_cached_credentials_the_last_password_counts_while_the_directory_is_away() {
    let directory = Directory::with_sssd("cache_credentials = true\n");
    let (mut lara, mut omar) = (directory.person("lara"), directory.person("omar"));
    let attempt = lara.enter("lara");
    lara.leave(&attempt);
    directory.stop("slapd");
    let attempt = lara.attempt("tmux-gate");
    answer(&mut lara, &[("Password: ", "omar's secret"), ("Sorry, try again.\r\nPassword: ", "lara's secret")]);
    lara.expect_inside();
    lara.leave(&attempt);
    expect_unix_sessions(&directory, "lara", 2);
    expect_out(&mut omar, &[("Password: ", "omar's secret")], 77, "authentication failed");
    assert!(last_refusal(&directory).contains("pam=PERM_DENIED"));
    expect_unix_sessions(&directory, "omar", 0);
}

#[test]
fn given_somebody_in_the_place_of_the_directory_he_lets_nobody_in() {
    for impostor in ["s/server.pem/impostor.pem/", "/^TLS/d"] {
        let directory = Directory::with_sssd("");
        let mut lara = directory.person("lara");
        for daemon in ["sssd", "slapd"] {
            directory.stop(daemon);
        }
        directory.must(&["sed", "-i", impostor, "/etc/ldap/slapd.conf"]);
        directory.start_slapd();
        directory.start_sssd(); // which remembers lara
        assert!(!directory.run(&["id", "omar"]).status.success(), "{impostor}: believed");
        expect_out(&mut lara, &[("Password: ", "lara's secret")], 75, NOT_NOW);
        expect_unix_sessions(&directory, "lara", 0);
    }
}

#[test]
fn given_debians_own_file_a_directory_that_is_away_is_a_no() {
    let directory = Directory::with_sssd("");
    directory.must(&["cp", "/usr/share/tmux-gate/defaults/pam", "/etc/pam.d/tmux-gate"]);
    directory.configure("[authentication]\ntries = 1\n");
    directory.expect_in("lara", "lara's secret");
    directory.expect_in("alice", "alice's secret");
    let mut lara = directory.person("lara");
    directory.stop("slapd");
    expect_out(&mut lara, &[("Password: ", "lara's secret")], 77, "authentication failed");
    assert!(last_refusal(&directory).contains("pam=AUTH_ERR"));
    expect_unix_sessions(&directory, "lara", 1);
}

#[test]
fn the_settings_of_the_manual_page_are_those_that_were_tried() {
    let host = Host::layered("sssd");
    expect_as_in_manual(&host, "ldap-sssd", &["/etc/sssd/sssd.conf"], &["ldap_uri", "ldap_tls_cacert"]);
}
