//! LDAP by nslcd: whom the directory vouches for, and whom not. When it is away: ldap_away.rs.

use super::directory::{Directory, NEW, expect_as_in_manual, expect_out};
use super::worked::{answer, expect_unix_sessions, last_refusal};
use crate::host::Host;

const CREW: &str = "[attach]\nusers = [\"@crew\"]\n";

#[test]
fn given_people_of_the_directory_alone_they_pass_with_their_own_password_and_all_their_groups() {
    let directory = Directory::with_ldap();
    let mut lara = directory.person("lara");
    let attempt = lara.attempt("tmux-gate");
    answer(&mut lara, &[("Password: ", "omar's secret"), ("Sorry, try again.\r\nPassword: ", "lara's secret")]);
    lara.expect_inside();
    assert_eq!(lara.inside("id -un").text.trim(), "lara");
    assert_eq!(lara.inside("id -Gn 2>/dev/null | cut -d' ' -f-3").text.trim(), "people tmux-gate crew");
    lara.leave(&attempt);
    directory.syslog_wait(&["event=detached", "user=lara", "uid=20001"]);
    expect_unix_sessions(&directory, "lara", 1);

    let mut mona = directory.person("mona"); // is in 302 groups, and has the two that open the way to the socket
    let attempt = mona.enter("mona");
    assert_eq!(mona.inside("id -G | wc -w").text.trim(), "304");
    mona.leave(&attempt);
    expect_unix_sessions(&directory, "mona", 1);
}

#[test]
fn given_unusual_accounts_of_the_directory_they_pass_as_they_are() {
    let directory = Directory::with_ldap();
    directory.expect_in("jo.anne", "jo.anne's secret");
    let mut bea = directory.person("bea");
    let attempt = bea.enter("bea");
    assert_eq!(bea.inside("id -u").text.trim(), "3000000000");
    bea.leave(&attempt);
    expect_unix_sessions(&directory, "bea", 1);

    let mut sam = directory.person("sam"); // without a login shell
    let attempt = sam.attempt("tmux-gate");
    answer(&mut sam, &[("Password: ", "sam's secret")]);
    sam.expect_screen("[main]");
    assert_eq!(sam.inside("ps -o comm= $$").text.trim(), "sh");
    sam.leave(&attempt);
    expect_unix_sessions(&directory, "sam", 1);

    let mut nina = directory.person("nina"); // with nologin for a shell
    nina.attempt("tmux-gate");
    answer(&mut nina, &[("Password: ", "nina's secret")]);
    nina.expect("[exited]");
    assert_eq!(nina.status(), 0);
    expect_unix_sessions(&directory, "nina", 1);
}

#[test]
fn given_wrong_or_empty_passwords_three_times_the_gate_refuses_and_names_the_code() {
    let directory = Directory::with_ldap();
    let mut lara = directory.person("lara");
    for (wrong, more) in [("omar's secret", "authentication failed"), ("", "authentication failed")] {
        expect_out(&mut lara, &[("Password: ", wrong); 3], 77, more);
        let record = last_refusal(&directory);
        assert!(record.contains("user=lara") && record.contains("pam=AUTH_ERR"), "{record}");
    }
    expect_unix_sessions(&directory, "lara", 0);
    directory.expect_nothing_left();
}

#[test]
fn given_an_account_of_the_host_its_own_password_counts_and_an_entry_of_that_name_does_not() {
    let directory = Directory::with_ldap();
    directory.modify(
        "dn: uid=alice,ou=people,dc=example,dc=org\nchangetype: add\nobjectClass: account\nobjectClass: posixAccount\n\
         uid: alice\ncn: alice\nuidNumber: 1001\ngidNumber: 20000\nhomeDirectory: /home/alice\nuserPassword: of the entry\n",
    );
    directory.modify("dn: cn=crew,ou=groups,dc=example,dc=org\nchangetype: modify\nadd: memberUid\nmemberUid: alice\n");
    assert_eq!(directory.must(&["id", "-Gn", "alice"]), "alice\n", "nslcd is to ask the directory nothing about her");
    let mut alice = directory.person("alice");
    expect_out(&mut alice, &[("Password: ", "of the entry"); 3], 77, "authentication failed");
    let record = last_refusal(&directory);
    assert!(record.contains("user=alice") && record.contains("pam=MAXTRIES"), "{record}"); // pam_unix's
    directory.expect_in("alice", "alice's secret");
    directory.must(&["chage", "-E", "0", "alice"]);
    expect_out(&mut alice, &[("Password: ", "alice's secret")], 77, "account may not be used");
    assert!(last_refusal(&directory).contains("pam=ACCT_EXPIRED"));
    expect_unix_sessions(&directory, "alice", 1);
}

#[test]
fn given_a_password_of_the_host_that_expired_it_is_changed_on_the_host() {
    let directory = Directory::with_ldap();
    directory.must(&["chage", "-d", "0", "alice"]);
    let mut alice = directory.person("alice");
    let attempt = alice.attempt("tmux-gate");
    answer(&mut alice, &[("Password: ", "alice's secret"), ("Current password: ", "alice's secret")]);
    answer(&mut alice, &[("New password: ", NEW), ("Retype new password: ", NEW)]);
    alice.expect_inside();
    alice.leave(&attempt);
    let attempt = alice.attempt("tmux-gate");
    answer(&mut alice, &[("Password: ", NEW)]);
    alice.expect_inside();
    alice.leave(&attempt);
    expect_unix_sessions(&directory, "alice", 2);
}

#[test]
fn given_a_rule_by_a_group_of_the_directory_its_members_pass_and_others_are_not_asked() {
    let directory = Directory::with_ldap();
    directory.configure(CREW);
    directory.expect_in("lara", "lara's secret");
    let mut omar = directory.person("omar");
    expect_out(&mut omar, &[], 77, "omar: not among [attach] users");
    directory.configure("[attach]\nusers = [\"lara\"]\n");
    let mut lara = directory.person("lara");
    let attempt = lara.enter("lara");
    lara.leave(&attempt);
    expect_unix_sessions(&directory, "lara", 2);
    expect_out(&mut omar, &[], 77, "omar: not among [attach] users");
    omar.expect_not("Password: ");

    directory.configure(CREW);
    directory
        .modify("dn: cn=crew,ou=groups,dc=example,dc=org\nchangetype: modify\ndelete: memberUid\nmemberUid: lara\n");
    expect_out(&mut lara, &[], 77, "lara: not among [attach] users");
    expect_unix_sessions(&directory, "lara", 2);
}

#[test]
fn given_a_password_that_has_to_be_changed_it_is_changed_in_the_directory() {
    let directory = Directory::with_ldap();
    for (name, says) in [("rita", "Password must be changed"), ("petra", "Need a new password")] {
        let mut person = directory.person(name);
        let attempt = person.attempt("tmux-gate");
        let old = format!("{name}'s secret");
        answer(&mut person, &[("Password: ", &old)]);
        person.expect(says);
        answer(&mut person, &[("New password: ", NEW), ("Retype new password: ", NEW)]);
        person.expect_inside();
        person.leave(&attempt);
        expect_unix_sessions(&directory, name, 1);
        let attempt = person.attempt("tmux-gate");
        answer(&mut person, &[("Password: ", &old), ("Sorry, try again.\r\nPassword: ", NEW)]);
        person.expect_inside();
        person.leave(&attempt);
        expect_unix_sessions(&directory, name, 2);
        person.expect_not(NEW);
    }
}

#[test]
fn given_a_new_password_that_the_directory_does_not_take_the_gate_refuses() {
    let directory = Directory::with_ldap();
    let mut rita = directory.person("rita");
    let short = [("Password: ", "rita's secret"), ("New password: ", "short"), ("Retype new password: ", "short")];
    let said = expect_out(&mut rita, &short, 77, "rita: the expired password was not changed");
    assert!(said.contains("quality"), "{said}");
    let record = last_refusal(&directory);
    assert!(record.contains("user=rita") && record.contains("pam=PERM_DENIED"), "{record}");
    let other = [("Password: ", "rita's secret"), ("New password: ", NEW), ("Retype new password: ", "another")];
    expect_out(&mut rita, &other, 77, "rita: the expired password was not changed");
    expect_unix_sessions(&directory, "rita", 0);
}

#[test]
fn given_an_account_that_is_locked_or_expired_the_right_password_is_refused() {
    let directory = Directory::with_ldap();
    let mut lou = directory.person("lou");
    expect_out(&mut lou, &[("Password: ", "lou's secret"); 3], 77, "authentication failed");
    assert!(last_refusal(&directory).contains("user=lou"));
    let mut sven = directory.person("sven");
    let said = expect_out(&mut sven, &[("Password: ", "sven's secret")], 77, "sven: the account may not be used");
    assert!(said.contains("Account expired"), "{said}");
    assert!(last_refusal(&directory).contains("pam=ACCT_EXPIRED"));
    expect_unix_sessions(&directory, "lou", 0);
    expect_unix_sessions(&directory, "sven", 0);
}

#[test]
fn given_a_number_of_the_system_in_the_directory_it_does_not_pass() {
    let directory = Directory::with_ldap();
    directory
        .modify("dn: uid=omar,ou=people,dc=example,dc=org\nchangetype: modify\nreplace: uidNumber\nuidNumber: 901\n");
    directory.must(&["chown", "901", "/home/omar"]);
    let mut omar = directory.person("omar");
    expect_out(&mut omar, &[], 77, "authentication failed");
    assert!(last_refusal(&directory).contains("pam=USER_UNKNOWN"));
    expect_unix_sessions(&directory, "omar", 0);
}

#[test]
fn given_the_default_search_after_a_login_a_password_that_has_to_be_changed_is_a_wrong_one() {
    let directory = Directory::with_ldap();
    directory.stop("nslcd");
    directory.must(&["sed", "-i", "/^pam_authc_search/d", "/etc/nslcd.conf"]);
    directory.start_nslcd();
    let mut rita = directory.person("rita");
    expect_out(&mut rita, &[("Password: ", "rita's secret"); 3], 77, "authentication failed");
    expect_unix_sessions(&directory, "rita", 0);
    directory.expect_in("lara", "lara's secret");
}

#[test]
fn given_debians_own_file_people_of_the_directory_and_of_the_host_pass() {
    let directory = Directory::by_nslcd();
    for (name, password) in [("lara", "lara's secret"), ("alice", "alice's secret")] {
        directory.expect_in(name, password);
    }
    directory.configure("[authentication]\ntries = 1\n");
    let mut lara = directory.person("lara");
    expect_out(&mut lara, &[("Password: ", "alice's secret")], 77, "authentication failed");
    let mut sven = directory.person("sven");
    expect_out(&mut sven, &[("Password: ", "sven's secret")], 77, "sven: the account may not be used");
}

#[test]
fn the_settings_of_the_manual_page_are_those_that_were_tried() {
    let host = Host::layered("ldap");
    let own = ["uri", "tls_cacertfile"];
    expect_as_in_manual(&host, "ldap", &["/etc/nsswitch.conf", "/etc/nslcd.conf"], &own);
}
