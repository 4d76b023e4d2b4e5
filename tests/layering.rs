//! Holds the house to its plan: imports point down, `unsafe` lives in `sys/`, rooms stay small enough to be read.

use std::fs;
use std::path::{Path, PathBuf};

/// The layers, top first. A room may import from lower layers only, never from its own.
const LAYERS: [&[&str]; 4] = [
    &["gate"],
    &["audit", "cli", "config", "grants", "inspect", "pam", "relay", "session", "terminal", "tmux"],
    &["policy", "sys"],
    &["ident"],
];

fn sources() -> Vec<(PathBuf, String)> {
    fn walk(dir: &Path, found: &mut Vec<(PathBuf, String)>) {
        for entry in fs::read_dir(dir).expect("src is readable") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push((path.clone(), fs::read_to_string(&path).expect("UTF-8")));
            }
        }
    }
    let mut found = Vec::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    found
}

fn room_of(path: &Path) -> String {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let first = path.strip_prefix(src).expect("below src").components().next().expect("a name");
    first.as_os_str().to_string_lossy().trim_end_matches(".rs").to_owned()
}

fn layer_of(room: &str) -> Option<usize> {
    LAYERS.iter().position(|rooms| rooms.contains(&room))
}

/// The rooms that a line of code names: `crate::room`, and each of `crate::{a, b::c}`.
fn named(line: &str) -> Vec<String> {
    let word = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let code = line.split("//").next().unwrap_or_default();
    code.match_indices("crate::")
        .flat_map(|(at, prefix)| {
            let rest = &code[at + prefix.len()..];
            match rest.strip_prefix('{') {
                Some(list) => list.split(',').map(|item| word(item.trim())).collect(),
                None => vec![word(rest)],
            }
        })
        .collect()
}

/// Where `text` breaks the plan, if it were a file of `room`.
fn breaches(room: &str, text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate().map(|(n, line)| (n + 1, line)) {
        let code = line.split("//").next().unwrap_or_default();
        if room != "sys" && code.split(|c: char| !c.is_alphanumeric() && c != '_').any(|w| w == "unsafe") {
            found.push((number, "unsafe outside sys/".to_owned()));
        }
        let Some(own) = layer_of(room) else { continue };
        for other in named(line) {
            let below = layer_of(&other).is_some_and(|layer| layer > own);
            if other != room && !below {
                found.push((number, format!("{room} may not import {other}")));
            }
        }
    }
    found
}

#[test]
fn every_import_points_down_and_unsafe_lives_in_sys_alone() {
    let mut faults = Vec::new();
    let sources = sources();
    assert!(sources.len() > 20, "only {} source files were found", sources.len());
    for (path, text) in sources {
        let room = room_of(&path);
        if !["main", "lib"].contains(&room.as_str()) {
            assert!(layer_of(&room).is_some(), "{}: the room {room} is in no layer", path.display());
        }
        // lib.rs switches the lint on by its name.
        let text = text.replace("unsafe_op_in_unsafe_fn", "");
        faults.extend(
            breaches(&room, &text).into_iter().map(|(line, fault)| format!("{}:{line}: {fault}", path.display())),
        );
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_plan_notices_what_breaks_it() {
    assert_eq!(breaches("sys", "use crate::policy::Who;").len(), 1);
    assert_eq!(breaches("pam", "use crate::{ident::Name, tmux};").len(), 1);
    assert_eq!(breaches("policy", "fn f() { crate::gate::main() }").len(), 1);
    assert_eq!(breaches("tmux", "    unsafe { x() }").len(), 1);
    assert_eq!(breaches("gate", "use crate::pam; // unsafe"), []);
    assert_eq!(breaches("sys", "unsafe { x() }; use crate::ident::Uid;"), []);
}

#[test]
fn no_room_is_too_large_to_be_read() {
    let long: Vec<String> = sources()
        .into_iter()
        .filter(|(_, text)| text.lines().count() > 400)
        .map(|(path, text)| format!("{}: {} lines", path.display(), text.lines().count()))
        .collect();
    assert!(long.is_empty(), "past 400 lines: {}", long.join(", "));
}
