//! `[[share]]`: who may be let into whose session, and by whom. Closed where a key is not written: read-only, an hour, the
//! owner approves.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use super::Entry;
use crate::ident::{Access, Lifetime};

/// One rule, its names as they were written.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Share {
    /// Into whose sessions; `None` is everybody's.
    pub owners: Option<Vec<Entry>>,
    /// Who may ask; `None` is everybody.
    pub guests: Option<Vec<Entry>>,
    /// The most that may be granted.
    #[serde(default = "read_only")]
    pub access: Access,
    /// The longest that may be granted.
    #[serde(default = "an_hour", deserialize_with = "lifetime")]
    pub max_duration: Lifetime,
    /// Who may approve.
    #[serde(default = "the_owner", deserialize_with = "approvers")]
    pub approvers: Vec<ApproverEntry>,
    /// How many of them must.
    #[serde(default = "one", deserialize_with = "approvals")]
    pub approvals: usize,
    /// Where it stands.
    #[serde(skip, default = "written")]
    pub origin: Origin,
}

/// Where a rule stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// In the file.
    Written,
    /// Nowhere: it holds because no `[[share]]` is written.
    BuiltIn,
}

/// An entry of `approvers`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApproverEntry {
    /// `"owner"`.
    Owner,
    /// As in `users`.
    Other(Entry),
}

impl Share {
    /// What holds where no `[[share]]` is written: everybody may ask, the owner approves, for eight hours at most.
    #[must_use]
    pub fn unwritten() -> Self {
        let max_duration = Lifetime::try_from(8 * 3600).unwrap_or_else(|_| an_hour());
        Self {
            owners: None,
            guests: None,
            access: Access::ReadWrite,
            max_duration,
            approvers: the_owner(),
            approvals: one(),
            origin: Origin::BuiltIn,
        }
    }
}

fn written() -> Origin {
    Origin::Written
}

fn read_only() -> Access {
    Access::ReadOnly
}

fn an_hour() -> Lifetime {
    Lifetime::HOUR
}

fn the_owner() -> Vec<ApproverEntry> {
    vec![ApproverEntry::Owner]
}

fn one() -> usize {
    1
}

fn lifetime<'de, D: Deserializer<'de>>(source: D) -> Result<Lifetime, D::Error> {
    Lifetime::parse(&String::deserialize(source)?).map_err(D::Error::custom)
}

fn approvals<'de, D: Deserializer<'de>>(source: D) -> Result<usize, D::Error> {
    let raw = usize::deserialize(source)?;
    if (1..=9).contains(&raw) { Ok(raw) } else { Err(D::Error::custom("not between 1 and 9")) }
}

fn approvers<'de, D: Deserializer<'de>>(source: D) -> Result<Vec<ApproverEntry>, D::Error> {
    let list = Vec::<ApproverEntry>::deserialize(source)?;
    if list.is_empty() { Err(D::Error::custom("nobody could approve; leave the rule out")) } else { Ok(list) }
}

impl<'de> Deserialize<'de> for ApproverEntry {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        let raw = String::deserialize(source)?;
        if raw == "owner" { Ok(Self::Owner) } else { Entry::parse(&raw).map(Self::Other).map_err(D::Error::custom) }
    }
}

impl std::fmt::Display for ApproverEntry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Owner => f.write_str("owner"),
            Self::Other(entry) => entry.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Settings, parse};
    use super::*;
    use std::path::Path;

    fn read(text: &str) -> Settings {
        parse(text, Path::new("c")).unwrap_or_else(|e| panic!("{e}"))
    }

    #[test]
    fn what_is_not_written_is_closed_and_without_any_rule_the_owner_decides() {
        let rule = read("[[share]]\n").shares;
        let [rule] = rule.as_slice() else { panic!("{rule:?}") };
        assert_eq!((rule.access, rule.max_duration.seconds(), rule.approvals), (Access::ReadOnly, 3600, 1));
        assert_eq!(rule.approvers, [ApproverEntry::Owner]);
        assert_eq!((rule.origin, Share::unwritten().origin), (Origin::Written, Origin::BuiltIn));
        assert_eq!(read("").shares, [Share::unwritten()]);
        assert_eq!((Share::unwritten().access, Share::unwritten().max_duration.seconds()), (Access::ReadWrite, 28_800));
        assert!(read("share = []").shares.is_empty(), "an empty list lets nobody in");
    }

    #[test]
    fn rules_stay_in_the_order_of_the_file() {
        let shares =
            read("[[share]]\nowners = [\"@ops\"]\napprovers = [\"owner\", \"@leads\"]\n[[share]]\nguests = []").shares;
        let [first, second] = shares.as_slice() else { panic!("{shares:?}") };
        assert_eq!(first.approvers.iter().map(ToString::to_string).collect::<Vec<_>>(), ["owner", "@leads"]);
        assert_eq!(second.guests, Some(vec![]));
    }
}
