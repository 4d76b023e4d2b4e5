//! How does it run and end? A front that guards the terminal, a monitor that owns the session, a child that becomes the
//! person's program.
//!
//! Never: PAM or tmux. It is handed a command, a time limit and what the monitor does.

mod child;
mod escort;
mod front;
mod link;
mod monitor;
mod reset;

pub use child::Command;
pub use escort::{Escort, Happening};
pub use front::{Ending, NoVerdict, Stage, guard, is_in_foreground, put_right};
pub use link::Upward;
pub use monitor::{Limit, Unlimited, Verdict, live};
