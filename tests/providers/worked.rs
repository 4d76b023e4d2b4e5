//! The files of pam.d/: closed, explained, put in place as the manual page says, and tried; and what tests with one of the
//! worked ones in place count with.

use crate::host::{Host, Person};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

const SERVICE: &str = "/etc/pam.d/tmux-gate";
/// What `make install` puts in place by itself, one for each family of distributions.
const FAMILIES: [&str; 5] = ["alpine", "arch", "debian", "redhat", "suse"];
const KINDS: [&str; 4] = ["auth", "account", "password", "session"];

/// A host with that worked file in place, and nothing else done to it.
pub fn followed(file: &str) -> Host {
    let host = Host::as_installed();
    host.follow(file);
    host
}

/// The last record of somebody who was not let in.
pub fn last_refusal(host: &Host) -> String {
    let refusal = host.recorded().into_iter().rfind(|line| line.contains("event=refused"));
    refusal.unwrap_or_else(|| panic!("no refusal\n{}", host.snapshot()))
}

/// Gives each of these prompts, as it comes, its answer.
pub fn answer(person: &mut Person<'_>, dialogue: &[(&str, &str)]) {
    for (prompt, text) in dialogue {
        person.expect(prompt);
        person.send(format!("{text}\r"));
    }
}

/// Nobody is in, and pam_unix has opened and closed this many sessions of that user: for worked files, into which no line
/// that records sessions may be written.
pub fn expect_unix_sessions(host: &Host, user: &str, count: usize) {
    host.expect_no_gate();
    host.wait_until("the end of the tmux clients", || host.clients().is_empty());
    host.recorded(); // whatever was sent to syslog has arrived
    let lines = host.syslog();
    let lines = lines.iter().filter(|line| line.contains("pam_unix(tmux-gate:session): "));
    let seen = ["opened", "closed"].map(|what| {
        let mark = format!("session {what} for user {user}");
        lines.clone().filter(|line| line.ends_with(&mark) || line.contains(&format!("{mark}("))).count()
    });
    assert_eq!(seen, [count; 2], "sessions opened and closed\n{}", host.snapshot());
}

/// Names and texts of all files.
fn files() -> BTreeMap<String, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("pam.d");
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let name = |entry: &fs::DirEntry| entry.file_name().into_string().unwrap();
    entries.map(|entry| (name(&entry), fs::read_to_string(entry.path()).unwrap())).collect()
}

fn worked() -> Vec<String> {
    let names: Vec<String> = files().into_keys().filter(|name| !FAMILIES.contains(&name.as_str())).collect();
    assert!(names.len() >= 7, "{names:?}");
    names
}

/// The type of a line, the words of its control, the module or file, and the module's arguments.
struct Line<'a> {
    kind: &'a str,
    control: String,
    module: &'a str,
    arguments: Vec<&'a str>,
}

impl<'a> Line<'a> {
    fn read(line: &'a str) -> Option<Line<'a>> {
        let (kind, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let rest = rest.trim_start();
        let (control, rest) = match (kind, rest.split_once(']')) {
            ("@include", _) => ("include", rest),
            (_, Some((inside, rest))) if inside.starts_with('[') => (inside.trim_start_matches('['), rest),
            _ => rest.split_once(char::is_whitespace)?,
        };
        let mut words = rest.split_whitespace();
        Some(Line { kind, control: control.to_owned(), module: words.next()?, arguments: words.collect() })
    }

    /// Which type it brings, as far as the name of an included file tells.
    fn brings(&self, kind: &str) -> bool {
        self.kind == kind || (self.kind == "@include" && self.module == format!("common-{kind}"))
    }
}

/// What is wrong with the text of a file.
fn faults(text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')).collect();
    let parsed: Vec<Line<'_>> = lines.iter().filter_map(|line| Line::read(line)).collect();
    if parsed.len() != lines.len() {
        faults.push("a line that is none".to_owned());
    }
    if !text.starts_with('#') {
        faults.push("no comment first".to_owned());
    }
    for line in &parsed {
        let bad = line.module.contains("pam_permit") || line.arguments.iter().any(|word| word.starts_with("nullok"));
        let elsewhere = line.module.contains('/');
        let unknown = !KINDS.contains(&line.kind.trim_start_matches('-')) && line.kind != "@include";
        if bad || elsewhere || unknown {
            faults.push(format!("{} {} {}", line.kind, line.control, line.module));
        }
    }
    let lacking = KINDS.iter().filter(|kind| !parsed.iter().any(|line| line.brings(kind)));
    faults.extend(lacking.map(|kind| format!("no {kind}")));
    faults
}

#[test]
fn every_file_is_closed_whole_and_begins_with_a_comment() {
    for (name, text) in files() {
        assert_eq!(faults(&text), Vec::<String>::new(), "pam.d/{name}");
    }
}

#[test]
fn what_is_wrong_with_a_file_is_found() {
    let good = "# Good\nauth [success=1 default=ignore] pam_unix.so\n@include common-account\n\
                password include system-auth\nsession required pam_unix.so\n";
    assert!(faults(good).is_empty(), "{:?}", faults(good));
    for (from, to, fault) in [
        ("pam_unix.so\n@", "pam_permit.so\n@", "auth success=1 default=ignore pam_permit.so"),
        ("pam_unix.so\n@", "pam_unix.so nullok_secure\n@", "auth success=1 default=ignore pam_unix.so"),
        ("required pam_unix.so", "required /lib/pam_unix.so", "session required /lib/pam_unix.so"),
        ("@include common-account", "@include ../account", "@include include ../account"),
        ("@include common-account", "@include common-auth", "no account"),
        ("session", "-session", "no session"), // such a line goes where its module is not installed
        ("session", "sesion", "sesion required pam_unix.so"),
        ("# Good\n", "", "no comment first"),
        ("session required", "session", "a line that is none"),
    ] {
        let bad = good.replace(from, to);
        assert!(faults(&bad).iter().any(|found| found == fault), "{bad}: {:?}", faults(&bad));
    }
}

#[test]
fn every_worked_file_says_in_its_first_comment_what_it_was_tried_on() {
    for name in worked() {
        let text = &files()[&name];
        let comment = text.lines().take_while(|line| line.starts_with('#')).map(|line| line.trim_matches(['#', ' ']));
        let comment = comment.collect::<Vec<_>>().join(" ");
        assert!(comment.contains("Tried on Debian 12 with ") && comment.contains("tmux-gate-pam(7)"), "pam.d/{name}");
    }
}

/// All commands of a heading take what the file needs, so its own tests run them; here those that touch the service file.
#[test]
fn the_commands_of_the_manual_page_put_every_worked_file_in_place_as_it_is() {
    let host = Host::as_installed();
    let installed = host.must(&["ls", "/usr/share/tmux-gate/pam.d"]);
    assert_eq!(installed.lines().map(str::to_owned).collect::<BTreeSet<_>>(), worked().into_iter().collect());
    for name in worked() {
        host.write(SERVICE, "", 0o600);
        let commands = host.commands_of(&name);
        let commands: String =
            commands.lines().filter(|line| line.contains(SERVICE)).map(|line| format!("{line}\n")).collect();
        host.must(&["sh", "-euxc", &commands]);
        assert_eq!(host.read(SERVICE), files()[&name], "{name}");
        assert_eq!(host.must(&["stat", "-c", "%U:%G %a", SERVICE]), "root:root 644\n", "{name}");
    }
}

/// The texts of all tests that put some worked file in place.
fn following() -> Vec<String> {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")];
    let mut texts = Vec::new();
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            match path.extension() {
                _ if path.is_dir() => folders.push(path),
                Some(extension) if extension == "rs" => texts.push(fs::read_to_string(path).unwrap()),
                _ => {}
            }
        }
    }
    texts.retain(|text| text.contains(".follow(") || text.contains(" followed("));
    texts
}

#[test]
fn every_worked_file_is_followed_by_a_test() {
    let texts = following();
    let tried = |name: &String| texts.iter().any(|text| text.contains(&format!("\"{name}\"")));
    let untried: Vec<String> = worked().into_iter().filter(|name| !tried(name)).collect();
    assert!(untried.is_empty(), "no test follows {untried:?}");
}
