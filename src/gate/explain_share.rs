//! explain OWNER: which `[[share]]` lets the caller ask to be let into somebody's sessions, and why; with the own name: who may
//! ask to be let into the caller's. Runs as the caller.
//! Never: a difference between somebody who is not there and somebody whom no rule opens to the caller.

use std::path::Path;

use serde_json::{Value, json};

use super::caller::Caller;
use super::error::{Error, Status};
use super::explain::Verdict;
use super::{Visit, answer_with, parties};
use crate::cli::Output;
use crate::config::{self, Entry, Origin, Settings, Share};
use crate::ident::Name;
use crate::policy::{self, By, Match, Refusal, ShareRule};

/// Prints the rule that decides about the caller as a guest, or those about him as an owner.
///
/// # Errors
/// As plain `explain`; status 75 where a name in the rules cannot be looked up.
pub fn run(visit: &Visit, owner: &Name, output: Output) -> Result<u8, Error> {
    let settings = config::load(Path::new(config::PATH))?;
    let verdict = Verdict::on(visit, &settings)?;
    let rules = parties::rules(&settings)?;
    let asker = Asker { visit, settings: &settings, rules: &rules };
    let said = match someone(owner)? {
        Some(found) if found.uid == visit.caller.uid => asker.as_owner(&verdict)?,
        // Who does not pass at all asks nobody, whoever that is.
        _ if !verdict.is_allowed() => {
            Said { text: verdict.line(visit), json: verdict.json(visit), status: verdict.status() }
        }
        found => asker.as_guest(owner, found.as_ref())?,
    };
    answer_with(&match output {
        Output::Json => said.json.to_string() + "\n",
        Output::Text => said.text,
    })?;
    Ok(said.status)
}

fn someone(name: &Name) -> Result<Option<Caller>, Error> {
    match parties::named(name) {
        Ok(found) => Ok(Some(found)),
        Err(Error::Sharing(Refusal::NoRule)) => Ok(None),
        Err(error) => Err(error),
    }
}

struct Asker<'a> {
    visit: &'a Visit,
    settings: &'a Settings,
    rules: &'a [ShareRule],
}

struct Said {
    text: String,
    json: Value,
    status: u8,
}

impl Asker<'_> {
    fn as_guest(&self, owner: &Name, found: Option<&Caller>) -> Result<Said, Error> {
        let guest = parties::person(&self.visit.caller)?;
        let person = found.map(parties::person).transpose()?;
        let why = person.and_then(|person| policy::match_for(self.rules, &person, &guest));
        let found = why.and_then(|why| Some((why, self.settings.shares.get(why.place)?)));
        let name = &self.visit.caller.name;
        let Some((Match { place, owner: by_owner, guest: by_guest }, share)) = found else {
            return Ok(closed(name, owner));
        };
        let rule = Rule { share, place };
        let as_owner = sentence("owners", share.owners.as_deref(), (by_owner, owner));
        let as_guest = sentence("guests", share.guests.as_deref(), (by_guest, name));
        let why = format!("{as_owner}; {as_guest}");
        let text = format!(
            "{name} may ask to be let into sessions of {owner}: {} decides, the first that is about both\n  {why}\n{}",
            rule.name(),
            rule.terms()
        );
        let (label, share) = (rule.label(), rule.json());
        let json = json!({ "user": name, "owner": owner, "allowed": true, "rule": label, "why": why, "share": share });
        Ok(Said { text, json, status: Status::DONE })
    }

    fn as_owner(&self, verdict: &Verdict) -> Result<Said, Error> {
        let name = &self.visit.caller.name;
        let owner = parties::person(&self.visit.caller)?;
        let mut text = verdict.line(self.visit);
        let mut shares = Vec::new();
        for (place, by) in policy::about_owner(self.rules, &owner) {
            let Some(share) = self.settings.shares.get(place) else { continue };
            let rule = Rule { share, place };
            let why = sentence("owners", share.owners.as_deref(), (by, name));
            let guests = listed(share.guests.as_deref());
            text += &format!("into sessions of {name}, by {}: {guests}\n  {why}\n{}", rule.name(), rule.terms());
            shares.push(json!({ "rule": rule.label(), "why": why, "share": rule.json() }));
        }
        if shares.is_empty() {
            text += &format!(
                "into sessions of {name}: nobody, no [[share]] of {} is about {name} as an owner\n",
                config::PATH
            );
        }
        let json = json!({ "user": name, "owner": name, "attach": verdict.json(self.visit), "shares": shares });
        Ok(Said { text, json, status: verdict.status() })
    }
}

/// What is said of who is not there as well.
fn closed(guest: &Name, owner: &Name) -> Said {
    let why = format!("no [[share]] of {} is about {guest} as a guest of {owner}", config::PATH);
    let text = format!("{guest} may not ask to be let into sessions of {owner}: {why}\n");
    let json = json!({ "user": guest, "owner": owner, "allowed": false, "rule": "share", "why": why, "share": null });
    Said { text, json, status: Status::REFUSED }
}

/// A `[[share]]` and its place in the file, from 0.
struct Rule<'a> {
    share: &'a Share,
    place: usize,
}

impl Rule<'_> {
    fn name(&self) -> String {
        match self.share.origin {
            Origin::Written => format!("[[share]] {} of {}", self.place + 1, config::PATH),
            Origin::BuiltIn => format!("the built-in rule, for {} has no [[share]],", config::PATH),
        }
    }

    /// What it gives, and who gives it.
    fn terms(&self) -> String {
        let Share { access, max_duration, approvals, approvers, .. } = self.share;
        let approvers = approvers.iter().map(|entry| format!("\"{entry}\"")).collect::<Vec<_>>().join(", ");
        format!(
            "  gives at most: {access}, for {max_duration}\n  approvers: {approvers}; {approvals} of them must approve, and \
             nobody approves what he asked for\n"
        )
    }

    /// For programs.
    fn label(&self) -> String {
        match self.share.origin {
            Origin::Written => format!("share[{}]", self.place),
            Origin::BuiltIn => "default".to_owned(),
        }
    }

    fn json(&self) -> Value {
        let Share { owners, guests, access, max_duration, approvals, approvers, origin } = self.share;
        let number = (*origin == Origin::Written).then_some(self.place + 1);
        json!({
            "number": number, "owners": owners.as_deref().map(words), "guests": guests.as_deref().map(words),
            "access": access, "max_duration": max_duration, "approvers": words(approvers), "approvals": approvals,
        })
    }
}

fn words(entries: &[impl ToString]) -> Vec<String> {
    entries.iter().map(ToString::to_string).collect()
}

fn listed(entries: Option<&[Entry]>) -> String {
    match entries {
        None => "everybody may ask".to_owned(),
        Some([]) => "nobody may ask, its guests are none".to_owned(),
        Some(entries) => {
            let entries: Vec<String> = entries.iter().map(|entry| format!("\"{entry}\"")).collect();
            format!("{} may ask", entries.join(", "))
        }
    }
}

/// By what a rule is about somebody: `alice by "@ops" of owners`.
fn sentence(key: &str, entries: Option<&[Entry]>, (by, name): (By, &Name)) -> String {
    let entry = match by {
        By::Everybody => None,
        By::Entry(at) => entries.and_then(|entries| entries.get(at)),
    };
    match entry {
        Some(entry) => format!("it is about {name} by \"{entry}\" of {key}"),
        None => format!("it is about {name} because it names no {key}, and so everybody"),
    }
}
