//! A program that was started in a private host: its numbers, its end, and the system calls to wait for it.

use std::ffi::c_int;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

/// A started program; `pid` is as seen from outside the host.
pub struct Running {
    pub pid: i32,
    pidfd: OwnedFd,
    status: Option<ExitStatus>,
}

impl Running {
    pub(super) fn new(pid: i32) -> Self {
        Running { pid, pidfd: pidfd_open(pid), status: None }
    }

    /// Its number inside the host, as in `Process::pid`.
    pub fn inner_pid(&self) -> i32 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with("NSpid:")).unwrap_or("0");
        line.split_whitespace().next_back().and_then(|word| word.parse().ok()).unwrap_or(0)
    }

    pub fn kill(&self, signal: c_int) {
        // SAFETY: a system call on an owned descriptor.
        unsafe { libc::syscall(libc::SYS_pidfd_send_signal, self.pidfd.as_raw_fd(), signal, 0, 0) };
    }

    pub fn ended(&mut self) -> Option<ExitStatus> {
        let mut raw = 0;
        // SAFETY: our own child, waited for once: afterwards the status is kept.
        if self.status.is_none() && unsafe { libc::waitpid(self.pid, &mut raw, libc::WNOHANG) } == self.pid {
            self.status = Some(ExitStatus::from_raw(raw));
        }
        self.status
    }

    pub fn wait(&mut self) -> ExitStatus {
        poll(&[self.pidfd.as_raw_fd()], super::LIMIT);
        let pid = self.pid;
        self.ended().unwrap_or_else(|| panic!("process {pid} did not end within {:?}", super::LIMIT))
    }
}

impl AsRawFd for Running {
    /// Readable when the program has ended.
    fn as_raw_fd(&self) -> RawFd {
        self.pidfd.as_raw_fd()
    }
}

impl Drop for Running {
    /// We are its parent, and a host does not end before all its processes have been waited for.
    fn drop(&mut self) {
        if self.ended().is_none() {
            self.kill(libc::SIGKILL);
            poll(&[self.pidfd.as_raw_fd()], super::LIMIT);
            self.ended();
        }
    }
}

pub(super) fn pidfd_open(pid: i32) -> OwnedFd {
    // SAFETY: a system call; a descriptor not below 0 is new and ours.
    unsafe {
        let descriptor = libc::syscall(libc::SYS_pidfd_open, pid, 0);
        assert!(descriptor >= 0, "pidfd_open({pid}): {}", io::Error::last_os_error());
        OwnedFd::from_raw_fd(descriptor as RawFd)
    }
}

/// Waits until one of the descriptors is readable, ended or `limit` is over.
pub(super) fn poll(descriptors: &[RawFd], limit: Duration) -> bool {
    let mut list: Vec<_> =
        descriptors.iter().map(|&fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 }).collect();
    // SAFETY: the list is valid for its length.
    unsafe { libc::poll(list.as_mut_ptr(), list.len() as libc::nfds_t, limit.as_millis() as c_int) > 0 }
}
