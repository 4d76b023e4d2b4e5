//! How do PAM's questions reach the terminal? Prompts verbatim, control characters made visible, modules' texts too.

use std::os::fd::AsFd;
use std::rc::Rc;
use std::time::Instant;

use crate::ident::Visible;
use crate::pam::{Conversation, Echo, Secret, Silence};
use crate::session::Upward;
use crate::sys::tty::Tty;
use crate::terminal::{self, NoAnswer, Terminal};

/// A conversation on the controlling terminal, given up when the front is gone.
pub struct AtTerminal {
    tty: Rc<Tty>,
    front: Rc<Upward>,
    until: Instant,
}

impl AtTerminal {
    /// Asks on `tty` for as long as the front at the other end of the link lives, until then at most: a module whose question
    /// is given up can still tidy up after itself.
    pub fn new(tty: Rc<Tty>, front: Rc<Upward>, until: Instant) -> Self {
        Self { tty, front, until }
    }

    fn terminal(&self) -> Terminal<'_> {
        Terminal::new(&self.tty, self.front.as_fd(), self.until)
    }
}

impl Conversation for AtTerminal {
    fn ask(&mut self, prompt: &[u8], echo: Echo) -> Result<Secret, Silence> {
        let echo = match echo {
            Echo::Shown => terminal::Echo::Shown,
            Echo::Hidden => terminal::Echo::Hidden,
        };
        self.terminal().ask(&Visible::text(prompt), echo).map_err(|no| match no {
            NoAnswer::Interrupted => Silence::Interrupted,
            NoAnswer::EndOfInput => Silence::EndOfInput,
            NoAnswer::TooLong => Silence::TooLong,
            NoAnswer::TooLate => Silence::TooLate,
            NoAnswer::Broken => Silence::Broken,
        })
    }

    fn say(&mut self, text: &[u8]) {
        self.terminal().say(&Visible::text(text));
    }
}
