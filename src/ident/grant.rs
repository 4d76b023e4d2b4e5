//! What makes up a grant: its id, why, how long, how much, and the code that may go with it.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Invalid, Visible, is_unseen};

/// How much of a session a guest gets; the greater is the more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// To see it.
    ReadOnly,
    /// To type into it, which is all that the owner can do.
    ReadWrite,
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ReadOnly => "read-only",
            Self::ReadWrite => "read-write",
        })
    }
}

/// The id of a grant: six letters and digits that are hard to mistake for each other, easy to type.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct GrantId(String);

const LETTERS: &[u8; 31] = b"23456789abcdefghjkmnpqrstuvwxyz";

impl GrantId {
    const LENGTH: usize = 6;

    /// Six of the letters; capitals are taken for small ones.
    ///
    /// # Errors
    /// [`Invalid::GrantId`] for everything else.
    pub fn parse(raw: &str) -> Result<Self, Invalid> {
        let id = raw.to_ascii_lowercase();
        if id.len() == Self::LENGTH && id.bytes().all(|b| LETTERS.contains(&b)) {
            Ok(Self(id))
        } else {
            Err(Invalid::GrantId(Visible::line(raw.as_bytes())))
        }
    }

    /// The id that `random` stands for.
    #[must_use]
    pub fn from_random(random: u32) -> Self {
        let mut rest = random;
        let letters = (0..Self::LENGTH).map(|_| {
            let letter = LETTERS.get(rest as usize % LETTERS.len()).copied().unwrap_or(b'2');
            rest /= 31;
            char::from(letter)
        });
        Self(letters.collect())
    }

    /// The id, safe in a file's name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for GrantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for GrantId {
    type Error = Invalid;
    fn try_from(raw: String) -> Result<Self, Invalid> {
        Self::parse(&raw)
    }
}

impl From<GrantId> for String {
    fn from(id: GrantId) -> Self {
        id.0
    }
}

/// Why somebody wants in: text of one line. What would command a terminal, hide or reorder text is not in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reason(String);

impl Reason {
    /// 10 to 500 characters after spaces at both ends are taken off.
    ///
    /// # Errors
    /// [`Invalid::Reason`].
    pub fn parse(raw: &str) -> Result<Self, Invalid> {
        let text = raw.trim();
        match text.chars().take(501).count() {
            0..10 => Err(Invalid::Reason("too short")),
            501.. => Err(Invalid::Reason("too long")),
            _ if text.chars().any(is_unseen) => Err(Invalid::Reason("holds characters that are not seen")),
            _ => Ok(Self(text.to_owned())),
        }
    }

    /// The text, safe for a terminal. tmux expands formats in it: double each `#` there.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Reason {
    type Error = Invalid;
    fn try_from(raw: String) -> Result<Self, Invalid> {
        Self::parse(&raw)
    }
}

impl From<Reason> for String {
    fn from(reason: Reason) -> Self {
        reason.0
    }
}

/// How long a grant lasts: whole seconds, 1 s to 30 days. There is none without an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct Lifetime(u64);

impl Lifetime {
    /// An hour.
    pub const HOUR: Self = Self(3600);
    const MOST: u64 = 30 * 24 * 3600;

    /// As people write it: `30m`, `1h30m`.
    ///
    /// # Errors
    /// [`Invalid::Lifetime`].
    pub fn parse(raw: &str) -> Result<Self, Invalid> {
        let refuse = || Invalid::Lifetime(Visible::line(raw.as_bytes()));
        let duration = humantime::parse_duration(raw).map_err(|_| refuse())?;
        if duration.subsec_nanos() != 0 {
            return Err(refuse());
        }
        Self::try_from(duration.as_secs()).map_err(|_| refuse())
    }

    /// In seconds.
    #[must_use]
    pub fn seconds(self) -> u64 {
        self.0
    }

    /// For clocks.
    #[must_use]
    pub fn duration(self) -> Duration {
        Duration::from_secs(self.0)
    }
}

impl TryFrom<u64> for Lifetime {
    type Error = Invalid;
    fn try_from(seconds: u64) -> Result<Self, Invalid> {
        if (1..=Self::MOST).contains(&seconds) {
            Ok(Self(seconds))
        } else {
            Err(Invalid::Lifetime(Visible::line(format!("{seconds}s").as_bytes())))
        }
    }
}

impl From<Lifetime> for u64 {
    fn from(lifetime: Lifetime) -> Self {
        lifetime.0
    }
}

impl fmt::Display for Lifetime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.duration()).fmt(f)
    }
}

/// Six digits that are told by another road than the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Code(String);

impl Code {
    /// Six ASCII digits.
    ///
    /// # Errors
    /// [`Invalid::Code`].
    pub fn parse(raw: &str) -> Result<Self, Invalid> {
        let six = raw.len() == 6 && raw.bytes().all(|b| b.is_ascii_digit());
        if six { Ok(Self(raw.to_owned())) } else { Err(Invalid::Code) }
    }

    /// The code that `random` stands for.
    #[must_use]
    pub fn from_random(random: u32) -> Self {
        Self(format!("{:06}", random % 1_000_000))
    }

    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_six_letters_that_cannot_be_mistaken_and_no_path() {
        assert_eq!(GrantId::parse("K7Q2MX").map(|id| id.to_string()), Ok("k7q2mx".to_owned()));
        for bad in ["", "k7q2m", "k7q2mxx", "k7q2m/", "../../", "k7q2m0", "k7q2ml", "k7q2mé", "k7q2m\n"] {
            assert!(GrantId::parse(bad).is_err(), "{bad:?}");
        }
        for random in [0, 1, 31, u32::MAX] {
            let id = GrantId::from_random(random);
            assert_eq!(GrantId::parse(id.as_str()), Ok(id));
        }
        assert_ne!(GrantId::from_random(1), GrantId::from_random(2));
    }

    #[test]
    fn a_reason_is_one_line_of_text_that_is_all_seen() {
        assert!(Reason::parse("the disk of db1 is full #(touch /tmp/x)").is_ok());
        assert!(Reason::parse("äöü äöü äö").is_ok());
        for bad in ["", "too short", "   a      ", "two\nlines of it", "an escape \x1b[2J", "reversed \u{202e} text"] {
            assert!(Reason::parse(bad).is_err(), "{bad:?}");
        }
        assert!(Reason::parse(&"x".repeat(500)).is_ok());
        assert!(Reason::parse(&"x".repeat(501)).is_err());
    }

    #[test]
    fn a_lifetime_is_written_as_people_do_and_has_an_end() {
        assert_eq!(Lifetime::parse("1h30m").map(Lifetime::seconds), Ok(5400));
        assert_eq!(Lifetime::parse("30m").map(|l| l.to_string()), Ok("30m".to_owned()));
        for bad in ["", "0s", "-1s", "30", "31d", "1500ms", "99999999999999999999d", "forever", "1h\n1"] {
            assert!(Lifetime::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_code_is_six_digits() {
        assert!(Code::parse("012345").is_ok());
        for bad in ["", "12345", "1234567", "12345a", "\u{0661}23456", "-12345"] {
            assert!(Code::parse(bad).is_err(), "{bad:?}");
        }
        assert_eq!(Code::from_random(7).as_str(), "000007");
    }
}
