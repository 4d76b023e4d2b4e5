//! How do modules ask? Answers come from a trait; what went wrong is remembered, because PAM turns it into a wrong
//! password. Never: a panic (it would unwind through C), a question while a session opens or closes.

use std::ffi::{CStr, CString};

use pam_client::{ConversationHandler, ErrorCode};
use zeroize::Zeroizing;

/// An answer, wiped when dropped.
pub type Secret = Zeroizing<Vec<u8>>;

/// May the answer be seen while it is typed?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Echo {
    /// PAM_PROMPT_ECHO_ON.
    Shown,
    /// PAM_PROMPT_ECHO_OFF.
    Hidden,
}

/// Why a question got no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Silence {
    /// Ctrl-C.
    #[error("interrupted; run tmux-gate again")]
    Interrupted,
    /// Ctrl-D on an empty line, or the terminal hung up.
    #[error("no answer, the terminal's input ended; run tmux-gate again")]
    EndOfInput,
    /// Longer than PAM_MAX_RESP_SIZE allows.
    #[error("the answer was longer than 511 bytes; give the right one")]
    TooLong,
    /// The time limit.
    #[error("no answer within the time limit; run tmux-gate again")]
    TooLate,
    /// The terminal does not work.
    #[error("the terminal cannot be read; run it on another")]
    Broken,
}

/// Somebody to ask and to tell. Texts are the module's bytes, unsafe to print.
pub trait Conversation {
    /// Asks and waits for the answer.
    ///
    /// # Errors
    /// [`Silence`]: PAM is told that the conversation failed.
    fn ask(&mut self, prompt: &[u8], echo: Echo) -> Result<Secret, Silence>;
    /// Tells: PAM_TEXT_INFO and PAM_ERROR_MSG.
    fn say(&mut self, text: &[u8]);
}

/// Between libpam's callbacks and a [`Conversation`].
pub struct Adapter {
    pub(super) conversation: Box<dyn Conversation>,
    silence: Option<Silence>,
    asked: bool,
    asking: bool,
}

impl Adapter {
    pub(super) fn new(conversation: Box<dyn Conversation>) -> Self {
        Self { conversation, silence: None, asked: false, asking: true }
    }

    /// Why the last question had no answer.
    pub(super) fn silence(&mut self) -> Option<Silence> {
        self.silence.take()
    }

    /// Was anything asked since the last call? A stack that asks nothing says the same again.
    pub(super) fn take_asked(&mut self) -> bool {
        std::mem::take(&mut self.asked)
    }

    pub(super) fn stop_asking(&mut self) {
        self.asking = false;
    }

    fn ask(&mut self, prompt: &CStr, echo: Echo) -> Result<CString, ErrorCode> {
        // A module that goes on after a failed question (pam_unix in a stack of optional ones) must not ask again.
        if !self.asking || self.silence.is_some() {
            return Err(ErrorCode::CONV_ERR);
        }
        self.asked = true;
        let answer = self.conversation.ask(prompt.to_bytes(), echo).map_err(|silence| {
            self.silence = Some(silence);
            ErrorCode::CONV_ERR
        })?;
        CString::new(answer.as_slice()).map_err(|_| ErrorCode::CONV_ERR)
    }
}

impl ConversationHandler for Adapter {
    fn prompt_echo_on(&mut self, prompt: &CStr) -> Result<CString, ErrorCode> {
        self.ask(prompt, Echo::Shown)
    }

    fn prompt_echo_off(&mut self, prompt: &CStr) -> Result<CString, ErrorCode> {
        self.ask(prompt, Echo::Hidden)
    }

    fn text_info(&mut self, text: &CStr) {
        self.conversation.say(text.to_bytes());
    }

    fn error_msg(&mut self, text: &CStr) {
        self.conversation.say(text.to_bytes());
    }
}
