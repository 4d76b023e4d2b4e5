//! May this person have a part in that person's session? Judged at the request, at each approval, at the join, and again
//! whenever the configuration changes.
//! Never: a requester who approves, on whatever road; more than the rule gives; a grant without an end.

use super::{Person, Who, fits};
use crate::ident::{Access, Lifetime, Uid};

/// One `[[share]]` of the configuration, its names looked up.
#[derive(Debug, Clone)]
pub struct ShareRule {
    /// Into whose sessions.
    pub owners: People,
    /// Who may ask.
    pub guests: People,
    /// The most that may be granted.
    pub access: Access,
    /// The longest that may be granted.
    pub longest: Lifetime,
    /// Who may approve.
    pub approvers: Vec<Approver>,
    /// How many of them must, at least 1.
    pub approvals: usize,
}

/// Whom one side of a rule is about.
#[derive(Debug, Clone)]
pub enum People {
    /// The key was not written.
    Everybody,
    /// These; none, if the list is empty.
    Of(Vec<Who>),
}

/// An entry of `approvers`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Approver {
    /// `"owner"`: the owner of the session.
    Owner,
    /// Somebody else.
    Other(Who),
}

/// How much, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// To see or to type.
    pub access: Access,
    /// From the approval on.
    pub lifetime: Lifetime,
}

/// Why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No `[[share]]` is about these two.
    #[error("no rule lets you into that session; ask your administrator (tmux-gate explain)")]
    NoRule,
    /// More access than the rule gives.
    #[error("the rule gives {0} at most; ask for that")]
    TooMuch(Access),
    /// Longer than the rule gives.
    #[error("the rule gives {0} at most; ask for that")]
    TooLong(Lifetime),
    /// The requester, by his uid or behind another one.
    #[error("whoever asked does not approve; somebody else has to")]
    Self_,
    /// For the own session there must be somebody else.
    #[error("the rule about you names nobody else who could approve it; ask your administrator (tmux-gate explain)")]
    NoOther,
    /// The own session cannot be opened for seeing only.
    #[error("the rule about you gives read-only, and the own session takes read-write; ask your administrator")]
    OnlyToSee,
    /// Not among the rule's approvers.
    #[error("you are none of its approvers; ask one of them")]
    NotApprover,
}

/// By what one side of a rule is about somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// The key was not written: it is about everybody.
    Everybody,
    /// The entry at this place (0 is the first); the first that fits.
    Entry(usize),
}

/// Which rule decides about two people, and why it is about them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Match {
    /// Its place: 0 is the first.
    pub place: usize,
    /// Why it is about the owner.
    pub owner: By,
    /// Why it is about the guest.
    pub guest: By,
}

/// The first rule that is about these two, and why.
#[must_use]
pub fn match_for(rules: &[ShareRule], owner: &Person, guest: &Person) -> Option<Match> {
    rules.iter().enumerate().find_map(|(place, rule)| {
        Some(Match { place, owner: among(&rule.owners, owner)?, guest: among(&rule.guests, guest)? })
    })
}

/// The first rule that is about these two, by its place (0 is the first).
#[must_use]
pub fn rule_for(rules: &[ShareRule], owner: &Person, guest: &Person) -> Option<usize> {
    match_for(rules, owner, guest).map(|found| found.place)
}

/// Every rule that is about this person as an owner, by its place, and why.
#[must_use]
pub fn about_owner(rules: &[ShareRule], owner: &Person) -> Vec<(usize, By)> {
    let about = |(place, rule): (usize, &ShareRule)| Some((place, among(&rule.owners, owner)?));
    rules.iter().enumerate().filter_map(about).collect()
}

/// May the guest ask the owner for this?
///
/// # Errors
/// [`Refusal`].
pub fn may_request(rules: &[ShareRule], owner: &Person, guest: &Person, wanted: Terms) -> Result<usize, Refusal> {
    let place = rule_for(rules, owner, guest).ok_or(Refusal::NoRule)?;
    let rule = rules.get(place).ok_or(Refusal::NoRule)?;
    within(rule, wanted).map(|()| place)
}

/// May this person ask for the own session? It is read-write: only to see what is one's own makes no sense.
///
/// # Errors
/// [`Refusal`].
pub fn may_request_own(rules: &[ShareRule], person: &Person, lifetime: Lifetime) -> Result<usize, Refusal> {
    let wanted = Terms { access: Access::ReadWrite, lifetime };
    let place = match may_request(rules, person, person, wanted) {
        Err(Refusal::TooMuch(_)) => return Err(Refusal::OnlyToSee),
        judged => judged?,
    };
    let rule = rules.get(place).ok_or(Refusal::NoRule)?;
    let another = |entry: &Approver| match entry {
        Approver::Owner => false,
        Approver::Other(Who::User(uid)) => *uid != person.uid,
        Approver::Other(Who::Group(_)) => true,
        Approver::Other(Who::Nobody) => false,
    };
    if rule.approvers.iter().any(another) { Ok(place) } else { Err(Refusal::NoOther) }
}

fn within(rule: &ShareRule, wanted: Terms) -> Result<(), Refusal> {
    if wanted.access > rule.access {
        return Err(Refusal::TooMuch(rule.access));
    }
    if wanted.lifetime > rule.longest {
        return Err(Refusal::TooLong(rule.longest));
    }
    Ok(())
}

/// May this person approve what the guest asked? `behind` are the uids that stand behind the process that approves: of its
/// login, and of the processes that it came from. With sudo a requester is root, and still behind it.
///
/// # Errors
/// [`Refusal`].
pub fn may_approve(
    rule: &ShareRule,
    pair: &Pair<'_>,
    approver: &Person,
    behind: &[Uid],
    given: Terms,
) -> Result<Approver, Refusal> {
    let guest = pair.guest.uid;
    if approver.uid == guest || behind.contains(&guest) {
        return Err(Refusal::Self_);
    }
    within(rule, given)?;
    let is = |entry: &&Approver| match entry {
        Approver::Owner => approver.uid == pair.owner.uid,
        Approver::Other(who) => fits(*who, approver),
    };
    rule.approvers.iter().find(is).copied().ok_or(Refusal::NotApprover)
}

/// The two that a grant is about.
#[derive(Debug, Clone, Copy)]
pub struct Pair<'a> {
    /// Whose session.
    pub owner: &'a Person,
    /// Who wants in.
    pub guest: &'a Person,
}

/// May this person end a request or a grant? Taking access away takes no rule but a part in it.
#[must_use]
pub fn may_revoke(rule: Option<&ShareRule>, owner: Uid, guest: Uid, person: &Person) -> bool {
    let uid = person.uid;
    if uid == owner || uid == guest || uid == Uid::ROOT {
        return true;
    }
    rule.is_some_and(|rule| is_approver(rule, person))
}

/// Is this person among the rule's approvers by another entry than `"owner"`?
#[must_use]
pub fn is_approver(rule: &ShareRule, person: &Person) -> bool {
    rule.approvers.iter().any(|entry| match entry {
        Approver::Owner => false,
        Approver::Other(who) => fits(*who, person),
    })
}

/// What a grant that was approved gives under the rule of now: never more than was granted, nothing where too few approved.
///
/// # Errors
/// [`Refusal`]: the guest may not be in.
pub fn still_gives(rule: &ShareRule, granted: Terms, approvals: usize) -> Result<Terms, Refusal> {
    if approvals < rule.approvals {
        return Err(Refusal::NotApprover);
    }
    Ok(Terms { access: granted.access.min(rule.access), lifetime: granted.lifetime.min(rule.longest) })
}

fn among(people: &People, person: &Person) -> Option<By> {
    match people {
        People::Everybody => Some(By::Everybody),
        People::Of(list) => list.iter().position(|who| fits(*who, person)).map(By::Entry),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: u32 = 1001;
    const BOB: u32 = 1002;
    const CAROL: u32 = 1003;
    const LEADS: u32 = 70;

    fn person(uid: u32) -> Person {
        let gids = if uid == CAROL { vec![uid, LEADS] } else { vec![uid] };
        Person { uid: Uid::new(uid).unwrap_or(Uid::ROOT), gids }
    }

    fn terms(access: Access, seconds: u64) -> Terms {
        Terms { access, lifetime: Lifetime::try_from(seconds).expect("a lifetime") }
    }

    fn rule(guests: People, access: Access, seconds: u64) -> ShareRule {
        let approvers = vec![Approver::Owner, Approver::Other(Who::Group(LEADS))];
        let longest = Lifetime::try_from(seconds).expect("a lifetime");
        ShareRule { owners: People::Everybody, guests, access, longest, approvers, approvals: 1 }
    }

    #[test]
    fn the_first_rule_that_is_about_both_decides_and_none_refuses() {
        let bob_only = People::Of(vec![Who::User(person(BOB).uid)]);
        let rules = [rule(bob_only, Access::ReadOnly, 60), rule(People::Everybody, Access::ReadWrite, 600)];
        let ask = |guest, access, seconds| may_request(&rules, &person(ALICE), &person(guest), terms(access, seconds));
        assert_eq!(ask(BOB, Access::ReadOnly, 60), Ok(0));
        assert_eq!(ask(BOB, Access::ReadWrite, 60), Err(Refusal::TooMuch(Access::ReadOnly)));
        assert_eq!(ask(CAROL, Access::ReadWrite, 600), Ok(1));
        assert!(matches!(ask(CAROL, Access::ReadWrite, 601), Err(Refusal::TooLong(_))));
        let wanted = terms(Access::ReadOnly, 1);
        assert_eq!(may_request(&[], &person(ALICE), &person(BOB), wanted), Err(Refusal::NoRule));
        let nobody = [
            rule(People::Of(vec![]), Access::ReadWrite, 60),
            rule(People::Of(vec![Who::Nobody]), Access::ReadWrite, 60),
        ];
        assert_eq!(may_request(&nobody, &person(ALICE), &person(BOB), wanted), Err(Refusal::NoRule));
    }

    #[test]
    fn why_a_rule_is_about_somebody_is_the_first_entry_that_fits() {
        let of = |uids: &[u32]| People::Of(uids.iter().map(|uid| Who::User(person(*uid).uid)).collect());
        let first = ShareRule { owners: of(&[BOB]), ..rule(People::Everybody, Access::ReadOnly, 60) };
        let leads = People::Of(vec![Who::Nobody, Who::Group(LEADS), Who::User(person(CAROL).uid)]);
        let second = ShareRule { owners: of(&[CAROL, ALICE, ALICE]), ..rule(leads, Access::ReadOnly, 60) };
        let rules = [first, second];
        let why = |owner, guest| match_for(&rules, &person(owner), &person(guest));
        assert_eq!(why(ALICE, CAROL), Some(Match { place: 1, owner: By::Entry(1), guest: By::Entry(1) }));
        assert_eq!(why(BOB, ALICE), Some(Match { place: 0, owner: By::Entry(0), guest: By::Everybody }));
        assert_eq!(why(ALICE, BOB), None);
        assert_eq!(about_owner(&rules, &person(ALICE)), [(1, By::Entry(1))]);
        assert_eq!(about_owner(&rules, &person(BOB)), [(0, By::Entry(0))]);
        assert_eq!(about_owner(&rules[..1], &person(ALICE)), []);
    }

    #[test]
    fn a_requester_never_approves_not_behind_sudo_and_not_as_an_approver_of_the_rule() {
        let rule = rule(People::Everybody, Access::ReadWrite, 600);
        let approve = |guest: u32, approver: u32, behind: &[u32]| {
            let (owner, guest) = (person(ALICE), person(guest));
            let behind: Vec<Uid> = behind.iter().map(|uid| person(*uid).uid).collect();
            let pair = Pair { owner: &owner, guest: &guest };
            may_approve(&rule, &pair, &person(approver), &behind, terms(Access::ReadOnly, 60))
        };
        assert_eq!(approve(BOB, ALICE, &[ALICE, 0]), Ok(Approver::Owner));
        assert_eq!(approve(BOB, CAROL, &[CAROL]), Ok(Approver::Other(Who::Group(LEADS))));
        assert_eq!(approve(BOB, BOB, &[]), Err(Refusal::Self_));
        assert_eq!(approve(CAROL, CAROL, &[]), Err(Refusal::Self_), "an approver for others is none for herself");
        assert_eq!(approve(BOB, 0, &[0, BOB]), Err(Refusal::Self_), "bob by sudo");
        assert_eq!(approve(BOB, ALICE, &[BOB]), Err(Refusal::Self_), "alice from a shell of bob's");
        assert_eq!(approve(BOB, 0, &[0]), Err(Refusal::NotApprover), "root is no approver unless the rule says so");
        assert_eq!(approve(ALICE, ALICE, &[]), Err(Refusal::Self_), "not for the own session either");
    }

    #[test]
    fn an_approver_gives_no_more_than_the_rule() {
        let rule = rule(People::Everybody, Access::ReadOnly, 60);
        let (owner, guest) = (person(ALICE), person(BOB));
        let pair = Pair { owner: &owner, guest: &guest };
        let approve = |given| may_approve(&rule, &pair, &owner, &[], given);
        assert_eq!(approve(terms(Access::ReadWrite, 60)), Err(Refusal::TooMuch(Access::ReadOnly)));
        assert!(matches!(approve(terms(Access::ReadOnly, 61)), Err(Refusal::TooLong(_))));
    }

    #[test]
    fn rules_made_stricter_hold_for_what_was_granted_before() {
        let granted = terms(Access::ReadWrite, 600);
        let now = |rule: &ShareRule, approvals| still_gives(rule, granted, approvals);
        assert_eq!(now(&rule(People::Everybody, Access::ReadWrite, 600), 1), Ok(granted));
        assert_eq!(now(&rule(People::Everybody, Access::ReadOnly, 60), 1), Ok(terms(Access::ReadOnly, 60)));
        let two = ShareRule { approvals: 2, ..rule(People::Everybody, Access::ReadWrite, 600) };
        assert_eq!(now(&two, 1), Err(Refusal::NotApprover));
    }

    #[test]
    fn who_has_a_part_in_it_may_end_it_and_nobody_else() {
        let rule = rule(People::Everybody, Access::ReadOnly, 60);
        let may = |uid| may_revoke(Some(&rule), person(ALICE).uid, person(BOB).uid, &person(uid));
        assert!(may(ALICE) && may(BOB) && may(CAROL) && may(0));
        assert!(!may(1004));
        assert!(!may_revoke(None, person(ALICE).uid, person(BOB).uid, &person(CAROL)));
    }

    #[test]
    fn the_own_session_is_asked_for_like_another_and_somebody_else_must_be_able_to_approve_it() {
        let all = rule(People::Everybody, Access::ReadWrite, 600);
        let ask = |rule: &ShareRule, uid, seconds| {
            let lifetime = Lifetime::try_from(seconds).expect("a lifetime");
            may_request_own(std::slice::from_ref(rule), &person(uid), lifetime)
        };
        assert_eq!(ask(&all, ALICE, 600), Ok(0));
        assert!(matches!(ask(&all, ALICE, 601), Err(Refusal::TooLong(_))));
        let others = ShareRule { owners: People::Of(vec![Who::User(person(BOB).uid)]), ..all.clone() };
        assert_eq!(ask(&others, ALICE, 600), Err(Refusal::NoRule), "she is a guest of the rule and no owner");
        assert_eq!(ask(&rule(People::Of(vec![]), Access::ReadWrite, 600), ALICE, 600), Err(Refusal::NoRule));
        assert_eq!(ask(&rule(People::Everybody, Access::ReadOnly, 600), ALICE, 600), Err(Refusal::OnlyToSee));
        for alone in [vec![Approver::Owner], vec![Approver::Owner, Approver::Other(Who::User(person(ALICE).uid))]] {
            let rule = ShareRule { approvers: alone, ..all.clone() };
            assert_eq!(ask(&rule, ALICE, 600), Err(Refusal::NoOther));
        }
    }
}
