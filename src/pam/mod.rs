//! Are they who they say? `Started` -> `Vouched` -> `Opened`: each step consumes the last, and the last closes on drop.
//!
//! MUST: success of every call or nothing; PAM_USER read again after each; the session closed in the process that opened.
//! Never: the terminal (the conversation is a trait), a lock, a retry of what did not ask.

mod conversation;
pub mod service;

use std::os::fd::BorrowedFd;
use std::time::Instant;

use pam_client::{Context, ErrorCode, Flag, Session, SessionToken};

use conversation::Adapter;
pub use conversation::{Conversation, Echo, Secret, Silence};

use crate::ident::Name;
use crate::sys::delay;

/// What PAM calls this program: the file `/etc/pam.d/tmux-gate`.
pub const SERVICE: &str = "tmux-gate";

/// Why PAM did not let the person in, or could not.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// libpam would not start, or not take an item.
    #[error("PAM: cannot start ({0}); run: tmux-gate check")]
    Start(String),
    /// Wrong answers, as often as allowed, or a module that says no without a question.
    #[error("authentication failed; try again, or ask your administrator")]
    Denied(String),
    /// An identity provider does not answer.
    #[error("cannot authenticate now; try again later")]
    Unavailable(String),
    /// The person, or nobody, at the terminal.
    #[error("authentication: {0}")]
    Silence(Silence),
    /// The account may not be used, now or at all. PAM's own words were shown already.
    #[error("the account may not be used; ask your administrator")]
    Account(String),
    /// An expired password was not changed.
    #[error("the expired password was not changed; try again")]
    Password(String),
    /// A module made somebody else of the person (CVE-2015-6563).
    #[error(
        "authentication: a PAM module changed the user to \"{0}\"; ask your administrator to mend /etc/pam.d/tmux-gate"
    )]
    UserChanged(crate::ident::Visible),
    /// Credentials or session were not to be had.
    #[error("the PAM session could not be opened; ask your administrator")]
    Session(String),
}

impl Error {
    /// PAM's code for the record.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Start(code) | Self::Denied(code) | Self::Unavailable(code) => Some(code),
            Self::Account(code) | Self::Password(code) | Self::Session(code) => Some(code),
            Self::Silence(_) | Self::UserChanged(_) => None,
        }
    }
}

/// Who is judged, and where he sits.
pub struct Items<'a> {
    /// PAM_USER and PAM_RUSER: the caller himself.
    pub user: &'a Name,
    /// PAM_TTY; PAM_RHOST is never set, for its only source would be the caller's environment.
    pub tty: &'a str,
    /// Where the end of it all is told.
    pub front: BorrowedFd<'a>,
    /// The time limit.
    pub until: Instant,
}

/// A PAM transaction in which nothing was decided.
pub struct Started {
    context: Context<Adapter>,
    user: Name,
}

/// Authentication and account management said yes.
pub struct Vouched {
    context: Context<Adapter>,
    user: Name,
}

/// Credentials established, session open. Closes both on drop: a forked child must never drop it.
pub struct Opened {
    context: Context<Adapter>,
    user: Name,
    session: Option<SessionToken>,
}

fn name_of(code: ErrorCode) -> String {
    format!("{code:?}")
}

impl Error {
    /// A provider that does not answer says nothing about the person, in whatever call; else the code means `otherwise`.
    fn of(code: ErrorCode, otherwise: fn(String) -> Self) -> Self {
        match code {
            ErrorCode::AUTHINFO_UNAVAIL | ErrorCode::AUTHTOK_LOCK_BUSY => Self::Unavailable(name_of(code)),
            _ => otherwise(name_of(code)),
        }
    }
}

impl Started {
    /// pam_start(3) and the items. [`service::find`] must have said that the service file is there.
    ///
    /// # Errors
    /// [`Error::Start`].
    pub fn new(items: &Items<'_>, conversation: Box<dyn Conversation>) -> Result<Self, Error> {
        let fail = |e: pam_client::Error| Error::Start(name_of(e.code()));
        let adapter = Adapter::new(conversation);
        let mut context = Context::new(SERVICE, Some(items.user.as_str()), adapter).map_err(fail)?;
        context.set_ruser(Some(items.user.as_str())).map_err(fail)?;
        context.set_tty(Some(items.tty)).map_err(fail)?;
        delay::limit(&mut context, items.front, items.until).map_err(fail)?;
        Ok(Self { context, user: items.user.clone() })
    }

    /// pam_authenticate(3), at most `tries` times, pam_acct_mgmt(3) and, for an expired password, pam_chauthtok(3).
    ///
    /// # Errors
    /// Everything but success of all of them.
    pub fn vouch(mut self, tries: u32) -> Result<Vouched, Error> {
        self.authenticate(tries)?;
        self.same_user()?;
        self.account()?;
        Ok(Vouched { context: self.context, user: self.user })
    }

    fn authenticate(&mut self, tries: u32) -> Result<(), Error> {
        let mut left = tries;
        loop {
            let verdict = self.context.authenticate(Flag::DISALLOW_NULL_AUTHTOK);
            self.answered()?;
            let Err(error) = verdict else { return Ok(()) };
            let adapter = self.context.conversation_mut();
            left = left.saturating_sub(1);
            match error.code() {
                ErrorCode::AUTH_ERR | ErrorCode::USER_UNKNOWN if left > 0 && adapter.take_asked() => {
                    adapter.conversation.say(b"Sorry, try again.");
                }
                code => return Err(Error::of(code, Error::Denied)),
            }
        }
    }

    fn account(&mut self) -> Result<(), Error> {
        let verdict = self.context.acct_mgmt(Flag::DISALLOW_NULL_AUTHTOK);
        self.same_user()?;
        self.answered()?;
        let Err(error) = verdict else { return Ok(()) };
        match error.code() {
            ErrorCode::NEW_AUTHTOK_REQD => self.change_password(),
            code => Err(Error::of(code, Error::Account)),
        }
    }

    fn change_password(&mut self) -> Result<(), Error> {
        let changed = self.context.chauthtok(Flag::CHANGE_EXPIRED_AUTHTOK);
        self.same_user()?;
        self.answered()?;
        changed.map_err(|error| Error::of(error.code(), Error::Password))
    }

    /// Whoever gave up a question gave up: also where the stack could do without the answer.
    fn answered(&mut self) -> Result<(), Error> {
        self.context.conversation_mut().silence().map_or(Ok(()), |silence| Err(Error::Silence(silence)))
    }

    fn same_user(&self) -> Result<(), Error> {
        same_user(&self.context, &self.user)
    }
}

fn same_user(context: &Context<Adapter>, user: &Name) -> Result<(), Error> {
    let now = context.user().unwrap_or_default();
    if now == user.as_str() { Ok(()) } else { Err(Error::UserChanged(crate::ident::Visible::line(now.as_bytes()))) }
}

impl Vouched {
    /// pam_acct_mgmt(3) once more, where time has passed since: an account may be locked or expired by now. No questions.
    ///
    /// # Errors
    /// Everything but success, a password that has expired since included.
    pub fn account_again(&mut self) -> Result<(), Error> {
        self.context.conversation_mut().stop_asking();
        let verdict = self.context.acct_mgmt(Flag::DISALLOW_NULL_AUTHTOK);
        same_user(&self.context, &self.user)?;
        verdict.map_err(|error| Error::of(error.code(), Error::Account))
    }

    /// pam_setcred(3) and pam_open_session(3). The process must be root wholly, with the user's groups, and an ancestor
    /// of what runs in the session. No questions from here on. `after_modules` runs right after the session's modules, whatever
    /// they said and before anything is closed: pam_limits limits this process, which may have to close the session.
    ///
    /// # Errors
    /// [`Error::Session`], [`Error::UserChanged`]; nothing is left open then.
    pub fn open(self, after_modules: impl FnOnce()) -> Result<Opened, Error> {
        let Self { mut context, user } = self;
        context.conversation_mut().stop_asking();
        let refused = context.open_session(Flag::NONE).map(Session::leak).err().map(|error| error.code());
        after_modules();
        if let Some(code @ (ErrorCode::CRED_ERR | ErrorCode::CRED_UNAVAIL | ErrorCode::CRED_EXPIRED)) = refused {
            // pam_setcred(3) said no: no session module ran.
            return Err(Error::of(code, Error::Session));
        }
        // The first modules of a stack may have opened what a later one refused: closed on drop.
        let opened = Opened { context, user, session: Some(SessionToken::FullSession) };
        match refused {
            Some(code) => Err(Error::of(code, Error::Session)),
            None => same_user(&opened.context, &opened.user).map(|()| opened),
        }
    }
}

impl Opened {
    /// pam_getenvlist(3), as bytes: names and values are the modules'.
    pub fn environment(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        use std::os::unix::ffi::OsStrExt;
        let list = self.context.envlist();
        list.iter_tuples().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())).collect()
    }

    /// pam_close_session(3), pam_setcred(3) with PAM_DELETE_CRED, pam_end(3): each once, whatever the one before said.
    pub fn close(mut self) {
        self.close_now();
    }

    fn close_now(&mut self) {
        let Some(token) = self.session.take() else {
            return;
        };
        // A module may have changed it; with no user pam_exec would ask `login:` on the terminal.
        let _ = self.context.set_user(Some(self.user.as_str()));
        if let Some(SessionToken::FullSession) = self.close_as(token) {
            // The session's modules failed; the credentials are deleted all the same.
            self.close_as(SessionToken::PseudoSession);
        }
    }

    /// What failed to close. Left alone, it would be closed once more on drop.
    fn close_as(&mut self, token: SessionToken) -> Option<SessionToken> {
        let closed = self.context.unleak_session(token).close(Flag::NONE);
        closed.err().and_then(|mut failed| failed.take_payload().map(Session::leak))
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.close_now();
    }
}
