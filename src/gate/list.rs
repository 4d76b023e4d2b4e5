//! list: the own sessions, without a password. One tmux command is run as their owner; then root is gone.

use std::path::Path;

use serde_json::json;

use super::error::{Error, Status};
use super::{Visit, answer_with, caller, who};
use crate::cli::Output;
use crate::config;
use crate::ident::Visible;
use crate::sys::ids;
use crate::tmux::{self, CustodyError, Runtime, Socket};

/// The name last: it is the user's text.
const FORMAT: &str = "#{session_windows} #{session_attached} #{session_created} #{session_activity} #{session_name}";

/// One line of tmux's answer.
struct Session {
    windows: u64,
    clients: u64,
    created: u64,
    used: u64,
    name: String,
}

/// Prints the caller's sessions.
///
/// # Errors
/// Status 69 for a server that does not answer, 78 for directories that are wrong.
pub fn run(visit: &Visit, output: Output) -> Result<u8, Error> {
    let (answer, grants) = (ask(visit), who::grants(visit));
    ids::become_caller(visit.ids.uid, visit.ids.gid, visit.ids.gid)?;
    let sessions: Vec<Session> = String::from_utf8_lossy(&answer?).lines().filter_map(parse).collect();
    let grants = grants?;
    let lines: String = grants.iter().map(who::grant_line).collect();
    let text = match output {
        Output::Json => {
            let grants: Vec<_> = grants.iter().map(who::grant_json).collect();
            json!({ "sessions": sessions.iter().map(as_json).collect::<Vec<_>>(), "grants": grants }).to_string() + "\n"
        }
        Output::Text if sessions.is_empty() => "no sessions; start one with: tmux-gate\n".to_owned() + &lines,
        Output::Text => {
            sessions.iter().fold(String::new(), |table, s| {
                let (windows, clients) = (plural(s.windows, "window"), plural(s.clients, "client"));
                table + &format!("{}: {windows}, {clients}\n", Visible::line(s.name.as_bytes()))
            }) + &lines
        }
    };
    answer_with(&text)?;
    Ok(Status::DONE)
}

fn ask(visit: &Visit) -> Result<Vec<u8>, Error> {
    let settings = config::load(Path::new(config::PATH))?;
    let group = caller::group("tmux-gate")?.ok_or(Error::NoGroup)?.gid.as_raw();
    let uid = visit.caller.uid;
    let home = match Runtime::check(group)?.home(uid) {
        Ok(home) => home,
        Err(CustodyError::Missing(_)) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    if home.socket()? == Socket::Absent {
        return Ok(Vec::new());
    }
    tmux::usable(&settings.tmux)?;
    let question = tmux::list_sessions(&tmux::socket(uid), FORMAT);
    Ok(tmux::as_owner(&settings.tmux, &visit.caller.asking(group, &home), &question)?)
}

fn parse(line: &str) -> Option<Session> {
    let mut fields = line.splitn(5, ' ');
    let mut number = || fields.next()?.parse().ok();
    let (windows, clients, created, used) = (number()?, number()?, number()?, number()?);
    Some(Session { windows, clients, created, used, name: fields.next()?.to_owned() })
}

fn as_json(s: &Session) -> serde_json::Value {
    json!({ "session": s.name, "windows": s.windows, "clients": s.clients, "created": s.created, "last_used": s.used })
}

fn plural(count: u64, word: &str) -> String {
    format!("{count} {word}{}", if count == 1 { "" } else { "s" })
}
