//! What do we have a server show to people where they work?
//!
//! MUST: text from people in single quotes, where tmux reads a command, and with every `#` and `%` doubled.
//! Never: the reason of a request, which is anybody's text: whoever is told looks it up.

use super::words;
use crate::ident::{Access, GrantId};

/// The terminals of the clients that are attached to a server, as tmux tells them.
#[must_use]
pub fn list_clients(socket: &str) -> Vec<String> {
    words(&["tmux", "-N", "-S", socket, "list-clients", "-F", "#{client_tty}"])
}

/// The answer to [`list_clients`], but for what no terminal is called.
#[must_use]
pub fn clients(answer: &[u8]) -> Vec<String> {
    let plain = |name: &&str| {
        name.starts_with("/dev/") && name.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c))
    };
    String::from_utf8_lossy(answer).lines().filter(plain).map(str::to_owned).collect()
}

/// How long a line is shown, or until a key is pressed: a client draws nothing else meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// As long as their owner's `display-time` says.
    Passing,
    /// Ten seconds.
    Important,
}

/// Shows a line on these clients.
#[must_use]
pub fn show(socket: &str, clients: &[String], line: &str, weight: Weight) -> Vec<String> {
    show_after(socket, &[], clients, line, weight)
}

/// The same after another command.
#[must_use]
pub fn show_after(socket: &str, first: &[String], clients: &[String], line: &str, weight: Weight) -> Vec<String> {
    let line = literal(line);
    let command = |client: &String| match weight {
        Weight::Passing => words(&["display-message", "-c", client, "--", &line]),
        Weight::Important => words(&["display-message", "-d", "10000", "-c", client, "--", &line]),
    };
    let first = (!first.is_empty()).then(|| first.to_vec());
    in_one(socket, first.into_iter().chain(clients.iter().map(command)))
}

/// Opens a menu on these clients about a request. The choices to approve open the gate's own prompt in a popup; `program` is
/// the gate. In the background: display-menu is done when somebody has chosen. Not where their owner's `@tmux-gate-menu` is off.
#[must_use]
pub fn ask(socket: &str, clients: &[String], request: &Request<'_>) -> Vec<String> {
    let Request { id, program, access, .. } = request;
    let title = literal(&format!(" {id}: {} ", request.title));
    let approve = |less: &str| format!("display-popup -E -E -w 90% -h 75% \"{program} approve {id}{less}\"");
    // What Enter chooses comes first, no letter chooses, and what needs no password is asked for once more: whoever is typing
    // when the menu comes has decided nothing.
    let mut items = vec![("Later", String::new()), ("Approve, to see it", approve(" --read-only"))];
    if *access == Access::ReadWrite {
        items.push(("Approve, to type into it", approve("")));
    }
    let deny = format!("run-shell -b \"{program} deny {id} >/dev/null 2>&1\"");
    items.push(("Deny", format!("confirm-before -p \"deny {id}? (y/n)\" {{ {deny} }}")));
    let items: String = items.iter().map(|(text, command)| format!(" '{text}' '' '{command}'")).collect();
    let menu = |client: &String| {
        format!("if-shell -F '#{{==:#{{@tmux-gate-menu}},off}}' '' {{ display-menu -c {client} -T '{title}'{items} }}")
    };
    in_one(socket, clients.iter().map(|client| words(&["run-shell", "-b", "-C", &menu(client)])))
}

/// What a menu is about.
pub struct Request<'a> {
    /// Of the request.
    pub id: &'a GrantId,
    /// Who asks for what, in a few words.
    pub title: &'a str,
    /// How much was asked for.
    pub access: Access,
    /// The gate's path.
    pub program: &'a str,
}

/// The words of a command line without a command.
pub const EMPTY: usize = 4;

pub(super) fn in_one(socket: &str, commands: impl Iterator<Item = Vec<String>>) -> Vec<String> {
    let mut all = words(&["tmux", "-N", "-S", socket]);
    for command in commands {
        all.extend(command);
        all.push(";".to_owned());
    }
    all
}

/// A text that tmux shows as it is, in formats and in strftime(3)'s.
fn literal(text: &str) -> String {
    text.replace('#', "##").replace('%', "%%")
}

/// Prints the prefix keys of a session.
pub(super) fn prefix_line(target: &str) -> Vec<String> {
    words(&["display-message", "-p", "-t", target, "#{prefix} #{prefix2}"])
}

/// The bytes of prefix keys that are one byte: `C-b` is 2.
#[must_use]
pub fn prefix_bytes(answer: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(answer);
    let byte = |key: &str| match key.as_bytes() {
        b"C-Space" => Some(0),
        [b'C', b'-', letter @ (b'a'..=b'z' | b'@'..=b'_')] => Some(letter & 0x1f),
        [printable @ 0x21..=0x7e] => Some(*printable),
        _ => None,
    };
    text.split_whitespace().filter_map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_is_a_terminal_but_one_of_a_device() {
        let answer = b"/dev/pts/3\n/dev/pts/4 x\n/dev/'#(touch /tmp/x)'\n\n-t\n/dev/tty1\n";
        assert_eq!(clients(answer), ["/dev/pts/3", "/dev/tty1"]);
    }

    #[test]
    fn what_is_shown_is_never_read_as_a_format() {
        let clients = ["/dev/pts/3".to_owned()];
        let line = show("/s", &clients, "#(touch /tmp/x) 100%", Weight::Passing).join(" ");
        assert_eq!(line, "tmux -N -S /s display-message -c /dev/pts/3 -- ##(touch /tmp/x) 100%% ;");
    }

    #[test]
    fn prefix_keys_are_their_bytes_where_they_have_one() {
        assert_eq!(prefix_bytes(b"C-b None\n"), [2]);
        assert_eq!(prefix_bytes(b"C-Space None\n"), [0]);
        assert_eq!(prefix_bytes(b"C-a `\n"), [1, b'`']);
        assert_eq!(prefix_bytes(b"F12 M-x\n"), [0_u8; 0]);
    }
}
