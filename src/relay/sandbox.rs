//! What may the relay still do, once it holds all that it needs? Read, write, wait, ask and set a terminal's size.
//! MUST: the file system and the network first (Landlock), then everything (seccomp), which would deny the former.
//! Never: a loosening; TIOCSTI and TIOCLINUX, with their number dressed up in other bits (CVE-2019-10063).

use std::collections::BTreeMap;

use landlock::{ABI, Access, AccessFs, AccessNet, Ruleset, RulesetAttr, RulesetError, RulesetStatus, Scope};
use libc::c_long;
use nix::sys::prctl;
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen as Length, SeccompCmpOp as Compare, SeccompCondition,
    SeccompFilter, SeccompRule, TargetArch,
};

use super::Refusal;

/// Must a kernel that cannot do it be refused?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sandbox {
    /// Nothing is relayed without Landlock and seccomp.
    Required,
    /// As much of it as the kernel has.
    Wanted,
}

/// Gives up everything but what a pipe does, for good.
///
/// # Errors
/// What is missing, if it is required.
pub fn enter(sandbox: Sandbox) -> Result<(), Refusal> {
    prctl::set_no_new_privs().map_err(|_| Refusal::Identity)?;
    let walls = [(landlock as fn() -> bool, Refusal::NoLandlock), (seccomp, Refusal::NoSeccomp)];
    for (wall, missing) in walls {
        if !wall() && sandbox == Sandbox::Required {
            return Err(missing);
        }
    }
    Ok(())
}

/// Denies all that this kernel's Landlock knows to deny. Does it know anything?
pub(super) fn landlock() -> bool {
    deny_all().is_ok_and(|ruleset| ruleset != RulesetStatus::NotEnforced)
}

/// The newest set whose every right was looked at; less of it on an older kernel.
const KNOWN: ABI = ABI::V9;

fn deny_all() -> Result<RulesetStatus, RulesetError> {
    let denied = Ruleset::default()
        .handle_access(AccessFs::from_all(KNOWN))?
        .handle_access(AccessNet::from_all(KNOWN))?
        .scope(Scope::from_all(KNOWN))?;
    Ok(denied.create()?.restrict_self()?.ruleset)
}

/// Kills this process at any system call that is not in the list. Can the kernel?
pub(super) fn seccomp() -> bool {
    program().is_ok_and(|program| seccompiler::apply_filter(&program).is_ok())
}

/// With any arguments: on what was open before, for nothing can be opened.
const ALLOWED: &[c_long] = &[
    libc::SYS_read,
    libc::SYS_write,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_poll,
    libc::SYS_ppoll,
    // send(2) and recv(2): the monitor.
    libc::SYS_sendto,
    libc::SYS_recvfrom,
    libc::SYS_clock_gettime,
    libc::SYS_restart_syscall,
    libc::SYS_exit_group,
    // Memory for the allocator, besides what is below.
    libc::SYS_brk,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_madvise,
];

fn program() -> Result<BpfProgram, BackendError> {
    let mut rules: BTreeMap<c_long, Vec<SeccompRule>> = ALLOWED.iter().map(|number| (*number, Vec::new())).collect();
    // The kernel looks at the lower half of the request only, and so does this.
    let ioctl = |request| all([condition(1, Length::Dword, Compare::Eq, request)]);
    rules.insert(libc::SYS_ioctl, vec![ioctl(number(libc::TIOCGWINSZ))?, ioctl(number(libc::TIOCSWINSZ))?]);
    let not_executable = || condition(2, Length::Qword, Compare::MaskedEq(number(libc::PROT_EXEC)), 0);
    let anonymous = number(libc::MAP_ANONYMOUS);
    let of_no_file = condition(3, Length::Qword, Compare::MaskedEq(anonymous), anonymous);
    rules.insert(libc::SYS_mmap, vec![all([not_executable(), of_no_file])?]);
    rules.insert(libc::SYS_mprotect, vec![all([not_executable()])?]);
    let machine = TargetArch::try_from(std::env::consts::ARCH)?;
    SeccompFilter::new(rules, SeccompAction::KillProcess, SeccompAction::Allow, machine)?.try_into()
}

/// Constants of C are of many types, and not of the same ones with every C library.
fn number(constant: impl TryInto<u64>) -> u64 {
    constant.try_into().unwrap_or(u64::MAX)
}

fn condition(argument: u8, length: Length, compare: Compare, value: u64) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(argument, length, compare, value)
}

fn all<const N: usize>(conditions: [Result<SeccompCondition, BackendError>; N]) -> Result<SeccompRule, BackendError> {
    SeccompRule::new(conditions.into_iter().collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests;
