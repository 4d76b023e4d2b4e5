//! Is there a service file, is it root's, and does it decide anything? Linux-PAM falls back to `other` without a word
//! when the file is missing. Never: changes to it.

use std::io;
use std::path::{Path, PathBuf};

use crate::sys::files::{self, Weakness};

/// Where Linux-PAM looks, in its order.
const DIRECTORIES: [&str; 2] = ["/etc/pam.d", "/usr/lib/pam.d"];
const LONGEST: u64 = 64 * 1024;
/// How deep includes may nest.
const DEEPEST: usize = 8;

/// What is wrong with the service file.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// Nowhere to be found.
    #[error("/etc/pam.d/{0}: the PAM service file is missing; install it (see PAM in tmux-gate(1))")]
    Missing(String),
    /// Somebody besides root may write it, or a directory on the way.
    #[error("{0}: may be written by others than root; run: chown root {0} and chmod go-w {0}")]
    Weak(String),
    /// Cannot be read, or is no regular file.
    #[error("{0}: {1}; make it a file of root's with mode 0644")]
    Unreadable(String, io::Error),
    /// A type of which there is no line.
    #[error("{0}: no \"{1}\" line, so the service other would decide; see PAM in tmux-gate(1)")]
    Lacks(String, &'static str),
    /// A line that lets people in for nothing.
    #[error("{0}: \"{1}\" lets people in unchecked; remove it")]
    LetsIn(String, String),
}

/// Does libpam report a module that is not there, or leave the line out (`-auth`, pam.conf(5))?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Presence {
    Certain,
    IfInstalled,
}

/// One line of a stack, includes followed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    presence: Presence,
    file: PathBuf,
    kind: String,
    control: String,
    module: String,
    arguments: Vec<String>,
}

/// The service file, judged: it is there, root's, and has lines of all four types.
///
/// # Errors
/// The first [`Fault`].
pub fn find(service: &str) -> Result<PathBuf, Fault> {
    let (path, lines) = stack(service)?;
    match lacking(&lines).next() {
        Some(kind) => Err(Fault::Lacks(path.display().to_string(), kind)),
        None => Ok(path),
    }
}

/// Everything that is wrong with the service file, for `check`.
pub fn faults(service: &str) -> Vec<Fault> {
    let (path, lines) = match stack(service) {
        Ok(found) => found,
        Err(fault) => return vec![fault],
    };
    let lacking = lacking(&lines).map(|kind| Fault::Lacks(path.display().to_string(), kind));
    let letting_in = lines
        .iter()
        .enumerate()
        .filter(|(at, line)| lets_in(line, lines.get(..*at).unwrap_or_default(), &path))
        .map(|(_, line)| Fault::LetsIn(line.file.display().to_string(), line.shown()));
    lacking.chain(letting_in).collect()
}

/// The types for which Linux-PAM would run the service `other`: a line with a `-` before its type may vanish, and does not
/// count.
fn lacking(lines: &[Line]) -> impl Iterator<Item = &'static str> {
    let kinds = ["auth", "account", "password", "session"];
    kinds.into_iter().filter(|kind| !lines.iter().any(|l| l.kind == *kind && l.presence == Presence::Certain))
}

/// In the service file itself neither pam_permit nor nullok has a place. Distributions' common files have both, harmless
/// there: pam_permit after the modules that decided, nullok overruled by PAM_DISALLOW_NULL_AUTHTOK.
fn lets_in(line: &Line, before: &[Line], service: &Path) -> bool {
    let permit = line.module.ends_with("pam_permit.so");
    if line.file == service {
        let decides = line.kind == "auth" || line.kind == "account";
        return (permit && decides) || line.arguments.iter().any(|a| a.starts_with("nullok"));
    }
    let first = !before.iter().any(|l| l.kind == line.kind && !l.module.ends_with("pam_permit.so"));
    permit && line.kind == "auth" && (first || line.control == "sufficient")
}

impl Line {
    fn shown(&self) -> String {
        let text = format!("{} {} {} {}", self.kind, self.control, self.module, self.arguments.join(" "));
        crate::ident::Visible::line(text.trim_end().as_bytes()).to_string()
    }
}

fn stack(service: &str) -> Result<(PathBuf, Vec<Line>), Fault> {
    let mut lines = Vec::new();
    let path = gather(service, None, DEEPEST, &mut lines)?;
    Ok((path, lines))
}

/// Reads a service file and what it includes; `only` keeps the lines of one type, as `include` does.
fn gather(service: &str, only: Option<&str>, depth: usize, lines: &mut Vec<Line>) -> Result<PathBuf, Fault> {
    let (path, text) = read(service)?;
    for words in text.replace("\\\n", " ").lines().map(words) {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["@include", other] if depth > 0 => {
                gather(other, only, depth - 1, lines)?;
            }
            [kind, "include" | "substack", other, ..] if depth > 0 => {
                gather(other, Some(&kind_of(kind)), depth - 1, lines)?;
            }
            [kind, control, module, arguments @ ..] if only.is_none_or(|o| o == kind_of(kind)) => lines.push(Line {
                presence: if kind.starts_with('-') { Presence::IfInstalled } else { Presence::Certain },
                file: path.clone(),
                kind: kind_of(kind),
                control: (*control).to_owned(),
                module: (*module).to_owned(),
                arguments: arguments.iter().map(|a| (*a).to_owned()).collect(),
            }),
            _ => {}
        }
    }
    Ok(path)
}

fn kind_of(word: &str) -> String {
    word.trim_start_matches('-').to_ascii_lowercase()
}

/// The words of a line of pam.conf(5); `[success=1 default=ignore]` is one.
fn words(line: &str) -> Vec<String> {
    let line = line.split('#').next().unwrap_or_default();
    let mut words: Vec<String> = Vec::new();
    let mut open = false;
    for word in line.split_whitespace() {
        match words.last_mut().filter(|_| open) {
            Some(control) => {
                control.push(' ');
                control.push_str(word);
            }
            None => words.push(word.to_owned()),
        }
        open = (open || word.starts_with('[')) && !word.ends_with(']');
    }
    words
}

fn read(service: &str) -> Result<(PathBuf, String), Fault> {
    for directory in DIRECTORIES {
        let path = Path::new(directory).join(service);
        let shown = path.display().to_string();
        let real = match files::resolve(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            Err(e) => return Err(Fault::Unreadable(shown, e)),
            Ok(Err(Weakness::Kind(at))) => {
                return Err(Fault::Unreadable(at.display().to_string(), io::ErrorKind::InvalidData.into()));
            }
            Ok(Err(Weakness::Owner(at, _) | Weakness::Mode(at, _))) => {
                return Err(Fault::Weak(at.display().to_string()));
            }
            Ok(Ok(real)) => real,
        };
        let text = files::read_small(&real, LONGEST).map_err(|e| Fault::Unreadable(shown, e))?;
        return Ok((path, text));
    }
    Err(Fault::Missing(service.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(file: &str, text: &str) -> Line {
        let words = words(text);
        Line {
            presence: Presence::Certain,
            file: file.into(),
            kind: kind_of(&words[0]),
            control: words[1].clone(),
            module: words[2].clone(),
            arguments: words[3..].to_vec(),
        }
    }

    #[test]
    fn a_control_in_brackets_is_one_word_and_a_comment_is_none() {
        assert_eq!(
            words("auth\t[success=1 default=ignore]  pam_unix.so nullok # x"),
            ["auth", "[success=1 default=ignore]", "pam_unix.so", "nullok"]
        );
        assert_eq!(words("  # auth"), Vec::<String>::new());
        assert_eq!(line("/f", "-auth optional pam_x.so").kind, "auth");
    }

    #[test]
    fn pam_permit_and_nullok_have_no_place_in_the_service_file() {
        let own = Path::new("/etc/pam.d/tmux-gate");
        let bad = |file: &str, text: &str, before: &[Line]| lets_in(&line(file, text), before, own);
        assert!(bad("/etc/pam.d/tmux-gate", "auth required pam_permit.so", &[]));
        assert!(bad("/etc/pam.d/tmux-gate", "account required pam_permit.so", &[]));
        assert!(bad("/etc/pam.d/tmux-gate", "auth required pam_unix.so nullok_secure", &[]));
        assert!(!bad("/etc/pam.d/tmux-gate", "session optional pam_permit.so", &[]));
        let unix = line("/etc/pam.d/common-auth", "auth [success=1 default=ignore] pam_unix.so nullok");
        assert!(!lets_in(&unix, &[], own));
        assert!(!bad("/etc/pam.d/common-auth", "auth required pam_permit.so", &[unix]));
        assert!(bad("/etc/pam.d/common-auth", "auth required pam_permit.so", &[]));
    }
}
