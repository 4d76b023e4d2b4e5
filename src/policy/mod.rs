//! May this happen? Pure functions over plain values.
//! Never: files, a clock, the users database, a `_` arm where access is decided.

mod share;

pub use share::{
    Approver, By, Match, Pair, People, Refusal, ShareRule, Terms, about_owner, is_approver, match_for, may_approve,
    may_request, may_request_own, may_revoke, rule_for, still_gives,
};

use crate::ident::Uid;

/// Somebody whom a rule names, as ids: names were looked up before, and decide nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// One user.
    User(Uid),
    /// Everybody who has this group, by gid.
    Group(u32),
    /// A name that the users database does not know: nobody.
    Nobody,
}

/// The person who asks, as the users database knows him now (never the groups of his process).
#[derive(Debug, Clone)]
pub struct Person {
    /// The real uid of the process that called.
    pub uid: Uid,
    /// All groups of the users database, the primary one included.
    pub gids: Vec<u32>,
}

/// Who may pass at all.
#[derive(Debug, Clone)]
pub enum AttachRule {
    /// No rule was written: everybody whom PAM lets in.
    Everybody,
    /// `[attach] users`, in the order of the file.
    Only(Vec<Who>),
}

/// The verdict, with the rule that decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Allowed because no rule restricts it.
    AllowedToAll,
    /// Allowed by the entry at this place (0 is the first) of `[attach] users`.
    AllowedBy(usize),
    /// No entry of `[attach] users` fits.
    Refused,
}

/// May this person attach to the own session?
#[must_use]
pub fn may_attach(rule: &AttachRule, person: &Person) -> Decision {
    match rule {
        AttachRule::Everybody => Decision::AllowedToAll,
        AttachRule::Only(entries) => {
            entries.iter().position(|who| fits(*who, person)).map_or(Decision::Refused, Decision::AllowedBy)
        }
    }
}

/// Does somebody need an open grant for the own session?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Yes: the entry at this place (0 is the first) of `[attach] grant_required` fits.
    Grant(usize),
    /// No entry fits.
    Nothing,
}

/// Does this person need one? Nobody is excepted, not even root.
#[must_use]
pub fn needs_grant(entries: &[Who], person: &Person) -> Need {
    entries.iter().position(|who| fits(*who, person)).map_or(Need::Nothing, Need::Grant)
}

fn fits(who: Who, person: &Person) -> bool {
    match who {
        Who::User(uid) => uid == person.uid,
        Who::Group(gid) => person.gids.contains(&gid),
        Who::Nobody => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(uid: u32, gids: &[u32]) -> Person {
        Person { uid: Uid::new(uid).unwrap_or(Uid::ROOT), gids: gids.to_vec() }
    }

    #[test]
    fn without_a_rule_everybody_may() {
        assert_eq!(may_attach(&AttachRule::Everybody, &person(1001, &[])), Decision::AllowedToAll);
    }

    #[test]
    fn the_first_entry_that_fits_is_named_and_none_refuses() {
        let alice = Who::User(Uid::parse("1001").unwrap_or(Uid::ROOT));
        let rule = AttachRule::Only(vec![Who::Nobody, alice, Who::Group(50)]);
        assert_eq!(may_attach(&rule, &person(1001, &[50])), Decision::AllowedBy(1));
        assert_eq!(may_attach(&rule, &person(1002, &[7, 50])), Decision::AllowedBy(2));
        assert_eq!(may_attach(&rule, &person(1002, &[7])), Decision::Refused);
    }

    #[test]
    fn an_empty_list_and_unknown_names_let_nobody_in_not_even_root() {
        assert_eq!(may_attach(&AttachRule::Only(vec![]), &person(0, &[0])), Decision::Refused);
        assert_eq!(may_attach(&AttachRule::Only(vec![Who::Nobody]), &person(0, &[0])), Decision::Refused);
    }

    #[test]
    fn who_is_listed_needs_a_grant_by_uid_or_group_and_root_like_everybody() {
        let rule = [Who::Nobody, Who::Group(60), Who::User(Uid::ROOT)];
        assert_eq!(needs_grant(&rule, &person(1001, &[1001, 60])), Need::Grant(1));
        assert_eq!(needs_grant(&rule, &person(0, &[0])), Need::Grant(2));
        assert_eq!(needs_grant(&rule, &person(1001, &[1001])), Need::Nothing);
        assert_eq!(needs_grant(&rule[..2], &person(0, &[0])), Need::Nothing, "root is none of them");
        assert_eq!(needs_grant(&[], &person(1001, &[60])), Need::Nothing);
    }
}
