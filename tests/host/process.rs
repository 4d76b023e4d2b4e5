//! The processes of a private host, as its own /proc shows them.

use super::Host;
use std::fmt;
use std::fs;

#[derive(Debug, Clone)]
pub struct Process {
    pub pid: i32,
    /// 0 where the parent is outside the host.
    pub ppid: i32,
    pub pgrp: i32,
    pub session: i32,
    /// Real, effective, saved.
    pub uids: [u32; 3],
    pub groups: Vec<u32>,
    pub comm: String,
    /// Arguments joined with spaces.
    pub cmdline: String,
    /// As in ps: R, S, D, T, Z ...
    pub state: char,
    pub exe: String,
}

impl Process {
    fn read(host: &Host, pid: i32) -> Option<Process> {
        let folder = host.path(&format!("/proc/{pid}"));
        let stat = fs::read_to_string(format!("{folder}/stat")).ok()?;
        let (start, end) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = end.split_whitespace().collect();
        let status = fs::read_to_string(format!("{folder}/status")).ok()?;
        let numbers = |name: &str| -> Vec<u32> {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
            line.split_whitespace().filter_map(|word| word.parse().ok()).collect()
        };
        let exe = fs::read_link(format!("{folder}/exe")).unwrap_or_default();
        let cmdline = fs::read(format!("{folder}/cmdline")).unwrap_or_default();
        let cmdline = String::from_utf8_lossy(&cmdline).replace('\0', " ");
        Some(Process {
            pid,
            ppid: fields.get(1)?.parse().ok()?,
            pgrp: fields.get(2)?.parse().ok()?,
            session: fields.get(3)?.parse().ok()?,
            uids: numbers("Uid:").get(..3)?.try_into().ok()?,
            groups: numbers("Groups:"),
            comm: start.split_once('(')?.1.to_owned(),
            cmdline: cmdline.trim_end().to_owned(),
            state: fields.first()?.chars().next()?,
            exe: exe.to_string_lossy().into_owned(),
        })
    }

    pub fn is_gate(&self) -> bool {
        self.exe.starts_with("/usr/bin/tmux-gate")
    }

    pub fn is_tmux_server(&self) -> bool {
        self.comm.starts_with("tmux: server")
    }
}

impl fmt::Display for Process {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Process { pid, ppid, pgrp, session, uids, state, comm, cmdline, .. } = self;
        write!(out, "{pid:>5} {ppid:>5} pgrp {pgrp:>5} sid {session:>5} {uids:?} {state} ({comm}) {cmdline}")
    }
}

impl Host {
    pub fn processes(&self) -> Vec<Process> {
        let mut list: Vec<Process> = fs::read_dir(self.path("/proc"))
            .unwrap()
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter_map(|pid| Process::read(self, pid))
            .collect();
        list.sort_by_key(|process| process.pid);
        list
    }

    /// The processes of the gate itself: front and monitor.
    pub fn gates(&self) -> Vec<Process> {
        self.processes().into_iter().filter(Process::is_gate).collect()
    }

    /// The tmux clients: what the gate has started as a user and is no server.
    pub fn clients(&self) -> Vec<Process> {
        let client = |process: &Process| process.exe == "/usr/bin/tmux" && !process.is_tmux_server();
        self.processes().into_iter().filter(client).collect()
    }

    /// Processes that nobody accounts for: neither the first one, nor a person's program, nor the ssh server, nor a tmux
    /// server or what runs in its panes. Zombies count.
    pub fn left_over(&self) -> Vec<Process> {
        let all = self.processes();
        let expected = self.expected.lock().unwrap().clone();
        let servers: Vec<i32> =
            all.iter().filter(|process| process.is_tmux_server()).map(|server| server.pid).collect();
        let accounted = |process: &Process| {
            let from_server = servers.contains(&process.pid) || servers.contains(&process.ppid);
            let ours = process.pid == 1 || expected.contains(&process.pid);
            ours || from_server || process.comm == "sshd"
        };
        all.into_iter().filter(|process| !accounted(process)).collect()
    }

    pub fn expect_nothing_left(&self) {
        self.wait_until("the end of all processes that nobody accounts for", || self.left_over().is_empty());
    }

    /// Waits until no process of the gate is left.
    pub fn expect_no_gate(&self) {
        self.wait_until("the end of the gate", || self.gates().is_empty());
    }
}
