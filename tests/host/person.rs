//! A person: hands and eyes on a terminal of a private host.

use super::running::{Running, poll};
use super::{Host, LIMIT, screen::Screen};
use nix::sys::termios::{Termios, tcgetattr};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Instant;

nix::ioctl_write_int_bad!(tiocgptpeer, nix::libc::TIOCGPTPEER);
nix::ioctl_read_bad!(tiocgptn, nix::libc::TIOCGPTN, u32);
nix::ioctl_write_ptr_bad!(tiocsptlck, nix::libc::TIOCSPTLCK, i32);
nix::ioctl_write_ptr_bad!(tiocswinsz, nix::libc::TIOCSWINSZ, nix::libc::winsize);
nix::ioctl_write_int_bad!(tcflsh, nix::libc::TCFLSH);

/// What has come out of a terminal so far.
struct Seen {
    bytes: Vec<u8>,
    screen: Screen,
    /// Nothing more can come: every process has closed the terminal.
    ended: bool,
}

/// The near end of a pseudo-terminal, with a thread that reads it.
pub struct Terminal {
    master: Option<Arc<File>>,
    seen: Arc<(Mutex<Seen>, Condvar)>,
    reader: Option<JoinHandle<()>>,
    stop: Option<OwnedFd>,
    /// As in the host: `/dev/pts/0`.
    pub name: String,
}

impl Terminal {
    pub(super) fn open(host: &Host, owner: u32) -> (Terminal, OwnedFd) {
        let flags = libc::O_NOCTTY | libc::O_CLOEXEC;
        let path = host.path("/dev/pts/ptmx");
        let master = File::options().read(true).write(true).custom_flags(flags).open(path).unwrap();
        let mut number = 0;
        // SAFETY: ioctls on an owned descriptor, with values of the types that they ask for.
        let slave = unsafe {
            tiocsptlck(master.as_raw_fd(), &0).unwrap();
            tiocgptn(master.as_raw_fd(), &mut number).unwrap();
            OwnedFd::from_raw_fd(tiocgptpeer(master.as_raw_fd(), libc::O_RDWR | flags).unwrap())
        };
        std::os::unix::fs::fchown(&slave, Some(owner), Some(5)).unwrap();
        let screen = Screen::new(24, 80);
        let seen = Seen { bytes: Vec::new(), screen, ended: false };
        let seen = Arc::new((Mutex::new(seen), Condvar::new()));
        let master = Arc::new(master);
        let (stopped, stop) = std::io::pipe().unwrap();
        let reader = std::thread::spawn({
            let (master, seen) = (master.clone(), seen.clone());
            move || read_terminal(&master, &stopped.into(), &seen)
        });
        let name = format!("/dev/pts/{number}");
        let terminal = Terminal { master: Some(master), seen, reader: Some(reader), stop: Some(stop.into()), name };
        terminal.resize(24, 80);
        (terminal, slave)
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.0.lock().unwrap()
    }

    fn master(&self) -> &Arc<File> {
        self.master.as_ref().expect("the terminal was hung up")
    }

    /// For typing from another thread.
    pub fn hands(&self) -> Arc<File> {
        self.master().clone()
    }

    /// From now on nobody reads what comes out.
    pub fn look_away(&mut self) {
        self.stop = None;
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
    }

    /// And on.
    pub fn look_again(&mut self) {
        let (stopped, stop) = std::io::pipe().unwrap();
        self.seen().ended = false;
        let (master, seen) = (self.master().clone(), self.seen.clone());
        self.stop = Some(stop.into());
        self.reader = Some(std::thread::spawn(move || read_terminal(&master, &stopped.into(), &seen)));
    }

    fn resize(&self, rows: u16, columns: u16) {
        let size = libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        if rows > 0 && columns > 0 {
            self.seen().screen.resize(rows.into(), columns.into());
        }
        // SAFETY: an ioctl on an owned descriptor, with a value of the type that it asks for.
        unsafe { tiocswinsz(self.master().as_raw_fd(), &size).unwrap() };
    }

    /// Waits until `found` finds something in what has come, or nothing more can.
    fn wait<T>(&self, mut found: impl FnMut(&Seen) -> Option<T>) -> Option<T> {
        let deadline = Instant::now() + LIMIT;
        let mut seen = self.seen();
        loop {
            let result = found(&seen);
            let now = Instant::now();
            if result.is_some() || seen.ended || now >= deadline {
                return result;
            }
            seen = self.seen.1.wait_timeout(seen, deadline - now).unwrap().0;
        }
    }

    fn hang_up(&mut self) {
        self.look_away();
        self.master = None;
    }
}

fn read_terminal(master: &File, stopped: &OwnedFd, seen: &(Mutex<Seen>, Condvar)) {
    let mut buffer = [0; 16384];
    loop {
        poll(&[master.as_raw_fd(), stopped.as_raw_fd()], LIMIT);
        let stopping = poll(&[stopped.as_raw_fd()], std::time::Duration::ZERO);
        let length = match poll(&[master.as_raw_fd()], std::time::Duration::ZERO) {
            true => (&mut &*master).read(&mut buffer).unwrap_or(0),
            false if stopping => 0,
            false => continue,
        };
        let mut all = seen.0.lock().unwrap();
        all.bytes.extend(&buffer[..length]);
        all.screen.feed(&buffer[..length]);
        all.ended = length == 0;
        seen.1.notify_all();
        if length == 0 || stopping {
            return;
        }
    }
}

/// A command's output and its exit status, as the person sees them.
#[derive(Debug)]
pub struct Said {
    pub text: String,
    pub status: i32,
}

/// Somebody at a terminal, with a program in it: a shell, unless it was started with something else.
pub struct Person<'h> {
    pub(super) host: &'h Host,
    pub terminal: Terminal,
    pub running: Running,
    prompt: String,
    cursor: usize,
}

impl<'h> Person<'h> {
    pub(super) fn new(host: &'h Host, terminal: Terminal, running: Running) -> Self {
        host.expect_process(running.inner_pid());
        Person { host, terminal, running, prompt: String::new(), cursor: 0 }
    }

    /// Waits for the shell's prompt, which is this from now on.
    pub(super) fn at_prompt(mut self, prompt: &str) -> Self {
        self.prompt = prompt.to_owned();
        self.expect(prompt);
        self
    }

    pub fn send(&mut self, keys: impl AsRef<[u8]>) {
        (&mut &**self.terminal.master()).write_all(keys.as_ref()).unwrap();
    }

    /// Waits for `text` in what came after the last thing expected; what stood before it is returned.
    pub fn expect(&mut self, text: &str) -> String {
        let from = self.cursor;
        let found = self.terminal.wait(|seen| find(&seen.bytes[from..], text.as_bytes()));
        let Some(at) = found else { self.fail(&format!("expected {text:?} after byte {from}")) };
        self.cursor = from + at + text.len();
        String::from_utf8_lossy(&self.terminal.seen().bytes[from..from + at]).into_owned()
    }

    /// Waits for the first of several texts and says which came.
    pub fn expect_one_of(&mut self, texts: &[&str]) -> usize {
        let from = self.cursor;
        let earliest = |seen: &Seen| {
            let places = texts.iter().enumerate();
            let places = places.filter_map(|(n, text)| Some((find(&seen.bytes[from..], text.as_bytes())?, n)));
            places.min()
        };
        let Some((at, which)) = self.terminal.wait(earliest) else {
            self.fail(&format!("expected one of {texts:?} after byte {from}"))
        };
        self.cursor = from + at + texts[which].len();
        which
    }

    /// What came so far, from the beginning, must not hold `text`.
    pub fn expect_not(&self, text: &str) {
        if find(&self.terminal.seen().bytes, text.as_bytes()).is_some() {
            self.fail(&format!("{text:?} was not to appear"));
        }
    }

    /// Waits until the screen shows `text` in one line.
    pub fn expect_screen(&self, text: &str) {
        self.expect_on_screen(text, |screen| screen.contains(text).then_some(()));
    }

    /// Waits until `found` finds something on the screen.
    pub fn expect_on_screen<T>(&self, what: &str, found: impl Fn(&str) -> Option<T>) -> T {
        let result = self.terminal.wait(|seen| found(&seen.screen.text()));
        result.unwrap_or_else(|| self.fail(&format!("expected on the screen: {what}")))
    }

    pub fn screen(&self) -> String {
        self.terminal.seen().screen.text()
    }

    pub fn resize(&mut self, rows: u16, columns: u16) {
        self.terminal.resize(rows, columns);
    }

    /// Closes the terminal, as a lost line does.
    pub fn hang_up(&mut self) {
        self.terminal.hang_up();
    }

    pub fn termios(&self) -> Termios {
        tcgetattr(self.terminal.master()).unwrap()
    }

    /// Everything that has come out.
    pub fn bytes(&self) -> Vec<u8> {
        self.terminal.seen().bytes.clone()
    }

    /// Everything that has come out, with control characters made visible.
    pub fn transcript(&self) -> String {
        visible(&self.terminal.seen().bytes)
    }

    /// Types a command at the shell's prompt and waits for the next prompt.
    pub fn command(&mut self, line: &str) -> Said {
        self.send(format!("{line}\r"));
        let Said { text, status } = self.finished();
        let text = text.strip_prefix(line).unwrap_or(&text).trim_start_matches("\r\n").to_owned();
        Said { text, status }
    }

    /// Waits for the prompt after a command that was typed before, and asks for its exit status.
    pub fn finished(&mut self) -> Said {
        let prompt = self.prompt.clone();
        assert!(!prompt.is_empty(), "this person's program is no shell");
        let text = self.expect(&prompt);
        self.send("echo sta''tus=$?.\r"); // so that its echo does not hold what is waited for
        self.expect("status=");
        let status = self.expect(".").parse().expect("a number");
        self.expect(&prompt);
        Said { text, status }
    }

    /// The exit status of what was typed before.
    pub fn status(&mut self) -> i32 {
        self.finished().status
    }

    /// Types a command into the shell of the tmux pane on the screen; its output is what the screen shows of it.
    pub fn inside(&mut self, line: &str) -> Said {
        let mark = format!("done-{}-", self.host.next_number()); // no earlier one of this pane's, whoever typed it
        self.send(format!("clear; {line}; printf '\\n{mark}%s.\\n' $?\r"));
        self.expect_on_screen(&format!("{mark}STATUS. of: {line}"), |screen| {
            screen.match_indices(&mark).find_map(|(at, _)| {
                let status = screen[at + mark.len()..].split_once('.')?.0.parse().ok()?;
                Some(Said { text: screen[..at].to_owned(), status })
            })
        })
    }

    /// Waits for the end of the person's program.
    pub fn wait(&mut self) -> ExitStatus {
        self.running.wait()
    }

    /// The exit status of the person's program; that of a signal as a shell counts it.
    pub fn exit_status(&mut self) -> i32 {
        let status = self.wait();
        status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
    }

    fn fail(&self, what: &str) -> ! {
        let (screen, transcript) = (self.screen(), self.transcript());
        panic!("{what}\n--- transcript\n{transcript}\n--- screen\n{screen}{}", self.host.snapshot())
    }
}

impl Drop for Person<'_> {
    fn drop(&mut self) {
        self.terminal.hang_up();
    }
}

fn find(bytes: &[u8], text: &[u8]) -> Option<usize> {
    bytes.windows(text.len()).position(|window| window == text)
}

/// Bytes as text, control characters but the newline escaped.
pub fn visible(bytes: &[u8]) -> String {
    let mut text = String::new();
    for letter in String::from_utf8_lossy(bytes).chars() {
        match letter {
            '\n' => text.push('\n'),
            '\r' => (),
            letter if letter.is_control() => text.extend(letter.escape_default()),
            letter => text.push(letter),
        }
    }
    text
}
