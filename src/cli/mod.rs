//! What does the caller ask for? argv, or SSH_ORIGINAL_COMMAND, becomes a `Command`.
//! Never: argv[0] beyond its first byte, the environment, anything run.

mod definition;
mod sharing;

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use clap::error::ErrorKind;

pub use definition::command;
use definition::{Arguments, Verb};
pub use sharing::{Adjustment, Patience, Place, Sealing, Target, Way, Wish};

use crate::ident::{GrantId, Invalid, Name, Reason, SessionName, Visible};

/// One verb with its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Own session, made if it is not there; none named: the last used one.
    Attach(Option<SessionName>),
    /// Own sessions.
    List(Output),
    /// Ask to be let into somebody's session.
    Request(Place, Wish, Patience),
    /// Let somebody into the own one.
    Invite(Name, Option<SessionName>, Wish),
    /// Approve a request.
    Approve(GrantId, Adjustment),
    /// Refuse one.
    Deny(GrantId, Option<Reason>),
    /// End grants.
    Revoke(Target),
    /// Other terms.
    Change(GrantId, Adjustment),
    /// Enter somebody's session.
    Join(Way),
    /// Who is where.
    Who(Output),
    /// For the status line.
    Status,
    /// Is this host set up right?
    Check(Output),
    /// Which rule decides, about the own session or into somebody's?
    Explain(Option<Name>, Output),
}

/// For whom the answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// People.
    Text,
    /// Programs: one JSON document.
    Json,
}

/// What came of the arguments.
#[derive(Debug, PartialEq, Eq)]
pub enum Asked {
    /// Run this.
    Run(Command),
    /// Print this and be done (`--help`, `--version`).
    Show(String),
}

/// Why the arguments were not taken.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// Not the grammar of the manual page.
    #[error("{0}; run: tmux-gate --help")]
    Usage(Visible),
    /// A word of the grammar with a value that is none.
    #[error(transparent)]
    Value(#[from] Invalid),
    /// A command by ssh, or for the login shell, that is none of the verbs.
    #[error("\"{0}\": not run, this account opens only its gated tmux session; use: ssh -t HOST, or ssh HOST list")]
    Foreign(Visible),
}

/// The most that all arguments together may measure, in bytes.
const LONGEST: usize = 16 * 1024;
/// Verbs that later versions have: never taken for a session's name.
const RESERVED: [&str; 10] = ["lock", "unlock", "scan", "reap", "log", "replay", "help", "leave", "report", "verify"];
/// Verbs with a reason, in which any text may stand.
const WITH_REASON: [&str; 3] = ["request", "invite", "deny"];

/// Parses what the kernel passed. `arguments` may be empty (CVE-2021-4034); `original` is SSH_ORIGINAL_COMMAND, looked at
/// only when there are no arguments, or when those of a login shell name only the gate itself.
///
/// # Errors
/// [`Error`]: status 2, or 77 for [`Error::Foreign`].
pub fn parse(arguments: &[OsString], original: Option<&OsStr>) -> Result<Asked, Error> {
    let words = arguments.get(1..).unwrap_or_default();
    if words.iter().map(|w| w.len() + 1).sum::<usize>() > LONGEST {
        return Err(Error::Usage(Visible::line(b"arguments: too long")));
    }
    match (words, original) {
        ([], Some(original)) => remote(original, None),
        ([dash_c, command], original) if dash_c == "-c" => remote(command, original),
        (words, _) => local(words),
    }
}

/// A command line that somebody else's shell would have run: split into words, nothing expanded, and a verb or nothing.
fn remote(line: &OsStr, original: Option<&OsStr>) -> Result<Asked, Error> {
    let foreign = || Error::Foreign(Visible::line(line.as_bytes().get(..64).unwrap_or(line.as_bytes())));
    if line.len() > LONGEST || line.as_bytes().contains(&b'\n') {
        return Err(foreign());
    }
    let words = line.to_str().and_then(shlex::split).ok_or_else(foreign)?;
    let mut words = words.as_slice();
    if words.first().is_some_and(|w| w == "tmux-gate" || w.ends_with("/tmux-gate")) {
        words = words.get(1..).unwrap_or_default();
    }
    // What a shell would take for a second command is none of ours: no argument but a reason has such a byte.
    let has_reason = words.first().is_some_and(|verb| WITH_REASON.contains(&verb.as_str()));
    if !has_reason && line.as_bytes().iter().any(|b| b";&|<>()$`".contains(b)) {
        return Err(foreign());
    }
    match (words.first(), original) {
        (None, Some(original)) => remote(original, None),
        (None, None) => Ok(Asked::Run(Command::Attach(None))),
        (Some(verb), _) if command().find_subcommand(verb).is_some() => local(words),
        (Some(_), _) => Err(foreign()),
    }
}

fn local<W: AsRef<OsStr>>(words: &[W]) -> Result<Asked, Error> {
    let named = std::iter::once(OsStr::new("tmux-gate")).chain(words.iter().map(AsRef::as_ref));
    match <Arguments as clap::Parser>::try_parse_from(named) {
        Ok(arguments) => Ok(Asked::Run(arguments.try_into()?)),
        Err(error) => match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Ok(Asked::Show(error.to_string())),
            _ => Err(Error::Usage(first_line(&error.to_string()))),
        },
    }
}

/// clap's error without its frame: the fault is in the first line.
fn first_line(text: &str) -> Visible {
    let line = text.lines().next().unwrap_or_default();
    Visible::line(line.strip_prefix("error: ").unwrap_or(line).as_bytes())
}

impl TryFrom<Arguments> for Command {
    type Error = Error;

    fn try_from(arguments: Arguments) -> Result<Self, Error> {
        let output = |json| if json { Output::Json } else { Output::Text };
        match arguments.verb {
            Some(Verb::Attach { session }) => session_named(session),
            Some(Verb::Sharing(verb)) => verb.try_into(),
            Some(Verb::List { json }) => Ok(Self::List(output(json))),
            Some(Verb::Check { json }) => Ok(Self::Check(output(json))),
            Some(Verb::Explain { owner, json }) => {
                let owner = owner.map(|name| Name::parse(name.as_bytes())).transpose()?;
                Ok(Self::Explain(owner, output(json)))
            }
            None => match arguments.session {
                Some(word) if RESERVED.contains(&word.as_str()) => {
                    let text = format!(
                        "{word}: this version has no such verb (a session of that name: tmux-gate attach {word})"
                    );
                    Err(Error::Usage(Visible::line(text.as_bytes())))
                }
                session => session_named(session),
            },
        }
    }
}

fn session_named(session: Option<String>) -> Result<Command, Error> {
    Ok(Command::Attach(session.as_deref().map(SessionName::parse).transpose()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStringExt;

    fn ask(words: &[&str], original: Option<&str>) -> Result<Asked, Error> {
        let words: Vec<OsString> = words.iter().map(OsString::from).collect();
        parse(&words, original.map(OsStr::new))
    }

    fn attach(session: Option<&str>) -> Result<Asked, Error> {
        Ok(Asked::Run(Command::Attach(session.map(SessionName::parse).transpose()?)))
    }

    #[test]
    fn no_arguments_at_all_not_even_argv0_attach() {
        assert_eq!(ask(&[], None), attach(None));
        assert_eq!(ask(&["tmux-gate"], None), attach(None));
        assert_eq!(ask(&["-tmux-gate"], None), attach(None));
    }

    #[test]
    fn the_verb_attach_may_be_left_out_but_no_other_verb_becomes_a_session() {
        assert_eq!(ask(&["x", "work"], None), attach(Some("work")));
        assert_eq!(ask(&["x", "attach", "join"], None), attach(Some("join")));
        assert!(matches!(ask(&["x", "join"], None), Err(Error::Usage(_))));
        assert!(matches!(ask(&["x", "lock"], None), Err(Error::Usage(_))));
        assert!(matches!(ask(&["x", "attach", "#(id)"], None), Err(Error::Value(_))));
    }

    #[test]
    fn a_forced_command_is_a_verb_or_it_is_refused() {
        assert_eq!(ask(&["x"], Some("list")), Ok(Asked::Run(Command::List(Output::Text))));
        assert_eq!(ask(&["x"], Some("'attach' \"work\"")), attach(Some("work")));
        assert_eq!(ask(&["x"], Some("/usr/bin/tmux-gate")), attach(None));
        for bad in
            ["sh -c id", "work", "list; id", "scp -t .", "$(list)", "rsync --server", "'list", "li\nst", "--help"]
        {
            assert!(matches!(ask(&["x"], Some(bad)), Err(Error::Foreign(_))), "{bad:?} was taken");
        }
        assert!(matches!(ask(&["x"], Some(&"list ".repeat(20_000))), Err(Error::Foreign(_))));
        let bytes = OsString::from_vec(b"list \xff".to_vec());
        assert!(matches!(parse(&["x".into()], Some(&bytes)), Err(Error::Foreign(_))));
    }

    #[test]
    fn a_forced_command_does_not_overrule_arguments() {
        assert_eq!(ask(&["x", "list"], Some("sh -c id")), Ok(Asked::Run(Command::List(Output::Text))));
    }

    #[test]
    fn a_login_shell_runs_the_same_grammar_and_its_own_path_leads_to_the_original_command() {
        assert_eq!(ask(&["-tmux-gate", "-c", "list"], None), Ok(Asked::Run(Command::List(Output::Text))));
        assert_eq!(ask(&["x", "-c", "/usr/bin/tmux-gate"], Some("attach b")), attach(Some("b")));
        assert!(matches!(ask(&["x", "-c", "/usr/bin/tmux-gate"], Some("id")), Err(Error::Foreign(_))));
        assert!(matches!(ask(&["x", "-c", "/usr/lib/openssh/sftp-server"], None), Err(Error::Foreign(_))));
    }

    #[test]
    fn usage_errors_are_one_visible_line() {
        let Err(error) = ask(&["x", "--\x1b[2J\nx"], None) else { panic!("taken") };
        assert!(!error.to_string().contains(['\x1b', '\n']), "{error}");
        assert!(matches!(ask(&["x", &"a".repeat(LONGEST)], None), Err(Error::Usage(_))));
        assert!(parse(&["x".into(), OsString::from_vec(b"\xff".to_vec())], None).is_err());
    }

    #[test]
    fn the_definitions_are_sound() {
        command().debug_assert();
    }
}
