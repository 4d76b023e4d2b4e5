//! explain: which rule decides about the caller, and why, in words.

use std::path::Path;

use serde_json::{Value, json};

use super::entrance;
use super::error::{Error, Status};
use super::{Visit, answer_with, own};
use crate::cli::Output;
use crate::config::{self, Settings};
use crate::policy::{Decision, Need};

/// Prints the rule that lets the caller pass; a refusal is an error as it would be at the gate.
///
/// # Errors
/// As `attach` before PAM: status 77, or 78 for the configuration.
pub fn run(visit: &Visit, output: Output) -> Result<u8, Error> {
    let settings = config::load(Path::new(config::PATH))?;
    let verdict = Verdict::on(visit, &settings)?;
    let text = match output {
        Output::Json => verdict.json(visit).to_string() + "\n",
        Output::Text => verdict.line(visit),
    };
    answer_with(&text)?;
    Ok(verdict.status())
}

/// What `[attach] users` says of the caller.
pub(super) struct Verdict {
    decision: Option<Decision>,
    rule: String,
    why: String,
    /// The entry of `[attach] grant_required` that fits.
    required: Option<String>,
}

impl Verdict {
    pub(super) fn on(visit: &Visit, settings: &Settings) -> Result<Self, Error> {
        let decision = match entrance::admit(settings, &visit.caller, || visit.caller.groups()) {
            Ok(decision) => Some(decision),
            Err(Error::NotAllowed(_)) => None,
            Err(error) => return Err(error),
        };
        let entry = |at: usize| settings.users.iter().flatten().nth(at).map(ToString::to_string).unwrap_or_default();
        let (rule, why) = match decision {
            Some(Decision::AllowedToAll) => ("default".to_owned(), format!("{} sets no [attach] users", config::PATH)),
            Some(Decision::AllowedBy(at)) => (
                format!("attach.users[{at}]"),
                format!("\"{}\" of [attach] users is the first entry that fits", entry(at)),
            ),
            Some(Decision::Refused) | None => ("attach.users".to_owned(), "no entry of [attach] users fits".to_owned()),
        };
        let required = match own::need(settings, &visit.caller, || visit.caller.groups())? {
            Need::Nothing => None,
            Need::Grant(at) => Some(settings.grant_required.get(at).map(ToString::to_string).unwrap_or_default()),
        };
        Ok(Self { decision, rule, why, required })
    }

    pub(super) fn is_allowed(&self) -> bool {
        self.decision.is_some()
    }

    pub(super) fn status(&self) -> u8 {
        if self.is_allowed() { Status::DONE } else { Status::REFUSED }
    }

    pub(super) fn line(&self, visit: &Visit) -> String {
        let (name, why) = (&visit.caller.name, &self.why);
        if self.is_allowed() {
            let takes =
                |entry| format!("{name} needs an open grant for it: \"{entry}\" of [attach] grant_required fits\n");
            let takes = self.required.as_ref().map(takes).unwrap_or_default();
            format!("{name} may attach to the own session, once PAM agrees: {why}\n{takes}")
        } else {
            format!("{name} may not attach: {why}\n")
        }
    }

    pub(super) fn json(&self, visit: &Visit) -> Value {
        let (name, allowed) = (visit.caller.name.as_str(), self.is_allowed());
        json!({
            "user": name, "allowed": allowed, "rule": self.rule, "why": self.why,
            "grant_required": self.required.is_some(),
        })
    }
}
