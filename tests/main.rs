//! The installed product, seen from outside, on private hosts. How to write such a test: host/mod.rs.

mod check;
mod conversation;
mod custody;
mod deaths;
mod docs;
mod environment;
mod harness;
mod host;
mod hygiene;
mod identity;
mod install;
mod ledger;
mod limits;
mod list;
mod load;
mod login_shell;
mod modules;
mod monitor;
mod password;
mod providers;
mod sharing;
mod ssh;
mod ssh_hostile;
mod terminal;
mod trust;
mod untouchable;
