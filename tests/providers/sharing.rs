//! Into somebody else's session where Kerberos, a directory or a one-time code says who people are: each step is asked for as
//! entering the own session is, and groups of the directory decide who may ask and who approves.

use super::directory::Directory;
use super::kerberos::Realm;
use super::otp::{OATH, code};
use super::worked::answer;
use crate::host::{Host, Person};

const REQUEST: &str = "--for 30m --reason 'the disk of db1 is full'";

/// Questions and answers, in their order.
type Dialogue<'a> = &'a [(&'a str, &'a str)];

/// Types a verb, answers, and is back at the prompt with this status.
fn says(person: &mut Person<'_>, line: &str, dialogue: Dialogue<'_>, status: i32) -> String {
    person.attempt(line);
    answer(person, dialogue);
    let said = person.finished();
    assert_eq!(said.status, status, "{line}: {said:?}");
    said.text
}

/// Types a verb, answers, and is in a session.
fn enters(person: &mut Person<'_>, line: &str, dialogue: Dialogue<'_>) {
    person.attempt(line);
    answer(person, dialogue);
    person.expect_inside();
}

/// The id in what `request` says.
fn id(said: &str) -> String {
    let before = said.split_once(": requested;").unwrap_or_else(|| panic!("no id in {said:?}")).0;
    before.lines().last().expect("an id").to_owned()
}

/// What the owner types is seen, and what the guest types is not; he leaves.
fn sees_and_leaves(owner: &mut Person<'_>, guest: &mut Person<'_>, host: &Host) {
    owner.send("echo a line of $((40 + 2))\r");
    guest.expect_screen("a line of 42");
    guest.send("echo typed\rq");
    assert_eq!(guest.status(), 0);
    host.syslog_wait(&["event=left", "how=left"]);
    assert!(!owner.screen().contains("typed"), "{}", owner.screen());
}

#[test]
fn given_kerberos_who_asks_who_approves_and_who_joins_give_their_principals_passwords_and_no_ticket_is_left() {
    let realm = Realm::new();
    let (mut alice, mut outside, mut bob) = (realm.person("alice"), realm.person("alice"), realm.person("bob"));
    let (hers, his) = ([("Password: ", "alice's ticket")], [("Password: ", "bob's ticket")]);
    enters(&mut alice, "tmux-gate attach work", &hers);
    let request = format!("tmux-gate request alice/work {REQUEST}");
    says(&mut bob, &request, &[("Password: ", "bob's secret"); 3], 77);
    let id = id(&says(&mut bob, &request, &his, 0));
    says(&mut outside, &format!("tmux-gate approve {id}"), &[("Password: ", "bob's ticket"); 3], 77);
    says(&mut outside, &format!("tmux-gate approve {id}"), &hers, 0);
    assert_eq!(realm.the_cache_of(1001), realm.caches()[0], "only her session has tickets");
    says(&mut bob, &format!("tmux-gate join {id}"), &[("Password: ", "alice's ticket"); 3], 77);
    enters(&mut bob, &format!("tmux-gate join {id}"), &his);
    sees_and_leaves(&mut alice, &mut bob, &realm);
    realm.wait_until("the end of his tickets", || realm.caches().len() == 1);
    realm.the_cache_of(1001);
    assert!(!bob.transcript().contains("ticket"), "{}", bob.transcript());
}

#[test]
fn given_one_time_codes_each_step_takes_one_of_its_own() {
    let host = OATH.host();
    host.write("/var/lib/tmux-gate/otp/bob.oath", OATH.key.replace("alice", "bob"), 0o600);
    let (mut alice, mut outside, mut bob) = (host.person("alice"), host.person("alice"), host.person("bob"));
    let codes = [code(&host, 0), code(&host, 30)];
    let prompt = |user: &str| OATH.prompt.replace("alice", user);
    let (of_alice, of_bob) = (prompt("alice"), prompt("bob"));
    let hers = |n: usize| [("Password: ", "alice's secret"), (&*of_alice, &*codes[n])];
    let his = |n: usize| [("Password: ", "bob's secret"), (&*of_bob, &*codes[n])];
    enters(&mut alice, "tmux-gate attach work", &hers(0));
    let id = id(&says(&mut bob, &format!("tmux-gate request alice/work {REQUEST}"), &his(0), 0));
    host.configure("[authentication]\ntries = 1\n");
    says(&mut outside, &format!("tmux-gate approve {id}"), &hers(0), 77); // the code that let her in
    says(&mut outside, &format!("tmux-gate approve {id}"), &hers(1), 0);
    says(&mut bob, &format!("tmux-gate join {id}"), &his(0), 77); // the one that he asked with
    enters(&mut bob, &format!("tmux-gate join {id}"), &his(1));
    sees_and_leaves(&mut alice, &mut bob, &host);
}

#[test]
fn given_a_directory_its_groups_decide_who_asks_whom_and_who_approves() {
    let directory = Directory::with_ldap();
    directory.configure("[[share]]\nowners = [\"@crew\"]\nguests = [\"@people\"]\napprovers = [\"@crew\"]\n");
    let (mut lara, mut mona) = (directory.person("lara"), directory.person("mona"));
    let (mut omar, mut anne) = (directory.person("omar"), directory.person("jo.anne"));
    enters(&mut lara, "tmux-gate attach work", &[("Password: ", "lara's secret")]);
    let why = says(&mut omar, "tmux-gate explain lara", &[], 0);
    assert!(why.contains("about lara by \"@crew\" of owners") && why.contains("about omar by \"@people\""), "{why}");
    says(&mut omar, "tmux-gate explain jo.anne", &[], 77);
    let his = [("Password: ", "omar's secret")];
    says(&mut omar, &format!("tmux-gate request jo.anne {REQUEST}"), &his, 77);
    let id = id(&says(&mut omar, &format!("tmux-gate request lara/work {REQUEST}"), &his, 0));
    says(&mut anne, &format!("tmux-gate approve {id}"), &[], 77); // is not of the crew
    assert!(says(&mut mona, "tmux-gate list", &[], 0).contains(&format!("{id}: omar into lara/work")));
    says(&mut mona, &format!("tmux-gate approve {id}"), &[("Password: ", "mona's secret")], 0);
    enters(&mut omar, &format!("tmux-gate join {id}"), &his);
    sees_and_leaves(&mut lara, &mut omar, &directory);

    // The directory changes its mind: lara is of the crew no more, and her sessions are open to nobody.
    directory
        .modify("dn: cn=crew,ou=groups,dc=example,dc=org\nchangetype: modify\ndelete: memberUid\nmemberUid: lara\n");
    says(&mut omar, "tmux-gate explain lara", &[], 77);
    let refused = says(&mut omar, &format!("tmux-gate join {id}"), &[], 77); // before he is asked for a password
    assert!(refused.contains("no rule lets you into that session"), "{refused}");
    directory.stop("nslcd");
    says(&mut omar, "tmux-gate explain lara", &[], 75); // nobody is a stranger because the directory is away
}
