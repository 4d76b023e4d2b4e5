//! A real OpenSSH server in a private host, and people who come by it.

use super::{Host, Person};
use std::process::Output;

const SETTINGS: &str = "\
Port 22
ListenAddress 127.0.0.1
HostKey /etc/ssh/ssh_host_ed25519_key
PidFile /run/sshd.pid
UsePAM yes
PasswordAuthentication yes
KbdInteractiveAuthentication no
PrintMotd no
AcceptEnv LANG LC_*
LogLevel VERBOSE
";

/// A server that allows whatever it is asked for, read after the pieces of sshd_config.d as in the distributions' file.
const OPEN: &str = "\
Include /etc/ssh/sshd_config.d/*.conf
PermitUserEnvironment yes
PermitUserRC yes
PermitTunnel yes
X11Forwarding yes
XAuthLocation /usr/local/bin/xauth
AllowTcpForwarding yes
AllowStreamLocalForwarding yes
AllowAgentForwarding yes
Subsystem sftp internal-sftp
";

impl Host {
    /// Starts the server, with `settings` after the defaults (so `Match` blocks may stand there).
    pub fn sshd(&self, settings: &str) {
        self.write("/etc/ssh/sshd_config", format!("{SETTINGS}{settings}\n"), 0o600);
        self.must(&["/usr/sbin/sshd", "-E", "/var/log/sshd.log"]);
        self.wait_until("the ssh server", || self.read("/var/log/sshd.log").contains("Server listening"));
    }

    /// Starts a server that is open to everything, on which somebody has followed the commands in the comment of the
    /// installed piece of sshd_config `name`. What the last one printed: the settings for alice.
    pub fn sshd_with(&self, name: &str) -> String {
        const PIECES: &str = "/usr/share/doc/tmux-gate/ssh";
        self.must(&["sh", "-c", "rm -rf /etc/ssh/sshd_config.d; mkdir /etc/ssh/sshd_config.d"]);
        self.write("/etc/ssh/sshd_config", format!("{SETTINGS}{OPEN}"), 0o600);
        self.write("/usr/local/bin/xauth", "#!/bin/sh\ncat >/dev/null\n", 0o755);
        self.write("/usr/local/bin/systemctl", "#!/bin/sh\n[ \"$*\" = 'reload ssh' ]\n", 0o755);
        let piece = self.read(&format!("{PIECES}/{name}"));
        let commands: Vec<_> = piece.lines().filter_map(|line| line.strip_prefix("#   ")).collect();
        assert!(commands.len() >= 3, "{name}: its comment has no commands");
        let mut settings = String::new();
        for command in commands {
            settings = self.must(&["sh", "-ec", &format!("cd {PIECES}; {command}")]);
        }
        self.sshd(OPEN);
        settings
    }

    /// A host on which alice reaches the gate alone, by packaging/ssh/force-command.conf.
    pub fn with_forced_command() -> Host {
        let host = Host::new();
        host.sshd_with("force-command.conf");
        host
    }

    /// The same by packaging/ssh/login-shell.conf: the gate is alice's login shell.
    pub fn with_login_shell() -> Host {
        let host = Host::new();
        host.sshd_with("login-shell.conf");
        host
    }

    /// carol's ssh, without a terminal; `words` follow it.
    pub fn ssh<W: AsRef<[u8]>>(&self, words: &[W]) -> Output {
        let words = words.iter().map(AsRef::as_ref);
        let argv: Vec<&[u8]> = [&b"ssh"[..], b"-oBatchMode=yes"].into_iter().chain(words).collect();
        self.spawn("carol", &["ssh"]).env("DISPLAY=:7").arguments(&argv).output()
    }

    /// As often somebody was refused so far.
    pub fn expect_refusals(&self, count: usize) {
        let refusals = || self.events().iter().filter(|line| line.contains("event=refused")).count();
        self.wait_until(&format!("{count} refusals"), || refusals() >= count);
        assert_eq!(refusals(), count, "{}", self.snapshot());
    }

    /// Somebody at a shell who has just typed `ssh` and these words; everybody's key opens everybody's account.
    pub fn ssh_person(&self, user: &str, words: &str) -> Person<'_> {
        let mut person = self.person(user);
        person.send(format!("ssh {words}\r"));
        person.expect("\n");
        person
    }
}

impl Person<'_> {
    /// Gives alice's password to the gate that asks, and is in.
    pub fn pass_as_alice(&mut self) {
        self.expect("Password: ");
        self.send("alice's secret\r");
        self.expect_inside();
    }
}
