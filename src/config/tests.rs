use super::*;

fn read(text: &str) -> Result<Settings, String> {
    parse(text, Path::new("c")).map_err(|e| e.to_string())
}

#[test]
fn nothing_written_is_the_default() {
    let settings = read("").expect("an empty file");
    assert_eq!(settings.users, None);
    assert_eq!(settings.time_limit, Duration::from_secs(60));
    assert_eq!((settings.tries, settings.record), (3, Record::Required));
    assert_eq!(settings.sandbox, Sandbox::Required);
    assert_eq!(read("[join]\nsandbox = \"wanted\"").map(|s| s.sandbox), Ok(Sandbox::Wanted));
    assert_eq!(settings.grant_required, []);
    assert_eq!(settings.afterwards, Afterwards::Ends(Duration::from_secs(300)));
    assert_eq!(read("[attach]\n[audit]\n"), Ok(settings));
}

#[test]
fn every_entry_kind_is_told_apart() {
    let settings = read("[attach]\nusers = [\"alice\", \"@ops\", \"uid:7\"]").expect("valid");
    let shown: Vec<String> = settings.users.unwrap_or_default().iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["alice", "@ops", "uid:7"]);
}

#[test]
fn each_fault_is_named_with_line_and_column() {
    for (text, start, part) in [
        ("[attach]\nuser = []", "c:2:1: ", "unknown field"),
        ("[shares]\n", "c:1:2: ", "unknown field"),
        ("[share]\n", "c:1:1: ", "expected a sequence"),
        ("[[share]]\nguest = []", "c:2:1: ", "unknown field"),
        ("[[share]]\naccess = \"rw\"", "c:2:10: ", "unknown variant"),
        ("[[share]]\nmax_duration = \"31d\"", "c:2:16: ", "not a duration"),
        ("[[share]]\napprovals = 0", "c:2:13: ", "between 1 and 9"),
        ("[[share]]\napprovers = []", "c:2:13: ", "nobody"),
        ("[[share]]\napprovers = [\"@\"]", "c:2:", "not a valid"),
        ("[attach]\nusers = [\"@\"]", "c:2:", "not a valid"),
        ("[attach]\nusers = [\"uid:-1\"]", "c:2:", "not a uid"),
        ("[attach]\nusers = \"alice\"", "c:2:9: ", "expected a sequence"),
        ("[join]\nsandbox = \"none\"", "c:2:11: ", "unknown variant"),
        ("[join]\nsandbox = true", "c:2:11: ", ""),
        ("[attach]\ngrant_required = \"@vendors\"", "c:2:18: ", "expected a sequence"),
        ("[attach]\ngrace = \"25h\"", "c:2:9: ", "at most"),
        ("[attach]\ngrace = 5", "c:2:9: ", "expected a string"),
        ("[attach]\nkeep = \"yes\"", "c:2:8: ", "boolean"),
        ("[authentication]\ntries = 0", "c:2:9: ", "between 1 and 10"),
        ("[authentication]\ntries = -1", "c:2:9: ", "invalid value"),
        ("[authentication]\ntime_limit = \"0s\"", "c:2:14: ", "between"),
        ("[authentication]\ntime_limit = \"9999999999999999999d\"", "c:2:14: ", "not a duration"),
        ("[tmux]\npath = \"tmux\"", "c:2:8: ", "absolute"),
        ("[tmux]\npath = \"/a/../b\"", "c:2:8: ", "absolute"),
        ("[audit]\nrequired = 1", "c:2:12: ", "boolean"),
        ("[audit]\nrequired = true\nrequired = false", "c:3:1: ", "duplicate key"),
        ("attach = 1\n\u{202e}", "c:2:", ""),
    ] {
        let error = read(text).expect_err(text);
        assert!(error.starts_with(start) && error.contains(part), "{text:?} gave {error:?}");
        assert!(!error.contains('\n'), "{error:?}");
    }
}

#[test]
fn a_server_that_is_kept_has_no_grace() {
    let afterwards = |text: &str| read(&format!("[attach]\n{text}")).map(|settings| settings.afterwards);
    assert_eq!(afterwards("grace = \"0s\""), Ok(Afterwards::Ends(Duration::ZERO)));
    assert_eq!(afterwards("grace = \"1m\"\nkeep = true"), Ok(Afterwards::Stays));
}

#[test]
fn hostile_nesting_is_an_error_and_no_crash() {
    assert!(read(&"[".repeat(100_000)).is_err());
    assert!(read(&format!("a = {}", "[".repeat(100_000))).is_err());
    assert!(read(&format!("a{} = 1", ".a".repeat(100_000))).is_err());
}

#[test]
fn the_default_file_is_all_comments_and_uncommented_gives_the_defaults() {
    assert_eq!(read(&default_file()), read(""));
    let keys = default_file();
    let keys = keys.lines().map(|l| l.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(l));
    let uncommented = keys.collect::<Vec<_>>().join("\n");
    let settings = read(&uncommented).expect("every key uncommented");
    let absent = Settings { users: None, grant_required: vec![], shares: vec![Share::unwritten()], ..settings };
    assert_eq!(absent, read("").expect("defaults"));
}

#[test]
fn every_key_of_the_table_is_one_that_the_parser_knows_and_the_other_way_round() {
    for key in KEYS {
        let text = format!("{}\n{} = {}", key.heading(), key.name, key.example);
        assert!(read(&text).is_ok(), "{text}: {:?}", read(&text));
    }
    for key in KEYS {
        let table = key.table;
        let error = read(&format!("{}\nnosuchkey = 1", key.heading())).expect_err("unknown");
        for known in error.split('`').skip(1).step_by(2).filter(|k| *k != "nosuchkey") {
            assert!(KEYS.iter().any(|k| k.table == table && k.name == known), "{table}.{known} is not in KEYS");
        }
    }
}
