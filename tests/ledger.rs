//! Holds ATTACKS.md to the tests: a rule without a test that is there is no rule.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// The classes of attack, and how many rows each has; those that are left out were never given.
const CLASSES: [(char, u32, &[u32]); 13] = [
    ('A', 16, &[]),
    ('B', 8, &[]),
    ('C', 13, &[11]),
    ('D', 16, &[15]),
    ('E', 5, &[]),
    ('F', 13, &[4, 11]),
    ('G', 11, &[]),
    ('H', 14, &[8, 12]),
    ('J', 9, &[3]),
    ('K', 8, &[]),
    ('L', 6, &[]),
    ('M', 12, &[1, 3, 4, 5, 6, 7, 8, 9, 10]),
    ('N', 9, &[]),
];

fn known() -> BTreeSet<String> {
    let rows = CLASSES.iter().flat_map(|(class, last, none)| {
        (1..=*last).filter(|number| !none.contains(number)).map(move |number| format!("{class}{number}"))
    });
    rows.collect()
}

/// Every function below `folder` that is marked as a test.
fn tests_below(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            tests_below(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            for after in text.split("#[test]").skip(1) {
                let name = after.split_once("fn ").and_then(|(_, rest)| rest.split_once('('));
                found.extend(name.map(|(name, _)| name.to_owned()));
            }
        }
    }
}

struct Ledger {
    /// Id and the tests named for it.
    rows: Vec<(String, Vec<String>)>,
    waiting: Vec<String>,
}

fn ledger(text: &str) -> Ledger {
    let (table, waiting) = text.split_once("## Rows that wait").expect("two lists");
    let rows = table.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| Id"));
    let rows = rows.map(|line| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        assert_eq!(cells.len(), 3, "a row has an id, a rule and tests: {line}");
        let tests = cells[2].split('`').skip(1).step_by(2).map(str::to_owned);
        (cells[0].to_owned(), tests.collect())
    });
    let id = |word: &&str| word.len() > 1 && word.as_bytes()[1..].iter().all(u8::is_ascii_digit);
    Ledger { rows: rows.collect(), waiting: waiting.split_whitespace().filter(id).map(str::to_owned).collect() }
}

fn faults(ledger: &Ledger, known: &BTreeSet<String>, tests: &BTreeSet<String>) -> Vec<String> {
    let mut seen: BTreeMap<&str, u32> = BTreeMap::new();
    for id in ledger.rows.iter().map(|(id, _)| id).chain(&ledger.waiting) {
        *seen.entry(id).or_default() += 1;
    }
    let mut faults: Vec<String> = Vec::new();
    faults.extend(seen.iter().filter(|(_, count)| **count > 1).map(|(id, _)| format!("{id}: more than once")));
    faults.extend(seen.keys().filter(|id| !known.contains(**id)).map(|id| format!("{id}: no such row")));
    faults.extend(known.iter().filter(|id| !seen.contains_key(id.as_str())).map(|id| format!("{id}: nowhere")));
    for (id, named) in &ledger.rows {
        faults.extend(named.is_empty().then(|| format!("{id}: names no test")));
        faults.extend(named.iter().filter(|name| !tests.contains(*name)).map(|name| format!("{id}: no test {name}")));
    }
    faults
}

#[test]
fn every_row_of_the_ledger_is_known_and_names_tests_that_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut tests = BTreeSet::new();
    for folder in ["src", "tests"] {
        tests_below(&root.join(folder), &mut tests);
    }
    let ledger = ledger(&fs::read_to_string(root.join("tests/ATTACKS.md")).unwrap());
    assert!(ledger.rows.len() > 40 && tests.len() > 100);
    let faults = faults(&ledger, &known(), &tests);
    assert!(faults.is_empty(), "tests/ATTACKS.md:\n{}", faults.join("\n"));
}

#[test]
fn the_ledger_notices_what_is_wrong_with_it() {
    let known: BTreeSet<String> = ["A1", "A2", "A3"].map(str::to_owned).into();
    let tests: BTreeSet<String> = ["there".to_owned()].into();
    let check = |text: &str| faults(&ledger(text), &known, &tests);
    assert!(check("| A1 | rule | `there` |\n## Rows that wait\nA2 A3\n").is_empty());
    assert_eq!(check("| A1 | rule | `gone` |\n## Rows that wait\nA2 A3\n"), ["A1: no test gone"]);
    assert_eq!(check("| A1 | rule | none |\n## Rows that wait\nA2 A3\n"), ["A1: names no test"]);
    assert_eq!(check("| A1 | rule | `there` |\n## Rows that wait\nA1 A2 A3\n"), ["A1: more than once"]);
    assert_eq!(check("| A1 | rule | `there` |\n## Rows that wait\nA2 A3 A9\n"), ["A9: no such row"]);
    assert_eq!(check("| A1 | rule | `there` |\n## Rows that wait\nA2\n"), ["A3: nowhere"]);
}
