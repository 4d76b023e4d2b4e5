//! A private host whose first process is systemd, and people who come into its control groups by its ssh server.

use super::{Holder, Host, LIMIT, Person, SCRIPT_IN_BASE, in_base, layers, running};
use std::fs;
use std::os::fd::AsRawFd;

const SSH: &str = "\
ListenAddress 127.0.0.1
HostKey /etc/ssh/ssh_host_ed25519_key
UsePAM yes
PrintMotd no
PrintLastLog no
";

impl Host {
    /// A host of the layer systemd in which systemd runs, with D-Bus and logind. What `spawn` starts is in no control group of
    /// its; who comes by its ssh server is.
    pub fn booted() -> Host {
        layers::built("systemd");
        let mut command = in_base("bash");
        command.args(["-eu", SCRIPT_IN_BASE, "boot", "systemd"]);
        let mut host = Host::held_by(Holder::start(&mut command).unwrap_or_else(|error| panic!("{error}")));
        host.holder.tidies_up = true;
        host
    }

    /// Makes these the settings of logind, below the distribution's.
    pub fn logind(&self, settings: &str) {
        self.must(&["mkdir", "-p", "/etc/systemd/logind.conf.d"]);
        self.write("/etc/systemd/logind.conf.d/test.conf", format!("[Login]\n{settings}"), 0o644);
        self.must(&["systemctl", "restart", "systemd-logind"]);
    }

    /// Starts Debian's ssh.service, which says when it listens.
    pub fn ssh_service(&self, settings: &str) {
        self.write("/etc/ssh/sshd_config", format!("{SSH}{settings}\n"), 0o600);
        self.must(&["systemctl", "start", "ssh"]);
    }

    /// Somebody who came by ssh to a shell of this account.
    pub fn by_ssh(&self, user: &str) -> Person<'_> {
        let prompt = format!("{user}$ ");
        let shell = format!("PS1='{prompt}' exec bash --norc --noprofile --noediting -i");
        self.ssh_to(user, &[&shell]).at_prompt(&prompt)
    }

    /// Somebody whose program is ssh, on a terminal, to this account, with these words.
    pub fn ssh_to(&self, user: &str, words: &[&str]) -> Person<'_> {
        let account = format!("{user}@localhost");
        self.spawn("carol", &[&["ssh", "-t", &account], words].concat()).on_terminal()
    }

    /// logind's sessions, oldest first: `alice sshd active`.
    pub fn logins(&self) -> Vec<String> {
        let list = self.must(&["loginctl", "--no-legend", "list-sessions"]);
        let ids = list.lines().filter_map(|line| line.split_whitespace().next());
        let mut logins: Vec<(u64, String)> = ids.filter_map(|id| self.login(id)).collect();
        logins.sort();
        logins.into_iter().map(|(_, login)| login).collect()
    }

    /// When it began, and what it is; nothing if it has ended since it was listed.
    fn login(&self, id: &str) -> Option<(u64, String)> {
        let output = self.run(&["loginctl", "show-session", id]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let value = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        let (user, service, state) = (value("Name")?, value("Service")?, value("State")?);
        Some((value("TimestampMonotonic")?.parse().ok()?, format!("{user} {service} {state}")))
    }

    pub fn expect_logins(&self, logins: &[&str]) {
        self.wait_until(&format!("logins {logins:?}"), || self.logins() == logins);
    }

    /// Where that process is among the control groups of the host: `/user.slice/user-1001.slice/session-3.scope`.
    pub fn control_group(&self, pid: i32) -> String {
        let text = self.read(&format!("/proc/{pid}/cgroup"));
        let path = text.lines().find_map(|line| line.strip_prefix("0::")).expect("control groups of version 2");
        let below = path.split_once("/tmux-gate-test.").map_or("", |(_, rest)| rest);
        below.find('/').map_or("/", |at| &below[at..]).to_owned()
    }

    /// The folder of the control group that holds the host, on the machine.
    pub fn own_control_group(&self) -> String {
        let mounts = fs::read_to_string("/proc/mounts").unwrap();
        let mounts = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        let top = mounts.into_iter().find(|words| words[2] == "cgroup2").expect("cgroup2 is mounted")[1].to_owned();
        let text = self.read("/proc/1/cgroup");
        let path = text.lines().find_map(|line| line.strip_prefix("0::")).expect("control groups of version 2");
        format!("{top}{}", path.strip_suffix("/init.scope").expect("systemd has made it"))
    }

    /// Kills what holds the host, so that it cannot tidy up, and waits for the end of the host.
    pub fn kill_holder(&mut self) {
        self.holder.child.kill().unwrap();
        assert!(running::poll(&[self.init_fd.as_raw_fd()], LIMIT), "the host outlived what holds it");
    }
}

impl Holder {
    /// Lets go of the host. One that tidies up after it gets the time to.
    pub(super) fn end(&mut self) {
        if self.tidies_up {
            drop(self.child.stdin.take());
            running::poll(&[running::pidfd_open(self.child.id() as i32).as_raw_fd()], LIMIT);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Person<'_> {
    /// Ends the shell, and with it the connection.
    pub fn log_out(&mut self) {
        self.send("exit 0\r");
        assert_eq!(self.exit_status(), 0, "{}", self.transcript());
    }
}
