//! explain: which rule decides about the caller, and why, in words.

use std::path::Path;

use serde_json::json;

use super::entrance;
use super::error::{Error, Status};
use super::{Visit, answer_with};
use crate::cli::Output;
use crate::config;
use crate::policy::Decision;

/// Prints the rule that lets the caller pass; a refusal is an error as it would be at the gate.
///
/// # Errors
/// As `attach` before PAM: status 77, or 78 for the configuration.
pub fn run(visit: &Visit, output: Output) -> Result<u8, Error> {
    let settings = config::load(Path::new(config::PATH))?;
    let decision = match entrance::admit(&settings, &visit.caller, || visit.caller.groups()) {
        Ok(decision) => Some(decision),
        Err(Error::NotAllowed(_)) => None,
        Err(error) => return Err(error),
    };
    let name = &visit.caller.name;
    let entry = |at: usize| settings.users.iter().flatten().nth(at).map(ToString::to_string).unwrap_or_default();
    let (rule, why) = match decision {
        Some(Decision::AllowedToAll) => ("default".to_owned(), format!("{} sets no [attach] users", config::PATH)),
        Some(Decision::AllowedBy(at)) => {
            (format!("attach.users[{at}]"), format!("\"{}\" of [attach] users is the first entry that fits", entry(at)))
        }
        Some(Decision::Refused) | None => ("attach.users".to_owned(), "no entry of [attach] users fits".to_owned()),
    };
    let allowed = decision.is_some();
    let text = match (output, allowed) {
        (Output::Json, _) => json!({ "user": name.as_str(), "allowed": allowed, "rule": rule, "why": why }).to_string(),
        (Output::Text, true) => {
            format!("{name} may attach to the own session, once PAM agrees: {why}")
        }
        (Output::Text, false) => format!("{name} may not attach: {why}"),
    };
    answer_with(&(text + "\n"))?;
    Ok(if allowed { Status::DONE } else { Status::REFUSED })
}
