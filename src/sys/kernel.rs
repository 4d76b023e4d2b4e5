//! What does this kernel have to shut a process in with? Asked by anybody. Never: a change, of this process or of another.

/// landlock(7): LANDLOCK_CREATE_RULESET_VERSION.
const VERSION: u32 = 1;

/// Is Landlock built in and not switched off?
pub fn has_landlock() -> bool {
    let nothing = std::ptr::null::<libc::c_void>();
    // SAFETY: with this flag no ruleset is read and none is made: the kernel answers with a number.
    unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, nothing, 0_usize, VERSION) > 0 }
}

/// Are there seccomp filters that can end a whole process?
pub fn has_seccomp() -> bool {
    let action: u32 = libc::SECCOMP_RET_KILL_PROCESS;
    // SAFETY: the kernel reads the number behind the pointer, which is valid for the call, and answers.
    unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_GET_ACTION_AVAIL, 0, &raw const action) == 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_kernel_says_what_it_has() {
        let status = std::fs::read_to_string("/proc/self/status").expect("/proc");
        assert_eq!(has_seccomp(), status.contains("\nSeccomp_filters:"));
        if let Ok(modules) = std::fs::read_to_string("/sys/kernel/security/lsm") {
            assert_eq!(has_landlock(), modules.split(',').any(|name| name.trim() == "landlock"));
        }
    }
}
