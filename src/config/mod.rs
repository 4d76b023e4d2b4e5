//! What did the administrator write? Opens the file safely, then parses it into `Settings`, with line and column.
//! Never: lookups of the names in it, a guess at what was meant, a default for a file that is wrong.

mod keys;
mod share;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

pub use keys::{KEYS, Key, default_file};
pub use share::{ApproverEntry, Origin, Share};

use crate::ident::{Invalid, Name, Uid, Visible};
use crate::sys::files::{self, Weakness};

/// Where the configuration is.
pub const PATH: &str = "/etc/tmux-gate/config.toml";
/// `[authentication] time_limit` where it is not written, and before it was read.
pub const TIME_LIMIT: Duration = Duration::from_secs(60);
const LONGEST: u64 = 256 * 1024;

/// Everything that the configuration says, defaults filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `[attach] users`: who may pass at all; `None` is everybody whom PAM lets in.
    pub users: Option<Vec<Entry>>,
    /// `[attach] shell`: what panes run for people whose login shell is the gate.
    pub shell: PathBuf,
    /// `[attach] grant_required`: who needs an open grant for the own session as well.
    pub grant_required: Vec<Entry>,
    /// `[attach] grace` and `keep`: what becomes of their server once the grant is over.
    pub afterwards: Afterwards,
    /// Each `[[share]]`, in the order of the file; the rule of who wrote none, if there is none.
    pub shares: Vec<Share>,
    /// `[join] sandbox`.
    pub sandbox: Sandbox,
    /// `[authentication] time_limit`: from the first prompt to the verdict.
    pub time_limit: Duration,
    /// `[authentication] tries`, at least 1.
    pub tries: u32,
    /// `[tmux] path`.
    pub tmux: PathBuf,
    /// `[audit] required`: no record, no entry.
    pub record: Record,
}

/// What happens when the record cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Record {
    /// Nobody enters.
    Required,
    /// People enter all the same.
    Wanted,
}

/// What happens to a join where the kernel lacks what the relay is shut in with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sandbox {
    /// It is refused.
    Required,
    /// The relay has as much of it as there is.
    Wanted,
}

/// What becomes of somebody's server once his grant for the own session is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Afterwards {
    /// It is ended so much later, unless there is a new grant by then.
    Ends(Duration),
    /// It stays, and nobody gets in without a new grant.
    Stays,
}

/// An entry of a list of people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// `"alice"`: a name of the users database.
    User(Name),
    /// `"@ops"`: whoever has the group.
    Group(Name),
    /// `"uid:1001"`.
    Uid(Uid),
}

impl Entry {
    fn parse(raw: &str) -> Result<Self, Invalid> {
        match (raw.strip_prefix('@'), raw.strip_prefix("uid:")) {
            (Some(group), _) => Name::parse(group.as_bytes()).map(Self::Group),
            (None, Some(uid)) => Uid::parse(uid).map(Self::Uid),
            (None, None) => Name::parse(raw.as_bytes()).map(Self::User),
        }
    }
}

impl std::fmt::Display for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::User(name) => name.fmt(f),
            Self::Group(name) => write!(f, "@{name}"),
            Self::Uid(uid) => write!(f, "uid:{uid}"),
        }
    }
}

/// Why there is no configuration. Whatever it is, nobody passes until it is mended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file, or a directory on the way, could be written by somebody besides root.
    #[error("{0}: owned by uid {1}; run: chown root {0}")]
    Owner(String, u32),
    /// The same, by its mode.
    #[error("{0}: mode {1:04o} lets others write it; run: chmod go-w {0}")]
    Mode(String, u32),
    /// Not a regular file of at most 256 KiB.
    #[error("{0}: not a regular UTF-8 file of at most 256 KiB; put the configuration there")]
    Kind(String),
    /// It exists and cannot be read.
    #[error("{0}: {1}; make it a file of root's with mode 0644")]
    Unreadable(String, io::Error),
    /// What is written in it is wrong.
    #[error("{path}:{line}:{column}: {fault}; see tmux-gate.toml(5)")]
    Syntax {
        /// The file.
        path: String,
        /// From 1.
        line: usize,
        /// From 1, in characters.
        column: usize,
        /// What, in the parser's words.
        fault: Visible,
    },
}

/// Reads the configuration; a file that is not there is one in which nothing is written.
///
/// # Errors
/// [`Error`]: status 78.
pub fn load(path: &Path) -> Result<Settings, Error> {
    let shown = || path.display().to_string();
    let real = match files::resolve(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return parse("", path),
        Err(e) => return Err(Error::Unreadable(shown(), e)),
        Ok(Err(Weakness::Owner(at, uid))) => return Err(Error::Owner(at.display().to_string(), uid)),
        Ok(Err(Weakness::Mode(at, mode))) => return Err(Error::Mode(at.display().to_string(), mode)),
        Ok(Err(Weakness::Kind(at))) => return Err(Error::Kind(at.display().to_string())),
        Ok(Ok(real)) => real,
    };
    let text = files::read_small(&real, LONGEST).map_err(|e| match e.kind() {
        io::ErrorKind::InvalidData => Error::Kind(shown()),
        _ => Error::Unreadable(shown(), e),
    })?;
    parse(&text, path)
}

/// Parses the text of a configuration; `path` is for the messages.
///
/// # Errors
/// [`Error::Syntax`].
pub fn parse(text: &str, path: &Path) -> Result<Settings, Error> {
    let file: File = toml::from_str(text).map_err(|e| {
        let at = e.span().map_or(0, |span| span.start);
        let before = text.get(..at).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Error::Syntax {
            path: path.display().to_string(),
            line: before.matches('\n').count() + 1,
            column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
            fault: Visible::line(e.message().as_bytes()),
        }
    })?;
    Ok(Settings {
        users: file.attach.users,
        shell: file.attach.shell,
        grant_required: file.attach.grant_required,
        afterwards: if file.attach.keep { Afterwards::Stays } else { Afterwards::Ends(file.attach.grace) },
        shares: file.share.unwrap_or_else(|| vec![Share::unwritten()]),
        sandbox: file.join.sandbox,
        time_limit: file.authentication.time_limit,
        tries: file.authentication.tries,
        tmux: file.tmux.path,
        record: if file.audit.required { Record::Required } else { Record::Wanted },
    })
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct File {
    attach: Attach,
    share: Option<Vec<Share>>,
    join: Join,
    authentication: Authentication,
    tmux: Tmux,
    audit: Audit,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Attach {
    users: Option<Vec<Entry>>,
    #[serde(deserialize_with = "absolute")]
    shell: PathBuf,
    grant_required: Vec<Entry>,
    #[serde(deserialize_with = "grace")]
    grace: Duration,
    keep: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Join {
    sandbox: Sandbox,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Authentication {
    #[serde(deserialize_with = "time_limit")]
    time_limit: Duration,
    #[serde(deserialize_with = "tries")]
    tries: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Tmux {
    #[serde(deserialize_with = "absolute")]
    path: PathBuf,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Audit {
    required: bool,
}

impl Default for Attach {
    fn default() -> Self {
        let grace = Duration::from_secs(300);
        Self { users: None, shell: "/bin/sh".into(), grant_required: Vec::new(), grace, keep: false }
    }
}

impl Default for Join {
    fn default() -> Self {
        Self { sandbox: Sandbox::Required }
    }
}

impl Default for Authentication {
    fn default() -> Self {
        Self { time_limit: TIME_LIMIT, tries: 3 }
    }
}

impl Default for Tmux {
    fn default() -> Self {
        Self { path: "/usr/bin/tmux".into() }
    }
}

impl Default for Audit {
    fn default() -> Self {
        Self { required: true }
    }
}

fn absolute<'de, D: Deserializer<'de>>(source: D) -> Result<PathBuf, D::Error> {
    let raw = String::deserialize(source)?;
    let plain = raw.starts_with('/') && raw.len() < 4096 && !raw.chars().any(char::is_control);
    if plain && !raw.split('/').any(|step| step == "..") {
        Ok(raw.into())
    } else {
        Err(D::Error::custom("not an absolute path without \"..\""))
    }
}

fn duration<'de, D: Deserializer<'de>>(source: D) -> Result<Duration, D::Error> {
    let raw = String::deserialize(source)?;
    humantime::parse_duration(&raw).map_err(|e| D::Error::custom(format!("not a duration ({e})")))
}

fn time_limit<'de, D: Deserializer<'de>>(source: D) -> Result<Duration, D::Error> {
    let limit = duration(source)?;
    let allowed = Duration::from_secs(1)..=Duration::from_secs(3600);
    if allowed.contains(&limit) { Ok(limit) } else { Err(D::Error::custom("not between \"1s\" and \"1h\"")) }
}

fn grace<'de, D: Deserializer<'de>>(source: D) -> Result<Duration, D::Error> {
    let grace = duration(source)?;
    if grace <= Duration::from_secs(86_400) { Ok(grace) } else { Err(D::Error::custom("not at most \"1d\"")) }
}

fn tries<'de, D: Deserializer<'de>>(source: D) -> Result<u32, D::Error> {
    let raw = u32::deserialize(source)?;
    if (1..=10).contains(&raw) { Ok(raw) } else { Err(D::Error::custom("not between 1 and 10")) }
}

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(source)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests;
