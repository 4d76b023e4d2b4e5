//! Starts the gate. Everything is in the library, so that the tests and the generator of the man pages see it.

use std::process::ExitCode;

fn main() -> ExitCode {
    tmux_gate::main()
}
