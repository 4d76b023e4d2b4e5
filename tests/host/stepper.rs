//! Stops a process of a private host, and all that it starts, at a system call of one's choice: a step.

use super::Host;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// As long as nobody makes a system call everybody waits for something else: there are no more steps.
const IDLE: Duration = Duration::from_secs(2);

/// A thread that traces; the end of it lets everybody go on.
pub struct Stepper {
    reached: Receiver<Option<Pid>>,
    counted: Receiver<usize>,
    go_on: Sender<()>,
    thread: Option<JoinHandle<()>>,
}

impl Stepper {
    /// Takes the process `pid` of the host. Once `Stepper::run` is called it and its children run until the `step`th system
    /// call of them all.
    pub fn of(host: &Host, pid: i32, step: usize) -> Stepper {
        let pid = Pid::from_raw(host.outer_pid(pid));
        let ((say_reached, reached), (say_count, counted), (go_on, told)) = (channel(), channel(), channel());
        let (say_taken, taken) = channel();
        let thread = std::thread::spawn(move || {
            let options = Options::PTRACE_O_TRACEFORK | Options::PTRACE_O_TRACEVFORK | Options::PTRACE_O_TRACECLONE;
            let options = options | Options::PTRACE_O_TRACESYSGOOD | Options::PTRACE_O_TRACEEXEC;
            let seized = ptrace::seize(pid, options).and_then(|()| ptrace::interrupt(pid));
            say_taken.send(seized).unwrap();
            let _ = told.recv();
            let _ = say_count.send(trace(step, &say_reached, &told));
        });
        taken.recv().unwrap().expect("traced");
        Stepper { reached, counted, go_on, thread: Some(thread) }
    }

    /// Lets it run, to no step that is waited for.
    pub fn start(&self) {
        self.go_on.send(()).unwrap();
    }

    /// Lets it run to the step; who is stopped there, as seen from outside, or nobody if there are fewer steps.
    pub fn run(&self) -> Option<Pid> {
        self.start();
        self.reached.recv_timeout(super::LIMIT).expect("a step in time")
    }

    /// Everybody goes on, untraced; how many system calls there were.
    pub fn let_go(mut self) -> usize {
        let _ = self.go_on.send(());
        let counted = self.counted.recv_timeout(super::LIMIT).expect("a count");
        self.thread.take().map(JoinHandle::join);
        counted
    }
}

/// Until the step was reported and `told` to let go, or nobody is left.
fn trace(step: usize, reached: &Sender<Option<Pid>>, told: &Receiver<()>) -> usize {
    let (mut calls, mut last) = (0, Instant::now());
    loop {
        if told.try_recv().is_ok() {
            return calls;
        }
        // Of this thread's alone: other threads have children of their own.
        let flags = WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD | WaitPidFlag::WNOHANG;
        let signal = |signal| (signal != Signal::SIGSTOP && signal != Signal::SIGTRAP).then_some(signal);
        let (pid, signal) = match waitpid(None, Some(flags)) {
            Ok(WaitStatus::PtraceSyscall(pid)) => {
                calls += usize::from(counts(pid));
                if calls >= step {
                    let _ = reached.send(Some(pid));
                    let _ = told.recv();
                    return calls;
                }
                (pid, None)
            }
            Ok(WaitStatus::Stopped(pid, found)) => (pid, signal(found)),
            Ok(WaitStatus::PtraceEvent(pid, ..)) => (pid, None),
            Ok(WaitStatus::StillAlive) => {
                if last.elapsed() > IDLE {
                    let _ = reached.send(None);
                    let _ = told.recv();
                    return calls;
                }
                std::thread::sleep(Duration::from_micros(20));
                continue;
            }
            Ok(_) => continue,
            Err(_) => {
                let _ = reached.send(None);
                return calls;
            }
        };
        last = Instant::now();
        let _ = ptrace::syscall(pid, signal);
    }
}

/// What pam_exec closes, one by one, and what its shell waits for are no steps.
fn counts(pid: Pid) -> bool {
    let call = std::fs::read_to_string(format!("/proc/{pid}/syscall")).unwrap_or_default();
    let closes = call.split(' ').next().and_then(|number| number.parse().ok()) == Some(libc::SYS_close);
    let program = std::fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
    !closes && (program.ends_with("tmux-gate") || program.ends_with("tmux"))
}

impl Host {
    /// The number that a process of the host has outside.
    pub fn outer_pid(&self, inner: i32) -> i32 {
        let ours = std::fs::read_link(format!("/proc/{}/ns/pid", self.init)).unwrap();
        let all = std::fs::read_dir("/proc").unwrap().flatten();
        let mut pids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        let is_it = |pid: &i32| {
            let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap_or_default();
            let last = numbers.split_whitespace().next_back().and_then(|word| word.parse().ok());
            last == Some(inner) && std::fs::read_link(format!("/proc/{pid}/ns/pid")).is_ok_and(|found| found == ours)
        };
        pids.find(is_it).unwrap_or_else(|| panic!("{inner}: no such process\n{}", self.snapshot()))
    }
}
