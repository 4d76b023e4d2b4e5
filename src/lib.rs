//! tmux-gate: PAM in front of per-user tmux sockets that nothing else on the machine can reach.
//!
//! The rooms, in layer order; imports point down only (`tests/layering.rs`):
//!
//! ```text
//! main -> lib -> gate -> { cli config grants audit pam tmux session relay terminal inspect }
//!                     -> { policy, sys } -> ident
//! ```

#![deny(unsafe_op_in_unsafe_fn, missing_docs, unused_must_use)]
// A panic is an abort in the middle of something: no unwrap, no index, and no println!, which panics on a full stdout.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
#![deny(clippy::print_stdout, clippy::print_stderr, clippy::incompatible_msrv)]

pub mod audit;
pub mod cli;
pub mod config;
mod gate;
pub mod grants;
pub mod ident;
mod inspect;
mod pam;
pub mod policy;
pub mod relay;
mod session;
mod sys;
mod terminal;
mod tmux;

pub use gate::main;
