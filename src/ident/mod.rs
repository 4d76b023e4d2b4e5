//! What is a valid user, session, group, grant or piece of text? Parsed once, valid ever after.
//! Never: I/O, lookups, clocks.

mod grant;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use grant::{Access, Code, GrantId, Lifetime, Reason};

/// Why a name was refused. The text never repeats the name raw.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Invalid {
    /// Not a user's or group's name by any database that the gate accepts.
    #[error("\"{0}\": not a valid user or group name; letters, digits and . _ - @ \\ $ + are")]
    Name(Visible),
    /// Not a session's name that tmux would take literally.
    #[error(
        "\"{0}\": not a valid session name; use letters, digits, _ - + and @, at most 64, first a letter, digit or _"
    )]
    Session(Visible),
    /// Not a uid in decimal.
    #[error("\"{0}\": not a uid; use decimal digits without sign or leading zero")]
    Uid(Visible),
    /// Not a grant's id.
    #[error("\"{0}\": not the id of a grant; it has six letters and digits, run: tmux-gate list")]
    GrantId(Visible),
    /// Too short, too long, or not text.
    #[error("the reason: {0}; say it in 10 to 500 characters of plain text, on one line")]
    Reason(&'static str),
    /// Not a duration that a grant may have.
    #[error("\"{0}\": not a duration between 1s and 30d; say it like 30m or 1h30m")]
    Lifetime(Visible),
    /// Not six digits.
    #[error("the code has six digits; give it as it was told")]
    Code,
}

/// A user id that names somebody: never `u32::MAX`, which the kernel reads as "no change" (CVE-2019-14287).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Uid(u32);

impl Uid {
    /// The superuser.
    pub const ROOT: Self = Self(0);

    /// `None` for the one value that is nobody's.
    #[must_use]
    pub fn new(raw: u32) -> Option<Self> {
        (raw != u32::MAX).then_some(Self(raw))
    }

    /// Decimal digits only: no sign, no space, no leading zero.
    ///
    /// # Errors
    /// [`Invalid::Uid`] for everything else.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let strict = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
        let raw = strict.then(|| text.parse().ok()).flatten();
        raw.and_then(Self::new).ok_or_else(|| Invalid::Uid(Visible::line(text.as_bytes())))
    }

    /// The number, for the kernel.
    #[must_use]
    pub fn raw(self) -> u32 {
        self.0
    }
}

impl TryFrom<u32> for Uid {
    type Error = Invalid;
    fn try_from(raw: u32) -> Result<Self, Invalid> {
        Self::new(raw).ok_or_else(|| Invalid::Uid(Visible::line(raw.to_string().as_bytes())))
    }
}

impl From<Uid> for u32 {
    fn from(uid: Uid) -> Self {
        uid.0
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The name of a user or a group, safe in logs, PAM items and modules that make file names of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);

impl Name {
    /// At most 256 bytes of letters, digits and `. _ - @ \ $ +`, not beginning with `-`, not `.` or `..`.
    ///
    /// # Errors
    /// [`Invalid::Name`] for everything else.
    pub fn parse(raw: &[u8]) -> Result<Self, Invalid> {
        let refuse = || Invalid::Name(Visible::line(raw));
        let text = std::str::from_utf8(raw).map_err(|_| refuse())?;
        let fits = (1..=256).contains(&text.len()) && !text.starts_with('-') && text != "." && text != "..";
        if fits && text.chars().all(|c| c.is_alphanumeric() || "._-@\\$+".contains(c)) {
            Ok(Self(text.to_owned()))
        } else {
            Err(refuse())
        }
    }

    /// The name as the users database spells it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Name {
    type Error = Invalid;
    fn try_from(raw: String) -> Result<Self, Invalid> {
        Self::parse(raw.as_bytes())
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of a tmux session. tmux expands formats in `-s` and reads `:`, `.`, `=`, `$`, `*` and a leading `-` in
/// targets; none of these can be in here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SessionName(String);

impl SessionName {
    /// At most 64 letters, digits, `_ - + @`, the first a letter, digit or `_`.
    ///
    /// # Errors
    /// [`Invalid::Session`] for everything else.
    pub fn parse(raw: &str) -> Result<Self, Invalid> {
        let first = raw.chars().next().is_some_and(|c| c.is_alphanumeric() || c == '_');
        let rest = raw.chars().all(|c| c.is_alphanumeric() || "_-+@".contains(c));
        if first && rest && raw.chars().count() <= 64 {
            Ok(Self(raw.to_owned()))
        } else {
            Err(Invalid::Session(Visible::line(raw.as_bytes())))
        }
    }

    /// The session that is made when there is none.
    #[must_use]
    pub fn main() -> Self {
        Self("main".to_owned())
    }

    /// The name, safe as an argument of tmux.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for SessionName {
    type Error = Invalid;
    fn try_from(raw: String) -> Result<Self, Invalid> {
        Self::parse(&raw)
    }
}

impl From<SessionName> for String {
    fn from(name: SessionName) -> Self {
        name.0
    }
}

impl fmt::Display for SessionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The longest text from outside that is shown, in bytes of the outside text.
const SHOWN: usize = 4096;

/// Text from outside, made safe for a terminal: control, bidirectional and invisible characters and bytes that are not
/// UTF-8 are written as `\x1b` or `\u{202e}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visible(String);

impl Visible {
    /// One line: newline and tab are escaped too.
    #[must_use]
    pub fn line(raw: &[u8]) -> Self {
        Self::escape(raw, "")
    }

    /// Several lines: newline and tab stay (the QR code of a one-time password is drawn with them).
    #[must_use]
    pub fn text(raw: &[u8]) -> Self {
        Self::escape(raw, "\n\t")
    }

    /// The safe text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn escape(raw: &[u8], allowed: &str) -> Self {
        let mut safe = String::with_capacity(raw.len().min(SHOWN));
        for chunk in raw.get(..SHOWN).unwrap_or(raw).utf8_chunks() {
            for c in chunk.valid().chars() {
                if c.is_ascii_control() && !allowed.contains(c) {
                    safe += &format!("\\x{:02x}", u32::from(c));
                } else if is_unseen(c) && !allowed.contains(c) {
                    safe += &format!("\\u{{{:x}}}", u32::from(c));
                } else {
                    safe.push(c);
                }
            }
            for byte in chunk.invalid() {
                safe += &format!("\\x{byte:02x}");
            }
        }
        Self(safe)
    }
}

/// C1 controls, line and paragraph separators, and what reorders or hides text without being seen.
fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

impl fmt::Display for Visible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uid_is_strict_decimal_and_never_minus_one() {
        assert_eq!(Uid::parse("4294967294"), Ok(Uid(u32::MAX - 1)));
        for bad in ["4294967295", "4294967296", "-1", "+1", " 1", "01", "", "1 ", "0x1"] {
            assert!(Uid::parse(bad).is_err(), "{bad:?} was taken for a uid");
        }
    }

    #[test]
    fn names_that_are_options_paths_or_escapes_are_refused() {
        for good in ["alice", "DOMAIN\\bob", "svc-1$", "a.b@c", "müller"] {
            assert!(Name::parse(good.as_bytes()).is_ok(), "{good}");
        }
        for bad in ["", "-froot", "..", ".", "a/b", "a b", "a\nb", "a\x1b[0m", "a:b", "#(id)", "a\u{202e}b"] {
            assert!(Name::parse(bad.as_bytes()).is_err(), "{bad:?} was taken for a name");
        }
        assert!(Name::parse(b"a\xff").is_err());
        assert!(Name::parse(&[b'a'; 257]).is_err());
    }

    #[test]
    fn session_names_that_tmux_would_interpret_are_refused() {
        for good in ["main", "_x", "a-b+c@d", "0", "häuser"] {
            assert!(SessionName::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "-d", "=main", "$1", "@1", "%1", "a:b", "a.b", "#(touch x)", "a*", "a b", "a\n", "../x", "a/b"]
        {
            assert!(SessionName::parse(bad).is_err(), "{bad:?} was taken for a session name");
        }
        assert!(SessionName::parse(&"x".repeat(65)).is_err());
    }

    #[test]
    fn nothing_from_outside_reaches_a_terminal_raw() {
        assert_eq!(Visible::line(b"a\x1b]52;c\x07\n\xff").as_str(), "a\\x1b]52;c\\x07\\x0a\\xff");
        assert_eq!(Visible::line("\u{9b}31m\u{202e}x".as_bytes()).as_str(), "\\u{9b}31m\\u{202e}x");
        assert_eq!(Visible::text(b"one\n\ttwo\r").as_str(), "one\n\ttwo\\x0d");
        assert_eq!(Visible::line(&[b'a'; 9000]).as_str().len(), SHOWN);
    }
}
