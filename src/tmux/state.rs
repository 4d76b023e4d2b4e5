//! What is an owner's server set to? Command lines, and how their answers are read.
//! Never: a value that is kept or shown; a target of somebody's words.

use std::collections::{BTreeMap, BTreeSet};

use super::{list_panes, visit, words};

/// The panes of all sessions, in numbers only.
const PANES: &str = "#{pid} #{session_id} #{window_id} #{pane_id} #{pane_pid} #{pane_pipe}";
/// The most sessions, windows and panes whose own settings are asked for.
const MOST: usize = 300;

/// A server's panes, and what they are in.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Panes {
    /// The server's process.
    pub server: u32,
    /// The first process of each pane.
    pub first: Vec<u32>,
    /// The panes whose output is also passed to a command (pipe-pane).
    pub piped: BTreeSet<u32>,
    /// What has settings of its own: `$1`, `@1`, `%1`.
    targets: BTreeSet<String>,
}

/// Prints what [`Panes::read`] reads.
#[must_use]
pub fn show_panes(socket: &str) -> Vec<String> {
    list_panes(socket, PANES)
}

impl Panes {
    /// From the answer; nothing where no server answered.
    #[must_use]
    pub fn read(answer: &[u8]) -> Option<Self> {
        let mut panes = Self::default();
        for line in String::from_utf8_lossy(answer).lines() {
            let fields: Vec<&str> = line.split(' ').collect();
            let [server, session, window, pane, first, piped] = fields.as_slice() else { return None };
            panes.server = server.parse().ok()?;
            panes.first.push(first.parse().ok()?);
            let number: u32 = pane.strip_prefix('%')?.parse().ok()?;
            if *piped == "1" {
                panes.piped.insert(number);
            }
            for (target, sign) in [(session, '$'), (window, '@'), (pane, '%')] {
                let number: u32 = target.strip_prefix(sign)?.parse().ok()?;
                panes.targets.insert(format!("{sign}{number}"));
            }
        }
        (panes.server != 0).then_some(panes)
    }
}

/// The last line of [`show_settings`]'s answer.
const END: &str = "= end";

/// Prints all options and hooks: the server's, the global ones, and those of each session, window and pane.
#[must_use]
pub fn show_settings(socket: &str, panes: &Panes) -> Vec<String> {
    let mut line = words(&["tmux", "-u", "-N", "-S", socket]);
    let mut ask = |mark: &str, command: &[&str]| {
        line.extend(words(&["display-message", "-p", mark, ";"]));
        line.extend(words(command));
        line.push(";".to_owned());
    };
    ask("= options server", &["show-options", "-s"]);
    for scope in ["-g", "-gw"] {
        ask(&format!("= options {scope}"), &["show-options", scope]);
        ask(&format!("= hooks {scope}"), &["show-hooks", scope]);
    }
    for target in panes.targets.iter().take(MOST) {
        // A percent sign would be expanded.
        let (scope, kind) = match target.as_bytes().first() {
            Some(b'$') => (&["-t"][..], "session"),
            Some(b'@') => (&["-w", "-t"][..], "window"),
            _ => (&["-p", "-t"][..], "pane"),
        };
        let (number, own) = (target.get(1..).unwrap_or_default(), if kind == "session" { ":" } else { "" });
        let target = format!("{target}{own}");
        for (what, command) in [("options", "show-options"), ("hooks", "show-hooks")] {
            ask(&format!("= {what} {kind} {number}"), &[&[command], scope, &[&target]].concat());
        }
    }
    line.extend(words(&["display-message", "-p", END]));
    line
}

/// What somebody can set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Setting {
    /// An option of the server, of a session, window or pane.
    Option,
    /// A hook.
    Hook,
    /// A key binding.
    Key,
}

/// Settings by what they are and by the hash of their names; the sum of their lines' hashes.
pub type Settings = BTreeMap<(Setting, u64), u64>;

/// Reads the answer to [`show_settings`]; nothing where its end is missing.
pub fn read_settings(answer: &[u8], hash: impl Fn(&str) -> u64, into: &mut Settings) -> Option<()> {
    let text = String::from_utf8_lossy(answer);
    let (mut kind, mut section, mut last) = (Setting::Option, String::new(), "");
    for line in text.lines() {
        last = line;
        if let Some(mark) = line.strip_prefix("= ") {
            kind = if mark.starts_with("hooks") { Setting::Hook } else { Setting::Option };
            mark.clone_into(&mut section);
            continue;
        }
        // An array is one option, and so is a hook with several commands.
        let name = line.split([' ', '[']).next().unwrap_or_default();
        if name == "detach-on-destroy" || name.starts_with("@tmux-gate") {
            continue; // the gate's own, while a guest is in
        }
        // A hook without a command is named alone.
        let nothing = line == name || visit::is_own_hook(line);
        add(into, (kind, hash(&format!("{section} {name}"))), if nothing { 0 } else { hash(line) });
    }
    (last == END).then_some(())
}

/// Prints all key bindings.
#[must_use]
pub fn list_keys(socket: &str) -> Vec<String> {
    words(&["tmux", "-u", "-N", "-S", socket, "list-keys"])
}

/// Reads the answer: `bind-key -r -T table key command`, in columns as wide as the longest key.
pub fn read_keys(answer: &[u8], hash: impl Fn(&str) -> u64, into: &mut Settings) {
    for line in String::from_utf8_lossy(answer).lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let table = words.iter().position(|word| *word == "-T").unwrap_or(0);
        let name = words.get(table..).unwrap_or_default().iter().take(3).copied().collect::<Vec<_>>().join(" ");
        add(into, (Setting::Key, hash(&name)), hash(&words.join(" ")));
    }
}

fn add(into: &mut Settings, name: (Setting, u64), line: u64) {
    let sum = into.entry(name).or_default();
    *sum = sum.wrapping_add(line);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn length(text: &str) -> u64 {
        text.bytes().map(u64::from).sum()
    }

    #[test]
    fn panes_are_numbers_or_nothing() {
        let panes = Panes::read(b"7 $1 @2 %3 40 0\n7 $1 @2 %4 41 1\n").expect("panes");
        assert_eq!((panes.server, panes.first.as_slice()), (7, &[40, 41][..]));
        assert_eq!(panes.piped, BTreeSet::from([4]));
        for hostile in ["", "x", "7 $1 @2 %3 40", "7 $1; @2 %3 40 0", "7 $1 @2 -t 40 0", "0 $1 @2 %3 40 0", "\u{1b}[2J"]
        {
            assert_eq!(Panes::read(hostile.as_bytes()), None, "{hostile}");
        }
    }

    #[test]
    fn an_answer_is_read_by_sections_and_only_whole() {
        let read = |text: &str| {
            let mut found = Settings::new();
            read_settings(text.as_bytes(), length, &mut found).map(|()| found)
        };
        let one = read("= options server\na 1\n= hooks -g\na\n= end\n").expect("whole");
        assert_eq!(one.keys().map(|(kind, _)| *kind).collect::<Vec<_>>(), [Setting::Option, Setting::Hook]);
        let two = read("= options server\na 1\n= hooks -g\na[0] x\na[1] y\n= end\n").expect("whole");
        assert_eq!(one.len(), two.len(), "a hook is one however many commands it has");
        assert_eq!(read("= options -g\ndetach-on-destroy on\n= end\n"), Some(Settings::new()));
        assert_eq!(read("= options server\na 1\n"), None);
        assert_eq!(read(""), None);
    }

    #[test]
    fn keys_are_told_apart_whatever_their_columns() {
        let read = |text: &str| {
            let mut found = Settings::new();
            read_keys(text.as_bytes(), length, &mut found);
            found
        };
        let narrow = read("bind-key -T prefix d detach-client\nbind-key -r -T prefix Up select-pane -U\n");
        assert_eq!(
            narrow,
            read("bind-key    -T prefix   d    detach-client\nbind-key -r -T prefix   Up   select-pane -U\n")
        );
        assert_eq!(narrow.len(), 2);
        assert_ne!(narrow, read("bind-key -T prefix d kill-server\nbind-key -r -T prefix Up select-pane -U\n"));
    }
}
