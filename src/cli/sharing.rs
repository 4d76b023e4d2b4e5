//! The verbs between people: whom, which session, how long, why. Never: who may.

use super::{Command, Error, Output};
use crate::ident::{Access, GrantId, Lifetime, Name, Reason, SessionName, Visible};

/// `OWNER[/SESSION]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Whose.
    pub owner: Name,
    /// Which; all, or the last used one, if none is named.
    pub session: Option<SessionName>,
}

/// What `join` was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// By a grant's id.
    Grant(GrantId),
    /// By owner and session.
    Place(Place),
}

/// Does a code that is told by another road belong to it?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sealing {
    /// Yes.
    WithCode,
    /// No.
    Plain,
}

/// `request` and `invite`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// How long.
    pub lifetime: Lifetime,
    /// Why.
    pub reason: Reason,
    /// How much.
    pub access: Access,
    /// With a code?
    pub sealing: Sealing,
}

/// How long does a request keep whoever asks?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// It does not.
    None,
    /// Until it is decided.
    ToKnow,
    /// Until it is approved, and he is in.
    ToJoin,
}

/// What an approval or a change narrows or raises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Adjustment {
    /// Another duration.
    pub lifetime: Option<Lifetime>,
    /// Another access.
    pub access: Option<Access>,
}

/// Whom `revoke` ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// One grant or request.
    Grant(GrantId),
    /// Everything of this guest's.
    User(Name),
}

impl Place {
    fn parse(raw: &str) -> Result<Self, Error> {
        let (owner, session) = match raw.split_once('/') {
            Some((owner, session)) => (owner, Some(SessionName::parse(session)?)),
            None => (raw, None),
        };
        Ok(Self { owner: Name::parse(owner.as_bytes())?, session })
    }
}

/// Words of `request` and `invite` as clap gives them.
#[derive(Debug, clap::Args)]
pub struct WishArguments {
    /// How long it is to last, like 30m or 1h30m; the clock starts at the approval
    #[arg(long = "for", value_name = "TIME")]
    lifetime: String,
    /// Why, in 10 to 500 characters; whoever approves reads it, and the record has it
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// To type into the session, which is all that its owner can do [default: to see it]
    #[arg(long)]
    read_write: bool,
    /// Bind it to a code of six digits, printed here and told to the other by another road
    #[arg(long)]
    code: bool,
}

impl TryFrom<WishArguments> for Wish {
    type Error = Error;

    fn try_from(raw: WishArguments) -> Result<Self, Error> {
        Ok(Self {
            lifetime: Lifetime::parse(&raw.lifetime)?,
            reason: Reason::parse(&raw.reason)?,
            access: if raw.read_write { Access::ReadWrite } else { Access::ReadOnly },
            sealing: if raw.code { Sealing::WithCode } else { Sealing::Plain },
        })
    }
}

/// Words of `approve` and `change` as clap gives them.
#[derive(Debug, clap::Args)]
pub struct AdjustmentArguments {
    /// Another duration
    #[arg(long = "for", value_name = "TIME")]
    lifetime: Option<String>,
    /// To see it only
    #[arg(long)]
    read_only: bool,
}

impl AdjustmentArguments {
    fn adjustment(&self, read_write: bool) -> Result<Adjustment, Error> {
        let access = match (self.read_only, read_write) {
            (true, _) => Some(Access::ReadOnly),
            (false, true) => Some(Access::ReadWrite),
            (false, false) => None,
        };
        Ok(Adjustment { lifetime: self.lifetime.as_deref().map(Lifetime::parse).transpose()?, access })
    }
}

/// The verbs of this file, as clap parses them.
#[derive(Debug, clap::Subcommand)]
pub enum SharingVerb {
    /// Ask to be let into somebody else's session; its owner, or whom the rules name, decides
    Request {
        /// Whose session, and which; all of them if none is named
        #[arg(value_name = "OWNER[/SESSION]")]
        place: String,
        #[command(flatten)]
        wish: WishArguments,
        /// Wait until somebody has decided
        #[arg(long)]
        wait: bool,
        /// After the approval enter at once
        #[arg(long, requires = "wait")]
        join: bool,
    },
    /// Let somebody into your own session: a request and the owner's approval in one
    Invite {
        /// Whom
        user: String,
        /// Which session; all of them if none is named
        session: Option<String>,
        #[command(flatten)]
        wish: WishArguments,
    },
    /// Approve a request, for as much as was asked or less, after a look at the facts
    Approve {
        /// The grant's id
        id: String,
        #[command(flatten)]
        less: AdjustmentArguments,
    },
    /// Refuse a request
    Deny {
        /// The grant's id
        id: String,
        /// Why, for whoever asked
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// End a grant or a request at once, also one of your own
    Revoke {
        /// The grant's id
        #[arg(required_unless_present = "user", conflicts_with = "user")]
        id: Option<String>,
        /// Everything of this guest's that you may end
        #[arg(long)]
        user: Option<String>,
    },
    /// Give a grant other terms: less at once, more as an approval
    Change {
        /// The grant's id
        id: String,
        #[command(flatten)]
        other: AdjustmentArguments,
        /// To type into the session
        #[arg(long, conflicts_with = "read_only")]
        read_write: bool,
    },
    /// Enter somebody else's session by an approved grant
    Join {
        /// The grant's id, or whose session
        #[arg(value_name = "ID|OWNER[/SESSION]")]
        way: String,
    },
    /// Who is in whose session now
    Who {
        /// Print one JSON document
        #[arg(long)]
        json: bool,
    },
    /// Print a few words about guests and requests, for the status line of tmux
    Status,
}

impl TryFrom<SharingVerb> for Command {
    type Error = Error;

    fn try_from(verb: SharingVerb) -> Result<Self, Error> {
        Ok(match verb {
            SharingVerb::Request { place, wish, wait, join } => {
                let patience = match (wait, join) {
                    (false, _) => Patience::None,
                    (true, false) => Patience::ToKnow,
                    (true, true) => Patience::ToJoin,
                };
                Self::Request(Place::parse(&place)?, wish.try_into()?, patience)
            }
            SharingVerb::Invite { user, session, wish } => {
                let session = session.as_deref().map(SessionName::parse).transpose()?;
                Self::Invite(Name::parse(user.as_bytes())?, session, wish.try_into()?)
            }
            SharingVerb::Approve { id, less } => Self::Approve(GrantId::parse(&id)?, less.adjustment(false)?),
            SharingVerb::Deny { id, reason } => {
                Self::Deny(GrantId::parse(&id)?, reason.as_deref().map(Reason::parse).transpose()?)
            }
            SharingVerb::Revoke { id: Some(id), .. } => Self::Revoke(Target::Grant(GrantId::parse(&id)?)),
            SharingVerb::Revoke { id: None, user } => {
                Self::Revoke(Target::User(Name::parse(user.unwrap_or_default().as_bytes())?))
            }
            SharingVerb::Change { id, other, read_write } => change(&id, other.adjustment(read_write)?)?,
            SharingVerb::Join { way } => Self::Join(match GrantId::parse(&way) {
                Ok(id) => Way::Grant(id),
                Err(_) => Way::Place(Place::parse(&way)?),
            }),
            SharingVerb::Who { json } => Self::Who(if json { Output::Json } else { Output::Text }),
            SharingVerb::Status => Self::Status,
        })
    }
}

fn change(id: &str, adjustment: Adjustment) -> Result<Command, Error> {
    if adjustment == Adjustment::default() {
        let text = "change: into what? give --for, --read-only or --read-write";
        return Err(Error::Usage(Visible::line(text.as_bytes())));
    }
    Ok(Command::Change(GrantId::parse(id)?, adjustment))
}

#[cfg(test)]
mod tests {
    use super::super::{Asked, parse};
    use super::*;
    use std::ffi::OsString;

    fn ask(line: &str) -> Result<Command, Error> {
        let words: Vec<OsString> = shlex::split(line).expect("words").iter().map(OsString::from).collect();
        match parse(&words, None)? {
            Asked::Run(command) => Ok(command),
            Asked::Show(text) => panic!("{text}"),
        }
    }

    #[test]
    fn a_request_names_whose_session_how_long_and_why() {
        let Ok(Command::Request(place, wish, Patience::None)) =
            ask("x request alice/work --for 30m --reason 'the disk is full'")
        else {
            panic!("no request")
        };
        assert_eq!((place.owner.as_str(), place.session.map(|s| s.to_string())), ("alice", Some("work".to_owned())));
        assert_eq!((wish.lifetime.seconds(), wish.access, wish.sealing), (1800, Access::ReadOnly, Sealing::Plain));
        for bad in [
            "x request alice --for 30m",
            "x request alice --reason 'the disk is full'",
            "x request alice --for 0s --reason 'the disk is full'",
            "x request alice --for 30m --reason short",
            "x request alice/ --for 30m --reason 'the disk is full'",
            "x request alice/=w --for 30m --reason 'the disk is full'",
            "x request ../x --for 30m --reason 'the disk is full'",
            "x request alice --for 30m --reason 'the disk is full' --join",
        ] {
            assert!(ask(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_looks_like_an_id_is_one_and_the_rest_is_a_place() {
        assert!(matches!(ask("x join k7q2mx"), Ok(Command::Join(Way::Grant(_)))));
        assert!(matches!(ask("x join alice"), Ok(Command::Join(Way::Place(_)))));
        assert!(matches!(ask("x join k7q2mx/work"), Ok(Command::Join(Way::Place(_)))));
    }

    #[test]
    fn revoke_ends_one_grant_or_all_of_a_person_and_change_says_into_what() {
        assert!(matches!(ask("x revoke --user bob"), Ok(Command::Revoke(Target::User(_)))));
        assert!(matches!(ask("x revoke k7q2mx"), Ok(Command::Revoke(Target::Grant(_)))));
        for bad in
            ["x revoke", "x revoke k7q2mx --user bob", "x change k7q2mx", "x change k7q2mx --read-only --read-write"]
        {
            assert!(matches!(ask(bad), Err(Error::Usage(_))), "{bad}");
        }
        let Ok(Command::Change(_, into)) = ask("x change k7q2mx --for 1h") else { panic!("no change") };
        assert_eq!(into, Adjustment { lifetime: Some(Lifetime::HOUR), access: None });
    }
}
