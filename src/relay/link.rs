//! What do monitor and relay say to each other? Two enums, one for each direction, over a socket that keeps messages
//! whole. Never: a byte of the session, a descriptor.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, recv, send, socketpair};

use super::Refusal;
use crate::ident::{Access, Visible};

/// From the monitor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToRelay {
    /// How much the guest gets from now on. What he typed and the session did not read yet is thrown away.
    Access(Access),
    /// A line for the guest: shown on his last row for a while.
    Say(Visible),
    /// Stop at once and write nothing more.
    End,
}

/// From the relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToMonitor {
    /// It has given up all that it does not need, and relays.
    Ready,
    /// It does not relay, and ends.
    Refused(Refusal),
    /// The guest left by a key. The last word.
    Left,
    /// The guest's terminal is gone. The last word.
    HungUp,
    /// The guest's terminal takes nothing: output is left out until it does, and drawn anew then. At most once a second.
    Behind,
}

/// The other side says nothing more, or what nobody of ours would say.
#[derive(Debug, PartialEq, Eq)]
pub struct Gone;

/// The monitor's end.
pub struct MonitorEnd(OwnedFd);

/// The relay's end.
pub struct RelayEnd(OwnedFd);

/// Longer lines are cut: no terminal has a row of that many bytes.
const LINE: usize = 1000;

/// A connected pair.
///
/// # Errors
/// socketpair(2).
pub fn pair() -> io::Result<(MonitorEnd, RelayEnd)> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let (monitor, relay) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?;
    Ok((MonitorEnd(monitor), RelayEnd(relay)))
}

impl MonitorEnd {
    /// Tells the relay, without waiting.
    ///
    /// # Errors
    /// [`Gone`]: it does not hear. It must be killed, for it may relay still.
    pub fn send(&self, word: &ToRelay) -> Result<(), Gone> {
        match word {
            ToRelay::Access(Access::ReadOnly) => self.send_bytes(b"r"),
            ToRelay::Access(Access::ReadWrite) => self.send_bytes(b"w"),
            ToRelay::Say(line) => {
                let text = line.as_str();
                let text = (0..=LINE).rev().find_map(|length| text.get(..length)).unwrap_or_default();
                self.send_bytes(&[b"S", text.as_bytes()].concat())
            }
            ToRelay::End => self.send_bytes(b"E"),
        }
    }

    fn send_bytes(&self, message: &[u8]) -> Result<(), Gone> {
        send(self.0.as_raw_fd(), message, MsgFlags::MSG_NOSIGNAL).map(drop).map_err(|_| Gone)
    }

    /// The next word of the relay's, if there is one.
    ///
    /// # Errors
    /// [`Gone`].
    pub fn heard(&self) -> Result<Option<ToMonitor>, Gone> {
        let mut message = [0; 3];
        let length = match recv(self.0.as_raw_fd(), &mut message, MsgFlags::empty()) {
            Ok(length) => length,
            Err(Errno::EAGAIN | Errno::EINTR) => return Ok(None),
            // It ended without reading what we said last: told once, and what it said last is still to be read.
            Err(Errno::ECONNRESET) => return self.heard(),
            Err(_) => return Err(Gone),
        };
        match message.get(..length).unwrap_or_default() {
            b"R" => Ok(Some(ToMonitor::Ready)),
            b"L" => Ok(Some(ToMonitor::Left)),
            b"H" => Ok(Some(ToMonitor::HungUp)),
            b"B" => Ok(Some(ToMonitor::Behind)),
            [b'N', why] => Refusal::from_number(*why).map(|why| Some(ToMonitor::Refused(why))).ok_or(Gone),
            _ => Err(Gone),
        }
    }
}

impl RelayEnd {
    /// Tells the monitor, without waiting: a monitor that does not hear ends the relay anyway.
    pub fn send(&self, word: ToMonitor) {
        let (letter, why) = match word {
            ToMonitor::Ready => (b'R', None),
            ToMonitor::Left => (b'L', None),
            ToMonitor::HungUp => (b'H', None),
            ToMonitor::Behind => (b'B', None),
            ToMonitor::Refused(why) => (b'N', Some(why as u8)),
        };
        let message: Vec<u8> = [letter].into_iter().chain(why).collect();
        let _ = send(self.0.as_raw_fd(), &message, MsgFlags::MSG_NOSIGNAL);
    }

    /// The next word of the monitor's, if there is one; [`ToRelay::End`] when there is no monitor, or none of ours.
    pub fn heard(&self) -> Option<ToRelay> {
        let mut message = [0; LINE + 2];
        let length = match recv(self.0.as_raw_fd(), &mut message, MsgFlags::empty()) {
            Ok(length) => length,
            Err(Errno::EAGAIN | Errno::EINTR) => return None,
            Err(_) => 0,
        };
        Some(match message.get(..length).unwrap_or_default() {
            b"r" => ToRelay::Access(Access::ReadOnly),
            b"w" => ToRelay::Access(Access::ReadWrite),
            [b'S', line @ ..] if line.len() <= LINE => ToRelay::Say(Visible::line(line)),
            _ => ToRelay::End,
        })
    }
}

impl AsFd for MonitorEnd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsFd for RelayEnd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_arrives_as_it_was_said() {
        let (monitor, relay) = pair().unwrap();
        let line = ToRelay::Say(Visible::line("ends in 5 minutes: äö #(x)\x1b[31m".as_bytes()));
        for word in [ToRelay::Access(Access::ReadOnly), ToRelay::Access(Access::ReadWrite), line, ToRelay::End] {
            monitor.send(&word).unwrap();
            assert_eq!(relay.heard(), Some(word));
        }
        assert_eq!(relay.heard(), None);
        let refused = Refusal::ALL.into_iter().map(ToMonitor::Refused);
        let words = [ToMonitor::Ready, ToMonitor::Left, ToMonitor::HungUp, ToMonitor::Behind];
        for word in words.into_iter().chain(refused) {
            relay.send(word);
            assert_eq!(monitor.heard(), Ok(Some(word)));
        }
        assert_eq!(monitor.heard(), Ok(None));
    }

    #[test]
    fn what_nobody_of_ours_says_is_the_end() {
        let (monitor, relay) = pair().unwrap();
        let too_long = [b"S".as_slice(), &[b'x'; 1001]].concat();
        for message in [b"x".as_slice(), b"rr", b"wE", &too_long, &[0], b"\xff"] {
            monitor.send_bytes(message).unwrap();
            assert_eq!(relay.heard(), Some(ToRelay::End), "{message:?}");
            send(relay.0.as_raw_fd(), message, MsgFlags::MSG_NOSIGNAL).unwrap();
            assert_eq!(monitor.heard(), Err(Gone), "{message:?}");
        }
        for message in [b"N".as_slice(), b"N\xff", b"N\x00", b"RR", b"LLLL"] {
            send(relay.0.as_raw_fd(), message, MsgFlags::MSG_NOSIGNAL).unwrap();
            assert_eq!(monitor.heard(), Err(Gone), "{message:?}");
        }
    }

    #[test]
    fn a_line_is_cut_between_characters_and_is_safe_whoever_sent_it() {
        let (monitor, relay) = pair().unwrap();
        let line = |umlauts| ToRelay::Say(Visible::line(format!("x{}", "ä".repeat(umlauts)).as_bytes()));
        monitor.send(&line(700)).unwrap();
        assert_eq!(relay.heard(), Some(line(499)));
        monitor.send_bytes(b"S\x1b]52;c;eA==\x07").unwrap();
        let Some(ToRelay::Say(line)) = relay.heard() else { panic!("no line") };
        assert!(!line.as_str().contains('\x1b'));
    }

    #[test]
    fn last_words_are_heard_and_then_there_is_nobody() {
        let (monitor, relay) = pair().unwrap();
        monitor.send(&ToRelay::Access(Access::ReadOnly)).unwrap();
        relay.send(ToMonitor::Left);
        drop(relay);
        assert_eq!(monitor.heard(), Ok(Some(ToMonitor::Left)));
        assert_eq!(monitor.heard(), Err(Gone));
        assert_eq!(monitor.send(&ToRelay::End), Err(Gone));
        let (monitor, relay) = pair().unwrap();
        relay.send(ToMonitor::Ready);
        drop(monitor);
        assert_eq!(relay.heard(), Some(ToRelay::End));
    }
}
