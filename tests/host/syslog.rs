//! The host's syslog: a listener on its /dev/log.

use super::Host;
use std::fs::{self, Permissions};
use std::net::Shutdown;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

pub(super) struct Syslog {
    lines: Arc<Mutex<Vec<String>>>,
    listener: Option<(UnixDatagram, Option<JoinHandle<()>>)>,
}

impl Syslog {
    pub fn new() -> Self {
        Syslog { lines: Arc::default(), listener: None }
    }

    fn bind(path: &str) -> UnixDatagram {
        let socket = UnixDatagram::bind(path).unwrap();
        fs::set_permissions(path, Permissions::from_mode(0o666)).unwrap();
        socket
    }

    fn listen(&mut self, path: &str) {
        let socket = Self::bind(path);
        let listener = socket.try_clone().unwrap();
        let lines = self.lines.clone();
        let thread = std::thread::spawn(move || {
            let mut buffer = vec![0; 65536];
            // An empty datagram is not a line; shutting down wakes with 0 as well.
            while let Ok(length) = listener.recv(&mut buffer) {
                match length {
                    0 => return,
                    _ => lines.lock().unwrap().push(String::from_utf8_lossy(&buffer[..length]).into_owned()),
                }
            }
        });
        self.listener = Some((socket, Some(thread)));
    }

    fn stop(&mut self, path: &str) {
        let Some((socket, thread)) = self.listener.take() else {
            return;
        };
        socket.shutdown(Shutdown::Both).unwrap();
        if let Some(thread) = thread {
            thread.join().unwrap();
        }
        let _ = fs::remove_file(path); // the test may have removed it
    }
}

impl Host {
    fn log_path(&self) -> String {
        self.path("/dev/log")
    }

    pub fn syslog_start(&self) {
        self.syslog.lock().unwrap().listen(&self.log_path());
    }

    /// Nobody listens any more, and the socket is gone.
    pub fn syslog_stop(&self) {
        self.syslog.lock().unwrap().stop(&self.log_path());
    }

    /// Somebody has the socket and never reads it; its queue is full.
    pub fn syslog_stuck(&self) {
        self.syslog_stop();
        let socket = Syslog::bind(&self.log_path());
        let filler = UnixDatagram::unbound().unwrap();
        filler.set_nonblocking(true).unwrap();
        while filler.send_to(b"filler", self.log_path()).is_ok() {}
        self.syslog.lock().unwrap().listener = Some((socket, None));
    }

    /// Every line so far, whoever sent it, without the newline.
    pub fn syslog(&self) -> Vec<String> {
        self.syslog.lock().unwrap().lines.lock().unwrap().clone()
    }

    /// The lines of the gate itself: modules log for themselves.
    pub fn events(&self) -> Vec<String> {
        self.syslog().into_iter().filter(|line| line.contains("event=")).collect()
    }

    /// Waits for a line that holds all of `parts`.
    pub fn syslog_wait(&self, parts: &[&str]) -> String {
        let line = || self.syslog().into_iter().find(|line| parts.iter().all(|part| line.contains(part)));
        self.wait_until(&format!("a syslog line with {parts:?}"), || line().is_some());
        line().unwrap_or_default()
    }
}

impl Drop for Syslog {
    fn drop(&mut self) {
        self.stop("");
    }
}
