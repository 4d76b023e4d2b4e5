//! README, manual page, configuration and code say the same.

use std::fs;
use tmux_gate::{cli, config};

fn text(path: &str) -> String {
    fs::read_to_string(format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

#[test]
fn the_readme_has_every_key_with_its_default_and_no_other() {
    let readme = text("README.md");
    for key in config::KEYS {
        let row = format!("| `{} {}` | ", key.heading(), key.name);
        let line = readme.lines().find(|line| line.starts_with(&row)).unwrap_or_else(|| panic!("{row} is missing"));
        assert!(line.replace('`', "").contains(&format!("| {} |", key.default)), "{line}: not {}", key.default);
    }
    let rows = readme.lines().filter(|line| line.starts_with("| `[")).count();
    assert_eq!(rows, config::KEYS.len(), "rows of keys in the README");
}

#[test]
fn readme_and_manual_page_have_every_verb_status_and_event_of_the_code() {
    let (readme, manual) = (text("README.md"), text("packaging/man/tmux-gate.1.tail"));
    for verb in cli::command().get_subcommands() {
        assert!(readme.contains(verb.get_name()), "README: {}", verb.get_name());
    }
    let table = text("src/gate/error.rs");
    let statuses = table.lines().filter_map(|line| line.trim().strip_prefix("pub const ")?.split(" = ").nth(1));
    let statuses: Vec<&str> = statuses.map(|number| number.trim_end_matches(';')).collect();
    assert_eq!(statuses.len(), 7);
    for status in statuses {
        assert!(readme.contains(&format!("\n| {status} | ")), "README: status {status}");
        assert!(manual.contains(&format!(".B {status}\n")), "tmux-gate(1): status {status}");
    }
    let events = text("src/audit/mod.rs");
    let events: Vec<&str> =
        events.lines().filter_map(|line| line.trim().strip_suffix("\",")?.split("=> \"").nth(1)).collect();
    assert_eq!(events.len(), 16, "{events:?}");
    for event in events {
        assert!(readme.contains(event), "README: event {event}");
        assert!(
            manual.contains(&format!(".BR {event} ")) || manual.contains(&format!(".B {event}\n")),
            "tmux-gate(1): {event}"
        );
    }
}
