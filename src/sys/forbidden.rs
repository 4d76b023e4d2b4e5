//! What a sandbox must stop, tried out: for its tests alone.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use libc::{c_long, c_uint, c_ulong};

fn result(outcome: c_long) -> io::Result<()> {
    if outcome < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// A terminal's ioctl with one byte to read (TIOCSTI, TIOCLINUX), the request's upper half included.
pub fn ioctl(fd: BorrowedFd<'_>, request: u64) -> io::Result<()> {
    let byte = b'x';
    // SAFETY: the requests in question read one byte from the pointer.
    result(unsafe { libc::syscall(libc::SYS_ioctl, fd.as_raw_fd(), request as c_ulong, &raw const byte) })
}

/// ptrace(2): let the parent trace this process.
pub fn trace() -> io::Result<()> {
    // SAFETY: PTRACE_TRACEME takes no pointers.
    result(unsafe { libc::ptrace(libc::PTRACE_TRACEME) })
}

/// process_vm_readv(2) of nothing of the parent's.
pub fn look_into_parent() -> io::Result<()> {
    let none = std::ptr::null::<libc::iovec>();
    // SAFETY: both vectors have no elements.
    result(unsafe { libc::process_vm_readv(libc::getppid(), none, 0, none, 0, 0) as c_long })
}

/// mmap(2) of one page with these protections and flags, of `fd` if there is one.
pub fn map(protection: i32, flags: i32, fd: i32) -> io::Result<()> {
    // SAFETY: a new mapping at a place of the kernel's choice, which nobody uses.
    let page = unsafe { libc::mmap(std::ptr::null_mut(), 4096, protection, flags, fd, 0) };
    if page == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// A system call that takes no pointers, by any number.
pub fn plain(number: c_long) -> io::Result<()> {
    // SAFETY: zeroes are no pointers that the kernel would write to.
    result(unsafe { libc::syscall(number, 0, 0, 0, 0, 0, 0) })
}

/// pidfd_getfd(2), which takes a descriptor out of another process.
pub fn take_descriptor(process: BorrowedFd<'_>, number: c_uint) -> io::Result<()> {
    // SAFETY: a plain system call on numbers.
    result(unsafe { libc::syscall(libc::SYS_pidfd_getfd, process.as_raw_fd(), number, 0) })
}
