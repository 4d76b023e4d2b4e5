//! check: is this host set up right? Gathers what each room finds, each finding with its cure. Runs as the caller.

use std::path::Path;

use serde_json::json;

use super::error::{Error, Status};
use super::{Visit, answer_with, caller, surroundings};
use crate::cli::Output;
use crate::config::{self, Settings};
use crate::inspect;
use crate::pam;
use crate::policy::Who;
use crate::tmux::{self, Runtime};

/// Prints findings, or that there are none.
///
/// # Errors
/// None of its own: what is wrong is a finding, and findings are status 78.
pub fn run(_visit: &Visit, output: Output) -> Result<u8, Error> {
    let findings = findings();
    let text = match output {
        Output::Json => json!({ "findings": findings }).to_string() + "\n",
        Output::Text if findings.is_empty() => "everything is set up right\n".to_owned(),
        Output::Text => findings.iter().map(|finding| format!("{finding}\n")).collect(),
    };
    answer_with(&text)?;
    Ok(if findings.is_empty() { Status::DONE } else { Status::CONFIGURATION })
}

fn findings() -> Vec<String> {
    let mut findings: Vec<String> = inspect::program().iter().map(ToString::to_string).collect();
    findings.extend(pam::service::faults(pam::SERVICE).iter().map(ToString::to_string));
    match config::load(Path::new(config::PATH)) {
        Err(error) => findings.push(error.to_string()),
        Ok(settings) => findings.extend(of_settings(&settings)),
    }
    findings.extend(of_group());
    findings
}

fn of_settings(settings: &Settings) -> Vec<String> {
    let mut findings = Vec::new();
    let (users, required) = (settings.users.iter().flatten(), settings.grant_required.iter());
    for (key, entry) in users.map(|entry| ("users", entry)).chain(required.map(|entry| ("grant_required", entry))) {
        match caller::resolve(entry) {
            Ok(Who::User(_) | Who::Group(_)) => {}
            Ok(Who::Nobody) => findings.push(format!(
                "{}: [attach] {key}: \"{entry}\" is not in the users database; correct the name, or remove it",
                config::PATH
            )),
            Err(fault) => findings.push(fault.to_string()),
        }
    }
    findings.extend(surroundings::missing(settings).iter().map(ToString::to_string));
    match tmux::usable(&settings.tmux) {
        Ok(()) => findings.extend(inspect::tmux_version(&settings.tmux).err().map(|fault| fault.to_string())),
        Err(fault) => findings.push(fault.to_string()),
    }
    findings
}

fn of_group() -> Vec<String> {
    match caller::group("tmux-gate") {
        Err(fault) => vec![fault.to_string()],
        Ok(None) => vec![Error::NoGroup.to_string()],
        Ok(Some(group)) => {
            let mut names = group.mem;
            names.extend(inspect::primary_members(group.gid.as_raw()));
            let members = inspect::members(&names).map(|f| f.to_string());
            let runtime = Runtime::check(group.gid.as_raw()).err().map(|e| e.to_string());
            members.into_iter().chain(runtime).collect()
        }
    }
}
