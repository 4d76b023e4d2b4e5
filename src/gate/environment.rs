//! Which of the caller's variables survive? A named few, by value too; the rest never existed.
//! Never: TZ (`TZ=:/etc/shadow` is opened as root by time libraries), LD_*, LOCPATH, TERMINFO, PATH, SHELL, HOME, TMUX*.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use super::caller::Caller;
use crate::ident::Uid;
use crate::sys::entry;

/// What was kept: for the person's own tmux client, and three that the gate reads itself.
pub struct Environment {
    kept: Vec<(String, OsString)>,
}

const ORIGINAL_COMMAND: &str = "SSH_ORIGINAL_COMMAND";
const USER_AUTH: &str = "SSH_USER_AUTH";
const TMUX: &str = "TMUX";
const PATH: &str = "/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games";
const PATH_OF_ROOT: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

impl Environment {
    /// Empties the environment. First call of the program.
    pub fn take() -> Self {
        Self { kept: entry::take_environment(is_kept) }
    }

    /// What an ssh client asked sshd to run.
    pub fn original_command(&self) -> Option<&OsStr> {
        self.get(ORIGINAL_COMMAND)
    }

    /// The file that sshd's ExposeAuthInfo says it wrote.
    pub fn user_auth(&self) -> Option<&Path> {
        self.get(USER_AUTH).map(Path::new)
    }

    /// Does the caller say that he is in a pane of this gated socket? A hint against a session inside itself, no more.
    pub fn is_inside(&self, socket: &str) -> bool {
        let tmux = self.get(TMUX).and_then(OsStr::to_str).unwrap_or_default();
        tmux.strip_prefix(socket).is_some_and(|rest| rest.starts_with(','))
    }

    /// The whole environment of the person's tmux client, `NAME=value`: what the users database says, then what PAM's modules
    /// may add to it, then what was kept of the caller's.
    pub fn for_session(&self, caller: &Caller, shell: &Path, from_pam: Vec<(Vec<u8>, Vec<u8>)>) -> Vec<String> {
        let path = if caller.uid == Uid::ROOT { PATH_OF_ROOT } else { PATH };
        let shell = if shell.as_os_str().is_empty() { "/bin/sh".into() } else { shell.to_string_lossy() };
        let known = [
            ("HOME", caller.home.as_str()),
            ("SHELL", &shell),
            ("USER", caller.name.as_str()),
            ("LOGNAME", caller.name.as_str()),
            ("PATH", path),
        ];
        let known = known.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let of_pam = from_pam.into_iter().filter(|(name, _)| is_from_pam(name));
        let of_pam =
            of_pam.filter_map(|(name, value)| Some((String::from_utf8(name).ok()?, String::from_utf8(value).ok()?)));
        let own = |name: &str| [ORIGINAL_COMMAND, USER_AUTH, TMUX].contains(&name);
        let kept = self.kept.iter().filter(|(name, _)| !own(name));
        let kept = kept.filter_map(|(name, value)| Some((name.clone(), value.to_str()?.to_owned())));
        let mut all: Vec<(String, String)> = Vec::new();
        for (name, value) in known.into_iter().chain(of_pam).chain(kept) {
            if !all.iter().any(|(there, _)| *there == name) {
                all.push((name, value));
            }
        }
        all.into_iter().map(|(name, value)| format!("{name}={value}")).collect()
    }

    /// What the caller says that his terminal is; where he says nothing that has a plain form, what every tmux can draw on.
    pub fn term(&self) -> &str {
        self.get("TERM").and_then(OsStr::to_str).unwrap_or("screen")
    }

    /// The environment of the owner's client that a guest looks through: what his terminal is, and nothing else of his.
    pub fn for_guest(&self) -> Vec<String> {
        vec![format!("TERM={}", self.term()), "LANG=C.UTF-8".to_owned(), format!("PATH={PATH}")]
    }

    fn get(&self, name: &str) -> Option<&OsStr> {
        self.kept.iter().find(|(kept, _)| kept == name).map(|(_, value)| value.as_os_str())
    }
}

fn is_kept(name: &str, value: &[u8]) -> bool {
    let of = |allowed: &str, longest| {
        let fits = |b: &u8| b.is_ascii_alphanumeric() || allowed.as_bytes().contains(b);
        !value.is_empty() && value.len() <= longest && value.iter().all(fits)
    };
    match name {
        ORIGINAL_COMMAND | TMUX => true,
        // mkstemp(3)'s name, as sshd gives it.
        USER_AUTH => {
            let made = value.strip_prefix(b"/tmp/sshauth.");
            made.is_some_and(|letters| letters.len() == 15 && letters.iter().all(u8::is_ascii_alphanumeric))
        }
        "TERM" | "COLORTERM" => of("._+-", 64),
        "LANG" => of("._@-", 64),
        name if name.starts_with("LC_") => {
            name.len() <= 20 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') && of("._@-", 64)
        }
        // tmux's update-environment: whose agent, display and connection the person has now.
        "SSH_AUTH_SOCK" | "SSH_CONNECTION" | "DISPLAY" | "XAUTHORITY" => of("/._:@%+,=~ []-", 512),
        _ => false,
    }
}

/// May a PAM module's variable reach the person's program? Not what changes how programs are loaded, found or started, and
/// not what the users database says (CVE-2010-4708).
fn is_from_pam(name: &[u8]) -> bool {
    const DENIED: [&str; 12] =
        ["PATH", "SHELL", "HOME", "USER", "LOGNAME", "IFS", "ENV", "BASH_ENV", "SHELLOPTS", "TERM", "TZDIR", "LOCPATH"];
    let denied_prefix = ["LD_", "TMUX", "BASH_FUNC", "GCONV", "GLIBC_", "TERMINFO", "NLSPATH", "MALLOC_"];
    let Ok(name) = std::str::from_utf8(name) else {
        return false;
    };
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    plain && !name.is_empty() && !DENIED.contains(&name) && !denied_prefix.iter().any(|p| name.starts_with(p))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_named_few_survive_and_only_with_plain_values() {
        for (name, value) in
            [("TERM", "xterm-256color"), ("LANG", "de_DE.UTF-8"), ("LC_ALL", "C"), ("SSH_AUTH_SOCK", "/tmp/a b")]
        {
            assert!(is_kept(name, value.as_bytes()), "{name}");
        }
        for name in
            ["LD_PRELOAD", "TZ", "TERMINFO", "PATH", "SHELL", "HOME", "TMUX_TMPDIR", "LOCPATH", "IFS", "BASH_ENV"]
        {
            assert!(!is_kept(name, b"x"), "{name}");
        }
        for value in ["", "../../x", "a\x1b[2J", &"x".repeat(5000)] {
            assert!(!is_kept("TERM", value.as_bytes()), "{value:?}");
            assert!(!is_kept("LANG", value.as_bytes()), "{value:?}");
        }
    }

    #[test]
    fn pam_may_set_a_ticket_cache_and_may_not_set_a_loader() {
        assert!(is_from_pam(b"KRB5CCNAME") && is_from_pam(b"XDG_RUNTIME_DIR"));
        for name in ["LD_PRELOAD", "PATH", "SHELL", "TMUX", "TMUX_TMPDIR", "BASH_ENV", "BASH_FUNC_x%%", "A=B", ""] {
            assert!(!is_from_pam(name.as_bytes()), "{name}");
        }
    }
}
