//! What is forbidden, tried from inside, each in a process of its own.

use std::fs;
use std::io;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd;

use super::*;
use crate::sys::{forbidden, process, pty};

/// How a process ended that put up this wall and then tried this: `Ok` with 0 if it could, 1 if it could not.
fn outcome(wall: fn() -> bool, attempt: &dyn Fn() -> io::Result<()>) -> Result<i32, Signal> {
    let child = process::fork(&[], || {
        assert!(wall(), "this kernel has no such wall: nothing is tested");
        // A harness that catches panics is no part of it.
        u8::from(attempt().is_err())
    });
    match waitpid(child.unwrap().pid, None).unwrap() {
        WaitStatus::Exited(_, status) => Ok(status),
        WaitStatus::Signaled(_, signal, _) => Err(signal),
        other => panic!("{other:?}"),
    }
}

fn nothing() -> bool {
    true
}

/// Without the wall it can be done, so that the wall it is what forbids it; with the wall, this comes of it.
fn forbidden(what: &str, wall: fn() -> bool, expected: Result<i32, Signal>, attempt: &dyn Fn() -> io::Result<()>) {
    assert_eq!(outcome(nothing, attempt), Ok(0), "{what}, with nothing that forbids it");
    assert_eq!(outcome(wall, attempt), expected, "{what}");
}

fn abstract_name() -> SocketAddr {
    SocketAddr::from_abstract_name(format!("tmux-gate-test-{}", unistd::getppid())).unwrap()
}

#[test]
fn landlock_denies_files_the_network_abstract_sockets_and_signals() {
    let own = SocketAddr::from_abstract_name(format!("tmux-gate-test-{}", unistd::getpid())).unwrap();
    let _listener = UnixListener::bind_addr(&own).unwrap();
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = tcp.local_addr().unwrap();
    let scratch = std::env::temp_dir();
    let attempts: &[(&str, &dyn Fn() -> io::Result<()>)] = &[
        ("open to read", &|| fs::File::open("/etc/passwd").map(drop)),
        ("open a directory", &|| fs::read_dir("/").map(drop)),
        ("open to write", &|| fs::OpenOptions::new().write(true).open("/dev/null").map(drop)),
        ("make a file", &|| {
            let path = scratch.join(format!("tmux-gate-test-{}", unistd::getpid()));
            fs::File::create_new(&path)?;
            fs::remove_file(path)
        }),
        ("make a directory", &|| {
            let path = scratch.join(format!("tmux-gate-test-dir-{}", unistd::getpid()));
            fs::create_dir(&path)?;
            fs::remove_dir(path)
        }),
        ("execute", &|| execute("/bin/true")),
        ("connect by TCP", &|| TcpStream::connect(address).map(drop)),
        ("listen by TCP", &|| TcpListener::bind("127.0.0.1:0").map(drop)),
        ("connect to an abstract socket", &|| UnixStream::connect_addr(&abstract_name()).map(drop)),
        ("signal somebody else", &|| Ok(kill(unistd::getppid(), None)?)),
    ];
    for (what, attempt) in attempts {
        forbidden(what, landlock, Ok(1), attempt);
    }
}

/// Returns only the error of it.
fn execute(path: &str) -> io::Result<()> {
    Err(process::exec(path, &[path.to_owned()], &[]))
}

#[test]
fn seccomp_kills_who_opens_connects_executes_forks_signals_or_traces() {
    let killed = Err(Signal::SIGSYS);
    let parent = process::fork(&[], || {
        let _ = nix::poll::poll(&mut [], 10_000_u16);
        0
    });
    let parent = parent.unwrap();
    let (_master, slave) = pty::open().unwrap();
    let file = fs::File::open("/etc/passwd").unwrap();
    let attempts: &[(&str, &dyn Fn() -> io::Result<()>)] = &[
        ("open", &|| fs::File::open("/etc/passwd").map(drop)),
        ("stat", &|| fs::metadata("/etc/passwd").map(drop)),
        ("unlink", &|| fs::remove_file("/tmp/tmux-gate-test-nothing").or(Ok(()))),
        ("socket", &|| UdpSocket::bind("127.0.0.1:0").map(drop)),
        ("socketpair", &|| UnixStream::pair().map(drop)),
        ("pipe", &|| io::pipe().map(drop)),
        ("execve", &|| execute("/bin/true")),
        ("fork", &|| process::fork(&[], || 0).map(drop)),
        ("kill", &|| Ok(kill(unistd::getpid(), None)?)),
        ("pidfd_send_signal", &|| {
            parent.signal(Signal::SIGCONT);
            Ok(())
        }),
        ("pidfd_getfd", &|| forbidden::take_descriptor(parent.as_fd(), 0)),
        ("ptrace", &forbidden::trace),
        ("process_vm_readv", &forbidden::look_into_parent),
        ("setuid", &|| Ok(unistd::setuid(unistd::geteuid())?)),
        ("dup", &|| unistd::dup(&slave).map(drop).map_err(io::Error::from)),
        ("memory that is executed", &|| {
            forbidden::map(libc::PROT_READ | libc::PROT_EXEC, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1)
        }),
        ("memory of a file", &|| forbidden::map(libc::PROT_READ, libc::MAP_PRIVATE, file.as_raw_fd())),
        ("TCGETS", &|| nix::sys::termios::tcgetattr(&slave).map(drop).map_err(io::Error::from)),
        ("getpid", &|| forbidden::plain(libc::SYS_getpid)),
    ];
    for (what, attempt) in attempts {
        forbidden(what, seccomp, killed, attempt);
    }
    parent.signal(Signal::SIGKILL);
    process::reap(parent.pid);
}

/// Some kernels refuse these to everybody, or to who is not on the terminal: killed they are in any case.
#[test]
fn seccomp_kills_who_types_into_a_terminal_or_calls_in_another_tongue() {
    let (_master, slave) = pty::open().unwrap();
    let ioctl = |request: u64| forbidden::ioctl(slave.as_fd(), request);
    let high = 1 << 32; // the kernel does not look at it (CVE-2019-10063)
    let attempts: &[(&str, &dyn Fn() -> io::Result<()>)] = &[
        ("TIOCSTI", &|| ioctl(number(libc::TIOCSTI))),
        ("TIOCLINUX", &|| ioctl(number(libc::TIOCLINUX))),
        ("TIOCSTI, dressed up", &|| ioctl(number(libc::TIOCSTI) | high)),
        ("TIOCLINUX, dressed up", &|| ioctl(number(libc::TIOCLINUX) | high)),
        ("TIOCSCTTY", &|| ioctl(number(libc::TIOCSCTTY))),
        #[cfg(target_arch = "x86_64")]
        ("read, by the number of x32", &|| forbidden::plain(libc::SYS_read | 0x4000_0000)),
        ("a number that is nobody's", &|| forbidden::plain(9999)),
    ];
    for (what, attempt) in attempts {
        assert_eq!(outcome(seccomp, attempt), Err(Signal::SIGSYS), "{what}");
    }
}

#[test]
fn what_a_relay_does_is_allowed() {
    let (master, slave) = pty::open().unwrap();
    let attempts: &[(&str, &dyn Fn() -> io::Result<()>)] = &[
        ("write and wait and read", &|| {
            unistd::write(&slave, b"x")?;
            nix::poll::poll(&mut [nix::poll::PollFd::new(master.as_fd(), nix::poll::PollFlags::POLLIN)], 1000_u16)?;
            unistd::read(&master, &mut [0])?;
            Ok(())
        }),
        ("resize", &|| master.have_redrawn()),
        ("memory", &|| {
            for size in [1 << 10, 1 << 17, 1 << 22] {
                let mut bytes = vec![1_u8; size];
                bytes.resize(2 * size, 2);
            }
            Ok(())
        }),
        ("the time", &|| {
            let _ = std::time::Instant::now();
            Ok(())
        }),
    ];
    for (what, attempt) in attempts {
        assert_eq!(outcome(|| landlock() && seccomp(), attempt), Ok(0), "{what}");
    }
}
