//! The verbs, and the way to them: steps 1 to 4 of the order, in `visit`.
//! Never: a verb with more privilege than the table gives it.

mod approve;
mod asking;
mod attach;
mod caller;
mod change;
mod changes;
mod check;
mod clocks;
mod end;
mod entrance;
mod environment;
mod error;
mod explain;
mod explain_share;
mod facts;
mod grace;
mod guest;
mod join;
mod keeper;
mod limit;
mod list;
mod own;
mod parties;
mod request;
mod seal;
mod ssh_key;
mod stay;
mod surroundings;
mod tell;
mod terminfo;
mod wait;
mod who;

use std::os::fd::AsFd;
use std::process::ExitCode;

use nix::errno::Errno;

use crate::audit::{self, Event, Subject};
use crate::cli::{self, Asked, Command};
use crate::config;
use crate::sys::entry::{self, Inheritance};
use crate::sys::{files, ids, tty};

use caller::Caller;
use environment::Environment;
use error::{Error, Status};

/// What a verb needs to be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Needs {
    /// The caller and nothing more: root is gone before the verb runs.
    Caller,
    /// Root, to read the grants and to run one tmux command as the caller with the group of the sockets; gone then.
    Owner,
    /// Root: PAM, the session, the person's program.
    Root,
}

/// Which privilege each verb needs.
fn needs(command: &Command) -> Needs {
    match command {
        Command::Attach(_) | Command::Join(_) | Command::Request(..) | Command::Invite(..) => Needs::Root,
        Command::Approve(..) | Command::Change(..) | Command::Deny(..) | Command::Revoke(_) => Needs::Root,
        Command::List(_) | Command::Who(_) | Command::Status => Needs::Owner,
        Command::Check(_) | Command::Explain(..) => Needs::Caller,
    }
}

/// Everything that is known of the call when a verb starts.
struct Visit {
    environment: Environment,
    inheritance: Inheritance,
    ids: ids::Caller,
    caller: Caller,
    subject: Subject,
}

/// The program. Its exit status is one of [`Status`], or tmux's own after an attach.
#[must_use]
pub fn main() -> ExitCode {
    let environment = Environment::take();
    match visit(environment) {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            complain(&error);
            ExitCode::from(error.status())
        }
    }
}

fn visit(environment: Environment) -> Result<u8, Error> {
    let ids = ids::caller().ok_or(Error::Nobody)?;
    let mut subject = Subject { user: None, uid: ids.uid, tty: None, ssh_key: None };
    let inheritance = entry::cleanse().map_err(Error::Entry).inspect_err(|e| refuse(&subject, e))?;
    subject.tty = tty::standard_name();
    let patience = caller::no_longer_than(config::TIME_LIMIT);
    let caller = caller::look_up(ids.uid).map_err(Error::Caller).inspect_err(|e| refuse(&subject, e))?;
    subject.user = Some(caller.name.clone());
    subject.ssh_key = environment.user_auth().and_then(|file| ssh_key::claimed(file, ids.uid));
    let arguments: Vec<_> = std::env::args_os().collect();
    let asked = cli::parse(&arguments, environment.original_command()).map_err(Error::Arguments);
    let command = match asked.inspect_err(|e| refuse(&subject, e))? {
        Asked::Run(command) => command,
        Asked::Show(text) => {
            ids::become_caller(ids.uid, ids.gid, ids.gid)?;
            return answer_with(&text).map(|()| Status::DONE);
        }
    };
    let visit = Visit { environment, inheritance, ids, caller, subject };
    let needs = needs(&command);
    // A verb that asks for a password measures its time itself.
    let patience = if needs == Needs::Root { None } else { Some(patience) };
    let done = privileged(&visit, needs).and_then(|()| run(&visit, command));
    drop(patience);
    if needs == Needs::Root { done.inspect_err(|error| refuse(&visit.subject, error)) } else { done }
}

/// Step 4: has, or gives up for good, what the verb does, or does not, need.
fn privileged(visit: &Visit, needs: Needs) -> Result<(), Error> {
    if needs == Needs::Caller {
        return Ok(ids::become_caller(visit.ids.uid, visit.ids.gid, visit.ids.gid)?);
    }
    if !ids::is_effectively_root() {
        return Err(Error::NotSetuid);
    }
    if files::root_directory_is_roots() { Ok(()) } else { Err(Error::Namespace) }
}

fn run(visit: &Visit, command: Command) -> Result<u8, Error> {
    match command {
        Command::Attach(session) => attach::run(visit, session),
        Command::Request(place, wish, patience) => request::request(visit, place, wish, patience),
        Command::Invite(user, session, wish) => request::invite(visit, &user, session, wish),
        Command::Approve(id, less) => approve::approve(visit, &id, less),
        Command::Change(id, into) => change::change(visit, &id, into),
        Command::Deny(id, reason) => end::deny(visit, &id, reason.as_ref()),
        Command::Revoke(target) => end::revoke(visit, &target),
        Command::Join(way) => join::run(visit, &way),
        Command::Who(output) => who::who(visit, output),
        Command::Status => who::status(visit),
        Command::List(output) => list::run(visit, output),
        Command::Check(output) => check::run(visit, output),
        Command::Explain(None, output) => explain::run(visit, output),
        Command::Explain(Some(owner), output) => explain_share::run(visit, &owner, output),
    }
}

/// Prints a verb's answer; a stream that is closed or full is an error and never a panic, unlike println!.
fn answer_with(text: &str) -> Result<(), Error> {
    match files::write_patiently(std::io::stdout().as_fd(), text.as_bytes()) {
        // Not open for writing: nobody wants the answer.
        Ok(()) | Err(Errno::EBADF) => Ok(()),
        Err(errno) => Err(Error::Output(errno.into())),
    }
}

/// Tells the caller why not, if he can be told.
fn complain(error: &Error) {
    let _ = files::write_patiently(std::io::stderr().as_fd(), format!("tmux-gate: {error}\n").as_bytes());
}

/// Writes down that somebody was refused. That this cannot be written changes nothing for him.
fn refuse(subject: &Subject, error: &Error) {
    if error.is_recorded() {
        let event = Event::Refused { reason: error.to_string(), pam: error.pam_code().map(str::to_owned) };
        let _ = audit::record(subject, &event);
    }
}
