//! An administrator who does what the manual page says, word for word.

use super::Host;

impl Host {
    /// Runs, as root, the commands that tmux-gate-pam(7) gives under the heading of this worked PAM file, and nothing else.
    pub fn follow(&self, file: &str) {
        self.must(&["sh", "-euxc", &self.commands_of(file)]);
    }

    /// The commands between .EX and .EE under that heading, as man(1) shows them.
    pub fn commands_of(&self, file: &str) -> String {
        let page = self.read("/usr/share/man/man7/tmux-gate-pam.7");
        let heading = format!("\n.SS {}\n", file.replace('-', "\\-"));
        let (_, section) = page.split_once(&heading).unwrap_or_else(|| panic!("{file}: no heading in the manual page"));
        let section = section.split("\n.S").next().unwrap();
        let mut commands = String::new();
        let mut shown = false;
        for line in section.lines() {
            match line {
                ".EX" => shown = true,
                ".EE" => shown = false,
                line if shown => commands += &format!("{}\n", line.replace("\\-", "-").replace("\\e", "\\")),
                _ => {}
            }
        }
        assert!(!commands.is_empty(), "{file}: no commands in the manual page");
        commands
    }
}
