//! A real OpenSSH server in a private host, and people who come by it.

use super::{Host, Person};

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

impl Host {
    /// Starts the server, with `settings` after the defaults (so `Match` blocks may stand there).
    pub fn sshd(&self, settings: &str) {
        self.write("/etc/ssh/sshd_config.test", format!("{SETTINGS}{settings}\n"), 0o600);
        self.must(&["/usr/sbin/sshd", "-f", "/etc/ssh/sshd_config.test", "-E", "/var/log/sshd.log"]);
        self.wait_until("the ssh server", || self.read("/var/log/sshd.log").contains("Server listening"));
    }

    /// Somebody at a shell who has just typed `ssh` and these words; everybody's key opens everybody's account.
    pub fn ssh_person(&self, user: &str, words: &str) -> Person<'_> {
        let mut person = self.person(user);
        person.send(format!("ssh {words}\r"));
        person.expect("\n");
        person
    }
}
