//! How do I ask the kernel? Thin safe wrappers over nix and libc; the one home of `unsafe`.
//! Never: decisions, text for people.

pub mod clock;
pub mod delay;
pub mod entry;
pub mod files;
#[cfg(test)]
pub mod forbidden;
pub mod holders;
pub mod ids;
pub mod kernel;
pub mod process;
pub mod pty;
pub mod started;
pub mod tty;
