//! Two people and one session, in words of the tests: a gate that asks nobody, grants by their ids, the owner's server seen from
//! inside, and a hostile program.

use super::{Host, Person, Process};
use std::os::unix::fs::MetadataExt;

/// The hostile program of hostile.c, built for this host by `Host::hostile`.
pub const HOSTILE: &str = "/tmp/hostile";

const GRANTS: &str = "/var/lib/tmux-gate/grants";

impl Host {
    /// Builds hostile.c; one more copy is `user`'s, set-user-id.
    pub fn hostile(&self, user: &str) -> String {
        let source = include_str!("hostile.c");
        self.write("/tmp/hostile.c", source, 0o644);
        self.must(&["cc", "-Wall", "-Werror", "-O1", "-o", HOSTILE, "/tmp/hostile.c"]);
        let become_user = format!("/tmp/become-{user}");
        self.must(&["cp", HOSTILE, &become_user]);
        self.must(&["chown", user, &become_user]);
        self.must(&["chmod", "4755", &become_user]);
        become_user
    }

    /// A tmux command on alice's server, as one of her panes could give it; what it printed.
    pub fn tmux_of_alice(&self, words: &[&str]) -> String {
        let group = std::fs::metadata(self.path("/run/tmux-gate/1001")).expect("alice's directory").gid();
        let argv = [&["tmux", "-u", "-N", "-S", "/run/tmux-gate/1001/default"], words].concat();
        let gate = self.must(&["getent", "group", "tmux-gate"]).split(':').nth(2).unwrap().parse().unwrap();
        let output = self.spawn("alice", &argv).groups(&[1001, gate, group]).output();
        assert!(output.status.success(), "{words:?}: {output:?}\n{}", self.snapshot());
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// All that alice's server knows, without times and without who is attached.
    pub fn whole_state(&self) -> String {
        let panes = "#{session_name} #{window_id} #{pane_id} #{pane_pid} #{pane_width}x#{pane_height} #{pane_title} \
                     #{pane_mode} #{pane_pipe} #{pane_current_command} #{cursor_x},#{cursor_y} #{pane_active}";
        let windows = "#{session_name} #{window_id} #{window_name} #{window_layout} #{window_active} #{window_zoomed_flag} \
                       #{window_width}x#{window_height} #{window_flags}";
        let questions: [&[&str]; 14] = [
            &["list-sessions", "-F", "#{session_id} #{session_name} #{session_windows} #{session_group}"],
            &["list-windows", "-a", "-F", windows],
            &["list-panes", "-a", "-F", panes],
            &["show-options", "-g"],
            &["show-options", "-s"],
            &["show-options", "-t", "work"],
            &["show-options", "-g", "-w"],
            &["show-hooks", "-g"],
            &["show-hooks", "-t", "work"],
            &["show-environment", "-g"],
            &["show-environment", "-t", "work"],
            &["list-keys"],
            &["list-buffers", "-F", "#{buffer_name} #{buffer_size} #{buffer_sample}"],
            &["capture-pane", "-p", "-e", "-S", "-", "-t", "=work:"],
        ];
        // The gate's own, while a guest is in; a hook without a command is named alone.
        let own = |line: &&str| {
            let hook = ["client-detached", "client-session-changed"].iter().any(|name| line.starts_with(name));
            !line.starts_with("@tmux-gate-guests") && !hook
        };
        let answer = |words: &&[&str]| {
            let answer = self.tmux_of_alice(words);
            format!("--- {words:?}\n{}\n", answer.lines().filter(own).collect::<Vec<_>>().join("\n"))
        };
        questions.iter().map(answer).collect()
    }

    /// The file of a grant, wherever it is.
    pub fn grant_file(&self, id: &str) -> String {
        let names = std::fs::read_dir(self.path(GRANTS)).expect("the store");
        let mut names = names.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        let live = names.find(|name| name.starts_with(id)).map(|name| format!("{GRANTS}/{name}"));
        live.unwrap_or_else(|| format!("{GRANTS}/ended/{id}"))
    }

    /// A grant as the store has it.
    pub fn grant(&self, id: &str) -> serde_json::Value {
        serde_json::from_str(&self.read(&self.grant_file(id))).expect("JSON")
    }

    /// How it stands by its file: `requested`, `approved`, or how it ended.
    pub fn grant_state(&self, id: &str) -> String {
        let state = &self.grant(id)["state"];
        let name = state.as_object().and_then(|state| state.keys().next().cloned()).unwrap_or_default();
        state["ended"]["how"].as_str().map_or(name, str::to_owned)
    }

    /// As root edits it: written beside and renamed.
    pub fn edit_grant(&self, id: &str, edit: impl FnOnce(&mut serde_json::Value)) {
        let (path, mut grant) = (self.grant_file(id), self.grant(id));
        edit(&mut grant);
        self.write(&format!("{GRANTS}/.edited"), grant.to_string(), 0o600);
        std::fs::rename(self.path(&format!("{GRANTS}/.edited")), self.path(&path)).unwrap();
    }

    /// The processes of joins, by the name of the role: `front`, `mon`, `relay`.
    pub fn by_role(&self, role: &str) -> Vec<Process> {
        let name = format!("tmux-gate:{role}");
        self.gates().into_iter().filter(|process| process.comm == name).collect()
    }

    /// The clients that guests look through.
    pub fn guest_clients(&self) -> Vec<Process> {
        self.clients().into_iter().filter(|client| client.cmdline.contains("attach-session -E")).collect()
    }
}

impl Person<'_> {
    /// Asks where the gate asks nobody; the id.
    pub fn asks(&mut self, words: &str) -> String {
        let said = self.command(&format!("tmux-gate request {words} --reason 'the disk of db1 is full'"));
        let id = said.text.lines().find_map(|line| line.split_once(": requested")).map(|(id, _)| id.to_owned());
        id.unwrap_or_else(|| panic!("{words}: {said:?}"))
    }

    /// Approves where the gate asks nobody.
    pub fn approves(&mut self, id: &str) {
        let said = self.command(&format!("tmux-gate approve {id}"));
        assert_eq!(said.status, 0, "{said:?}");
    }

    /// Joins where the gate asks nobody, and is in.
    pub fn comes_in(&mut self, id: &str) -> super::Attempt {
        let attempt = self.attempt(&format!("clear; tmux-gate join {id}"));
        self.sees_inside(id);
        attempt
    }

    /// Waits until she is in by that grant: what was on the screen before that does not count.
    pub fn sees_inside(&self, id: &str) {
        let is_relay = |process: &Process| process.comm == "tmux-gate:relay" && process.cmdline.ends_with(id);
        self.host.wait_until("a relay", || self.host.gates().iter().any(is_relay));
        self.expect_inside();
    }
}
