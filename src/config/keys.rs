//! Which keys are there? The one table that the default file, tmux-gate.toml(5) and a test of the parser are made from.

/// One key of the configuration.
pub struct Key {
    /// The table that it stands in.
    pub table: &'static str,
    /// Its name.
    pub name: &'static str,
    /// Its default as TOML, or an example where the default is that it is absent.
    pub example: &'static str,
    /// What holds when it is not written.
    pub default: &'static str,
    /// What it does, for people.
    pub meaning: &'static str,
}

impl Key {
    /// The line above it: `[attach]`, or `[[share]]` where there may be several.
    #[must_use]
    pub fn heading(&self) -> String {
        if self.table == "share" { format!("[[{}]]", self.table) } else { format!("[{}]", self.table) }
    }
}

/// All keys, in the order of the file.
pub const KEYS: &[Key] = &[
    Key {
        table: "attach",
        name: "users",
        example: "[\"@users\", \"alice\", \"uid:1001\"]",
        default: "absent: everybody whom PAM lets in",
        meaning: "Who may pass at all: names, groups (\"@group\") and uids (\"uid:1001\"). An empty list lets nobody in.",
    },
    Key {
        table: "attach",
        name: "shell",
        example: "\"/bin/sh\"",
        default: "\"/bin/sh\"",
        meaning: "What panes run for people whose login shell is tmux-gate itself.",
    },
    Key {
        table: "attach",
        name: "grant_required",
        example: "[\"@vendors\"]",
        default: "absent: nobody",
        meaning: "Who needs an open grant for the own session as well, as in users: asked for with tmux-gate request OWN_NAME, \
                  decided by the [[share]] that is about him as owner and guest, with access = \"read-write\". At its end he is \
                  detached. It holds from the next attach on.",
    },
    Key {
        table: "attach",
        name: "grace",
        example: "\"5m\"",
        default: "\"5m\"",
        meaning: "How long after that end everything that was started in his sessions goes on, his tmux server first, up to 1d; a \
                  new grant by then keeps it.",
    },
    Key {
        table: "attach",
        name: "keep",
        example: "false",
        default: "false",
        meaning: "Whether it stays for good instead: locked, for nobody attaches without a new grant.",
    },
    Key {
        table: "share",
        name: "owners",
        example: "[\"@ops\"]",
        default: "absent: everybody",
        meaning: "Into whose sessions. The first [[share]] that is about owner and guest decides; none: refused. Without any, \
                  everybody may ask, the owner approves, for 8h at most.",
    },
    Key {
        table: "share",
        name: "guests",
        example: "[\"@dev\"]",
        default: "absent: everybody",
        meaning: "Who may ask, and be invited.",
    },
    Key {
        table: "share",
        name: "access",
        example: "\"read-only\"",
        default: "\"read-only\"",
        meaning: "The most that may be granted: \"read-only\" or \"read-write\".",
    },
    Key {
        table: "share",
        name: "max_duration",
        example: "\"1h\"",
        default: "\"1h\"",
        meaning: "The longest that may be granted, 1s to 30d.",
    },
    Key {
        table: "share",
        name: "approvers",
        example: "[\"owner\"]",
        default: "[\"owner\"]",
        meaning: "Who may approve: \"owner\" is the owner of the session, the rest as in users. Nobody approves what he asked for.",
    },
    Key {
        table: "share",
        name: "approvals",
        example: "1",
        default: "1",
        meaning: "How many of them must approve, 1 to 9.",
    },
    Key {
        table: "join",
        name: "sandbox",
        example: "\"required\"",
        default: "\"required\"",
        meaning: "What a join needs of the kernel for the sandbox of its relay, Landlock and seccomp: \"required\" refuses it where \
                  one is missing, \"wanted\" makes do with what there is. The relay runs without privileges in any case.",
    },
    Key {
        table: "authentication",
        name: "time_limit",
        example: "\"60s\"",
        default: "\"60s\"",
        meaning: "How long the whole authentication may take, 1s to 1h; what PAM is doing then is ended. Opening and closing the \
                  session have as long, each.",
    },
    Key {
        table: "authentication",
        name: "tries",
        example: "3",
        default: "3",
        meaning: "How often a wrong answer may be given again, 1 to 10.",
    },
    Key {
        table: "tmux",
        name: "path",
        example: "\"/usr/bin/tmux\"",
        default: "\"/usr/bin/tmux\"",
        meaning: "The tmux to run, 3.2 or newer: an absolute path that only root can change.",
    },
    Key {
        table: "audit",
        name: "required",
        example: "true",
        default: "true",
        meaning: "No record, no entry: whether people are kept out while syslog does not take the record.",
    },
];

/// The configuration as it is installed: every key, commented out, at its default.
#[must_use]
pub fn default_file() -> String {
    let mut text = String::from(
        "# tmux-gate: see tmux-gate.toml(5). Every key is shown at its default; an unknown key is an error and closes the\n\
         # gate. After a change run: tmux-gate check\n",
    );
    let mut table = "";
    for key in KEYS {
        if key.table != table {
            table = key.table;
            text += &format!("\n#{}\n", key.heading());
        }
        text += &format!("# {} Default: {}\n#{} = {}\n", key.meaning, key.default, key.name, key.example);
    }
    text
}
