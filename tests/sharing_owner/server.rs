//! An owner's server that speaks tmux's protocol (version 8: tmux 3.2 and newer) and means no good: it answers what the gate
//! asks of it, keeps all that a client sends, descriptors too, and does with a guest's client what a test tells it to.

use crate::host::{Host, LIMIT};
use nix::cmsg_space;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, RecvMsg, recvmsg};
use std::fs;
use std::io::{IoSliceMut, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

pub const DETACH_AND_HANG_UP: u32 = 202;
pub const EXIT: u32 = 203;
const EXITED: u32 = 204;
const EXITING: u32 = 205;
pub const LOCK: u32 = 206;
pub const READY: u32 = 207;
pub const SHELL: u32 = 209;
pub const SUSPEND: u32 = 214;
pub const UNLOCK: u32 = 215;
pub const EXEC: u32 = 217;
pub const READ_OPEN: u32 = 300;
pub const READ: u32 = 301;
pub const READ_DONE: u32 = 302;
pub const WRITE_OPEN: u32 = 303;
pub const WRITE: u32 = 304;
pub const WRITE_READY: u32 = 305;
pub const WRITE_CLOSE: u32 = 306;

const COMMAND: u32 = 200;
const VERSION: u32 = 8;
const HEADER: usize = 16;

/// All that clients ever sent.
#[derive(Default)]
pub struct Received {
    pub bytes: Vec<u8>,
    /// Device and inode of each file that was given away.
    pub files: Vec<(u64, u64)>,
    /// Never closed.
    kept: Vec<OwnedFd>,
}

/// The connection of a guest's client, which has said who it is and waits for what it is to do.
pub struct Client {
    stream: UnixStream,
    all: Arc<Mutex<Received>>,
    unread: Vec<u8>,
    /// What it gave away: its standard input first.
    descriptors: Vec<OwnedFd>,
}

impl Client {
    /// What it gave away is never closed.
    pub fn keep(&mut self) {
        let kept = self.descriptors.iter().map(|descriptor| descriptor.try_clone().unwrap());
        self.all.lock().unwrap().kept.extend(kept);
    }

    /// Sends a message; a client that is gone hears nothing.
    pub fn send(&mut self, kind: u32, payload: &[u8]) -> bool {
        let length = u16::try_from(HEADER + payload.len()).expect("a message is short");
        let mut message = kind.to_ne_bytes().to_vec();
        message.extend(length.to_ne_bytes());
        message.extend(0_u16.to_ne_bytes());
        message.extend(VERSION.to_ne_bytes());
        message.extend(0_u32.to_ne_bytes());
        message.extend(payload);
        self.stream.write_all(&message).is_ok()
    }

    /// The next message, its type and what it carries; `None` when the client is gone.
    pub fn hear(&mut self) -> Option<(u32, Vec<u8>)> {
        loop {
            if let Some(header) = self.unread.get(..HEADER) {
                let kind = u32::from_ne_bytes(header[..4].try_into().unwrap());
                let length = usize::from(u16::from_ne_bytes(header[4..6].try_into().unwrap()));
                if self.unread.len() >= length {
                    let message: Vec<u8> = self.unread.drain(..length).collect();
                    return Some((kind, message[HEADER..].to_vec()));
                }
            }
            self.read()?;
        }
    }

    fn read(&mut self) -> Option<()> {
        let mut chunk = [0; 65536];
        let mut room = cmsg_space!([RawFd; 8]);
        let mut parts = [IoSliceMut::new(&mut chunk)];
        let message: RecvMsg<'_, '_, ()> =
            recvmsg(self.stream.as_raw_fd(), &mut parts, Some(&mut room), MsgFlags::MSG_CMSG_CLOEXEC).ok()?;
        let mut all = self.all.lock().unwrap();
        for rights in message.cmsgs().ok()? {
            let ControlMessageOwned::ScmRights(descriptors) = rights else { continue };
            for descriptor in descriptors {
                // SAFETY: it has just come, and nobody else knows it.
                let descriptor = unsafe { OwnedFd::from_raw_fd(descriptor) };
                let file = fs::metadata(format!("/proc/self/fd/{}", descriptor.as_raw_fd())).unwrap();
                all.files.push((file.dev(), file.ino()));
                self.descriptors.push(descriptor);
            }
        }
        let length = message.bytes;
        all.bytes.extend(&chunk[..length]);
        self.unread.extend(&chunk[..length]);
        (length > 0).then_some(())
    }

    /// Waits for a message of this type; `None` when the client is gone before.
    pub fn hear_of(&mut self, wanted: u32) -> Option<Vec<u8>> {
        loop {
            match self.hear()? {
                (kind, payload) if kind == wanted => return Some(payload),
                _ => {}
            }
        }
    }

    /// Reads a file through the client: its bytes, or the error number.
    pub fn read_file(&mut self, stream: i32, path: &str) -> Option<Result<Vec<u8>, i32>> {
        let open = [&stream.to_ne_bytes(), &(-1_i32).to_ne_bytes(), path.as_bytes(), b"\0"].concat();
        self.send(READ_OPEN, &open);
        let mut bytes = Vec::new();
        loop {
            match self.hear()? {
                (READ, payload) => bytes.extend(&payload[4..]),
                (READ_DONE, payload) => {
                    let error = i32::from_ne_bytes(payload[4..8].try_into().unwrap());
                    return Some(if error == 0 { Ok(bytes) } else { Err(error) });
                }
                _ => {}
            }
        }
    }

    /// Writes a file through the client; the error number.
    pub fn write_file(&mut self, stream: i32, path: &str, text: &[u8]) -> Option<i32> {
        let numbers = [stream.to_ne_bytes(), (-1_i32).to_ne_bytes(), 0_i32.to_ne_bytes()].concat();
        self.send(WRITE_OPEN, &[&numbers, path.as_bytes(), b"\0"].concat());
        let ready = self.hear_of(WRITE_READY)?;
        let error = i32::from_ne_bytes(ready[4..8].try_into().unwrap());
        if error == 0 {
            self.send(WRITE, &[&stream.to_ne_bytes(), text].concat());
            self.send(WRITE_CLOSE, &stream.to_ne_bytes());
        }
        Some(error)
    }

    /// Prints on the client's standard output.
    fn print(&mut self, text: &[u8]) {
        let numbers = [1_i32.to_ne_bytes(), 1_i32.to_ne_bytes(), 0_i32.to_ne_bytes()].concat();
        self.send(WRITE_OPEN, &numbers);
        self.send(WRITE, &[&1_i32.to_ne_bytes(), text].concat());
        self.send(WRITE_CLOSE, &1_i32.to_ne_bytes());
    }

    /// Has the client execute this line, as `detach-client -E` does.
    pub fn exec(&mut self, line: &str) {
        self.send(EXEC, &[line.as_bytes(), b"\0/bin/sh\0"].concat());
        self.hear_of(EXITING);
        self.send(EXITED, b"");
    }

    /// Reads until the client is gone.
    pub fn listen(&mut self) {
        while self.hear().is_some() {}
    }

    /// As a real server does when the client says that it is about to end, for as long as that.
    pub fn answer_the_end(&mut self, time: Duration) {
        self.stream.set_read_timeout(Some(time)).unwrap();
        while let Some((kind, _)) = self.hear() {
            if kind == EXITING {
                self.send(EXITED, b"");
            }
        }
    }

    /// Writes straight to the terminal that the client gave away.
    pub fn print_raw(&self, bytes: &[u8]) {
        let terminal = self.descriptors.first().expect("a terminal");
        let mut rest = bytes;
        while !rest.is_empty() {
            let mut writable =
                [nix::poll::PollFd::new(std::os::fd::AsFd::as_fd(terminal), nix::poll::PollFlags::POLLOUT)];
            let _ = nix::poll::poll(&mut writable, nix::poll::PollTimeout::try_from(LIMIT).unwrap());
            match nix::unistd::write(terminal, rest) {
                Ok(taken) => rest = &rest[taken..],
                Err(nix::errno::Errno::EAGAIN | nix::errno::Errno::EINTR) => {}
                Err(_) => return,
            }
        }
    }
}

/// What it does with a command of the gate's own.
pub enum Reply {
    Prints(Vec<u8>),
    /// It hangs, for as long as the client waits.
    Nothing,
    /// The program takes the client's place.
    Executes(&'static str),
}

/// Its reply to a command.
pub type Answer = fn(&[String]) -> Reply;

/// As a server with a session `work` would.
pub fn polite(command: &[String]) -> Reply {
    Reply::Prints(match () {
        () if asks(command, "list-sessions") => b"1 $0 work\n".to_vec(),
        () if asks(command, "display-message") => b"C-b None\n".to_vec(),
        () => Vec::new(),
    })
}

pub fn asks(command: &[String], word: &str) -> bool {
    command.iter().any(|argument| argument == word)
}

/// The server.
pub struct Hostile {
    pub received: Arc<Mutex<Received>>,
}

impl Hostile {
    /// Listens on alice's socket. `attack` has each guest's client, once it said
    /// what it is, and keeps it for as long as it likes.
    pub fn start(host: &Host, answer: Answer, attack: impl Fn(Client) + Send + Sync + 'static) -> Self {
        let directory = host.path("/run/tmux-gate/1001");
        if !host.exists("/run/tmux-gate/1001") {
            // As the gate makes it.
            let mut alice = host.person("alice");
            let attempt = alice.attempt("tmux-gate");
            alice.expect_inside();
            alice.leave(&attempt);
            host.kill("TERM", &host.tmux_servers());
            host.wait_until("the end of the real server", || host.tmux_servers().is_empty());
        }
        let path = format!("{directory}/default");
        let _ = fs::remove_file(&path);
        let listener = UnixListener::bind(&path).unwrap();
        chown(&path, Some(1001), Some(1001)).unwrap();
        let received = Arc::new(Mutex::new(Received::default()));
        let (all, attack) = (received.clone(), Arc::new(attack));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (all, attack) = (all.clone(), attack.clone());
                let client = Client { stream: stream.unwrap(), all, unread: Vec::new(), descriptors: Vec::new() };
                thread::spawn(move || serve(client, answer, &*attack));
            }
        });
        Self { received }
    }

    /// Nothing that came holds these bytes.
    pub fn expect_never_received(&self, bytes: &[u8]) {
        let received = self.received.lock().unwrap();
        let found = received.bytes.windows(bytes.len()).any(|window| window == bytes);
        assert!(!found, "{:?} was sent to the server", String::from_utf8_lossy(bytes));
    }
}

fn serve(mut client: Client, answer: Answer, attack: &(impl Fn(Client) + ?Sized)) {
    let mut arguments = Vec::new();
    while arguments.is_empty() {
        match client.hear() {
            Some((COMMAND, payload)) => {
                let words =
                    payload[4..].split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned());
                arguments = words.collect();
            }
            Some(_) => {}
            None => return,
        }
    }
    if arguments.iter().any(|word| word == "attach-session") {
        return attack(client);
    }
    // The answer ends when nobody can write any more of it.
    client.descriptors.clear();
    match answer(&arguments) {
        Reply::Prints(text) => {
            client.print(&text);
            client.send(EXIT, &0_i32.to_ne_bytes());
        }
        Reply::Nothing => {}
        Reply::Executes(program) => drop(client.send(SHELL, &[program.as_bytes(), b"\0"].concat())),
    }
    client.listen();
}
