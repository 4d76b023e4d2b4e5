//! How does a line get to syslogd? Never: TCP, UDP, a wait without end, text that was not made safe before.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use syslog::{Facility, LogFormat, Logger, LoggerBackend};

use crate::sys::clock;

const SOCKET: &str = "/dev/log";
/// How long a stuck listener may hold up the gate.
const PATIENCE: Duration = Duration::from_millis(900);

/// How bad it is (syslog(3)).
#[derive(Clone, Copy)]
pub enum Severity {
    /// Somebody was refused.
    Warning,
    /// As it should be.
    Info,
}

/// Sends one line on a connection of its own, so that a restarted syslogd is found again.
///
/// # Errors
/// socket(2), connect(2), send(2); `WouldBlock` when the listener does not read.
pub fn send(severity: Severity, line: &str) -> io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    socket.set_write_timeout(Some(PATIENCE))?;
    socket.connect(SOCKET)?;
    let mut logger = Logger::new(LoggerBackend::Unix(socket), Local);
    let sent = match severity {
        Severity::Warning => logger.warning(line),
        Severity::Info => logger.info(line),
    };
    sent.map_err(|error| match error {
        syslog::Error::Write(e) | syslog::Error::Io(e) => e,
        syslog::Error::Initialization(e) => io::Error::other(e),
    })
}

/// RFC 3164 as syslogd expects it on its local socket: local time, no host name.
struct Local;

impl LogFormat<&str> for Local {
    fn format<W: io::Write>(&self, w: &mut W, severity: syslog::Severity, line: &str) -> syslog::Result<()> {
        const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        let priority = Facility::LOG_AUTHPRIV as u8 | severity as u8;
        let stamp = clock::local_now().and_then(|t| {
            let month = MONTHS.get(t.month)?;
            Some(format!("{month} {:2} {:02}:{:02}:{:02} ", t.day, t.hour, t.minute, t.second))
        });
        let (stamp, pid) = (stamp.unwrap_or_default(), std::process::id());
        // One write is one datagram.
        write!(w, "<{priority}>{stamp}tmux-gate[{pid}]: {line}").map_err(syslog::Error::Write)
    }
}
