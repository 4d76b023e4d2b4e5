//! The command line, from which help, manual page and completions are made. Never: what a verb does.

use clap::{CommandFactory, Parser, Subcommand};

use super::sharing::SharingVerb;

/// Authenticate through PAM and attach to your own tmux session, on a socket that nothing else reaches
#[derive(Debug, Parser)]
#[command(name = "tmux-gate", version, args_conflicts_with_subcommands = true, disable_help_subcommand = true)]
pub struct Arguments {
    #[command(subcommand)]
    pub verb: Option<Verb>,
    /// The session to attach to, made if it is not there [default: the last used one, else `main`]
    pub session: Option<String>,
}

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Attach to your own session: asks what /etc/pam.d/tmux-gate asks (the default)
    Attach {
        /// The session to attach to, made if it is not there [default: the last used one, else `main`]
        session: Option<String>,
    },
    /// List your own gated sessions, without a password
    List {
        /// Print one JSON document
        #[arg(long)]
        json: bool,
    },
    #[command(flatten)]
    Sharing(SharingVerb),
    /// Check whether this host is set up right; each finding comes with its cure
    Check {
        /// Print one JSON document
        #[arg(long)]
        json: bool,
    },
    /// Say which rule of the configuration decides about you, at the gate or as a guest of OWNER, and why
    Explain {
        /// Into whose session you want; with your own name: who may ask to be let into yours
        owner: Option<String>,
        /// Print one JSON document
        #[arg(long)]
        json: bool,
    },
}

/// The whole definition, for the manual page and the completions.
#[must_use]
pub fn command() -> clap::Command {
    Arguments::command()
}
