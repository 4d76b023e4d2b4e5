//! Whose turn is the terminal? The program's, the shell's while the program is stopped, and the shell's again when all is over.
//! Never: the terminal taken from whoever has it by then.

use std::os::fd::AsFd;

use nix::sys::signal::Signal;
use nix::sys::termios::Termios;
use nix::unistd;

use super::super::link::ToMonitor;
use super::super::reset;
use super::{Ending, Front, Phase};
use crate::sys::files;
use crate::sys::process;

impl Front<'_> {
    /// The program stopped itself: the shell's turn, until it continues this job. Where no shell could (a forced command
    /// of sshd's), the program goes on at once.
    pub(super) fn suspend(&mut self) {
        let Phase::Running(program) = &self.phase else {
            return;
        };
        let (program, during) = (program.pid, self.tty.modes());
        self.take_terminal(&self.modes);
        if !self.wait_for_shell() {
            self.link.send(ToMonitor::End);
            return;
        }
        if let Ok(modes) = self.tty.modes() {
            self.modes = modes;
        }
        if let Ok(during) = during {
            let _ = self.tty.set_modes(&during);
        }
        let _ = self.tty.set_foreground(program);
        self.link.send(ToMonitor::Resume);
    }

    /// Stops until the shell brings this job to the foreground; continued by `bg` it stops again, without taking the terminal
    /// from whoever has it. False if that will not come: the terminal is gone, or we are told to end.
    fn wait_for_shell(&mut self) -> bool {
        for _ in 0..1024 {
            process::stop_group();
            while let Ok(Some(signal)) = self.signals.read_signal() {
                if [Signal::SIGTERM as u32, Signal::SIGHUP as u32].contains(&signal.ssi_signo) {
                    return false;
                }
            }
            match self.tty.foreground() {
                Some(group) if group == unistd::getpgrp() => return true,
                Some(_) => {}
                None => return false,
            }
        }
        false
    }

    fn take_terminal(&self, modes: &Termios) {
        let _ = self.tty.set_foreground(unistd::getpgrp());
        let _ = self.tty.set_modes(modes);
    }

    /// The terminal as it was found, unless somebody else has it by now. What a killed program left switched on is switched
    /// off.
    pub(super) fn give_back(&self, ending: Ending) {
        match self.tty.foreground() {
            Some(group) if group == unistd::getpgrp() => {}
            // The program's, which was left, or killed by us.
            Some(group) if self.program == Some(group) || !process::group_exists(group) => {
                let _ = self.tty.set_foreground(unistd::getpgrp());
            }
            Some(_) | None => return,
        }
        if let Some(farewell) = &self.farewell {
            reset::send_home(self.tty, farewell, ending);
            let _ = self.tty.set_modes_and_flush(&self.modes);
            return;
        }
        let _ = match ending {
            Ending::Over(_) | Ending::Unclosed(_) if self.program.is_some() => self.tty.set_modes(&self.modes),
            // What was typed was an answer, or was going to be one.
            Ending::Over(_) | Ending::Unclosed(_) | Ending::NoVerdict(_) => self.tty.set_modes_and_flush(&self.modes),
        };
        // A tmux whose server died leaves its screen as it was, and says so with its status.
        if matches!(self.phase, Phase::Running(_) | Phase::Closing(_, 1..)) {
            let _ = files::write_patiently(self.tty.as_fd(), reset::OWN);
        }
    }
}
