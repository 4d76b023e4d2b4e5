//! What is different at an owner's when a guest who could type has left? Options, hooks, key bindings and piped panes of the
//! server, and processes that go on. The owner is shown it, and the record has it.
//!
//! MUST: the guest is cut before; nothing here holds that up. Hashes are kept, and never what somebody has set.
//! Never: proof. Who could type had the whole account, and may have doctored what is looked at.

use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

use super::entrance::{Judged, Ready};
use super::join::Going;
use super::tell::Teller;
use crate::ident::{Access, Name, Visible};
use crate::sys::ids::Identity;
use crate::sys::started::{self, Place, Started, Tick};
use crate::tmux::{self, Panes, Setting, Settings};

/// How long the owner's server may take for all of it; one command has two seconds at most.
const PATIENCE: Duration = Duration::from_secs(3);
/// The most processes that the record names.
const NAMES: usize = 8;

/// How it was before the guest came.
pub(super) struct Before {
    hashing: RandomState,
    moment: Tick,
    server: Option<Server>,
}

/// What a server was set to.
struct Server {
    panes: Panes,
    settings: Option<Settings>,
}

/// An owner's server, and who asks it.
struct Asked<'a> {
    judged: &'a Judged,
    identity: Identity,
    socket: String,
    until: Instant,
}

/// Looks right before a guest comes; at nothing, if he may only see.
pub(super) fn before(ready: &Ready<'_>, judged: &Judged, going: &Going) -> Option<Before> {
    if going.terms.access == Access::ReadOnly {
        return None;
    }
    let hashing = RandomState::new();
    let server = Asked::of(ready, judged, going).server(&hashing);
    Some(Before { hashing, moment: Tick::now(), server })
}

impl Before {
    /// Looks again, shows the owner what has changed, and says it for the record.
    pub(super) fn tell(self, ready: &Ready<'_>, judged: &Judged, going: &Going) -> String {
        let asked = Asked::of(ready, judged, going);
        let after = asked.server(&self.hashing);
        let roots = after.as_ref().map(|server| server.panes.first.as_slice()).unwrap_or_default();
        let processes = started::since(going.owner.uid, self.moment, roots);
        let changed = Changed { server: compare(self.server.as_ref(), after.as_ref()), processes };
        if after.is_some() && changed.is_something() {
            let teller = Teller { settings: &judged.settings, gate_group: ready.gate_group, runtime: &ready.runtime };
            teller.important(&going.owner, &changed.line(&going.grant.guest.name));
        }
        changed.record()
    }
}

impl<'a> Asked<'a> {
    fn of(ready: &Ready<'_>, judged: &'a Judged, going: &Going) -> Self {
        let identity = going.owner.asking(ready.gate_group, &going.home);
        Self { judged, identity, socket: tmux::socket(going.owner.uid), until: Instant::now() + PATIENCE }
    }

    /// What it answers; nothing where there is none, or where it is silent. One that is silent once is not asked again.
    fn server(&self, hashing: &RandomState) -> Option<Server> {
        let panes = Panes::read(&self.answer(&tmux::show_panes(&self.socket))?)?;
        let settings = self.settings(hashing, &panes);
        Some(Server { panes, settings })
    }

    fn settings(&self, hashing: &RandomState, panes: &Panes) -> Option<Settings> {
        let hash = |text: &str| hashing.hash_one(text);
        let mut settings = Settings::new();
        tmux::read_settings(&self.answer(&tmux::show_settings(&self.socket, panes))?, hash, &mut settings)?;
        tmux::read_keys(&self.answer(&tmux::list_keys(&self.socket))?, hash, &mut settings);
        Some(settings)
    }

    /// The whole of it, or nothing.
    fn answer(&self, command: &[String]) -> Option<Vec<u8>> {
        if Instant::now() > self.until {
            return None;
        }
        let answer = tmux::as_owner(&self.judged.settings.tmux, &self.identity, command).ok()?;
        (answer.len() < tmux::LONGEST_ANSWER).then_some(answer)
    }
}

/// What became of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    /// The same one: options, hooks, key bindings, piped panes; `None` where it did not say all.
    Same(Option<[usize; 3]>, usize),
    /// Another one.
    Another,
    /// None that answers.
    Gone,
}

fn compare(before: Option<&Server>, after: Option<&Server>) -> Of {
    let Some(after) = after else { return Of::Gone };
    let Some(before) = before else { return Of::Same(None, after.panes.piped.len()) };
    if before.panes.server != after.panes.server {
        return Of::Another;
    }
    let piped = after.panes.piped.difference(&before.panes.piped).count();
    let (Some(old), Some(new)) = (&before.settings, &after.settings) else { return Of::Same(None, piped) };
    let gone = old.iter().filter(|(name, _)| !new.contains_key(name));
    let other = new.iter().filter(|(name, line)| old.get(name) != Some(line));
    let mut counts = [0; 3];
    for ((kind, _), _) in gone.chain(other) {
        let [options, hooks, keys] = &mut counts;
        *match kind {
            Setting::Option => options,
            Setting::Hook => hooks,
            Setting::Key => keys,
        } += 1;
    }
    Of::Same(Some(counts), piped)
}

/// Everything that is different.
struct Changed {
    server: Of,
    processes: Vec<Started>,
}

impl Changed {
    fn is_something(&self) -> bool {
        self.server != Of::Same(Some([0; 3]), 0) || !self.processes.is_empty()
    }

    /// In counts: `2 key bindings, 1 hook; 3 new processes, 1 of them outside panes`.
    fn text(&self) -> String {
        let plural = |count: usize, one: &str, more: &str| match count {
            0 => None,
            1 => Some(format!("1 {one}")),
            count => Some(format!("{count} {more}")),
        };
        let mut server = Vec::new();
        match self.server {
            Of::Gone => server.push("the tmux server does not answer".to_owned()),
            Of::Another => server.push("another tmux server".to_owned()),
            Of::Same(counts, piped) => {
                let [options, hooks, keys] = counts.unwrap_or_default();
                server.extend(counts.is_none().then(|| "settings not known".to_owned()));
                server.extend(plural(keys, "key binding", "key bindings"));
                server.extend(plural(hooks, "hook", "hooks"));
                server.extend(plural(options, "option", "options"));
                server.extend(plural(piped, "piped pane", "piped panes"));
            }
        }
        let outside = self.processes.iter().filter(|one| one.place == Place::Elsewhere).count();
        let outside = if outside > 0 { format!(", {outside} of them outside panes") } else { String::new() };
        let processes = plural(self.processes.len(), "new process", "new processes").map(|text| text + &outside);
        let server = (!server.is_empty()).then(|| server.join(", "));
        server.into_iter().chain(processes).collect::<Vec<_>>().join("; ")
    }

    /// For the owner's clients: fixed words, counts and a name that the gate knows.
    fn line(&self, guest: &Name) -> String {
        format!("{guest} left; changed meanwhile: {}", self.text())
    }

    /// For the record, with the names of processes, those outside panes first.
    fn record(&self) -> String {
        if !self.is_something() {
            return "nothing".to_owned();
        }
        let place = |wanted: Place| self.processes.iter().filter(move |one| one.place == wanted);
        let names = place(Place::Elsewhere).chain(place(Place::Below)).take(NAMES);
        let names: Vec<String> = names.map(|one| Visible::line(one.name.as_bytes()).to_string()).collect();
        let names = if names.is_empty() { String::new() } else { format!(" ({})", names.join(" ")) };
        self.text() + &names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn started(name: &str, place: Place) -> Started {
        Started { name: name.to_owned(), place }
    }

    #[test]
    fn what_changed_is_said_in_counts_and_in_the_record_by_name() {
        let processes = vec![started("vim", Place::Below), started("\x1b[2J#(x)", Place::Elsewhere)];
        let changed = Changed { server: Of::Same(Some([1, 0, 2]), 1), processes };
        let text = "2 key bindings, 1 option, 1 piped pane; 2 new processes, 1 of them outside panes";
        assert_eq!(changed.text(), text);
        assert_eq!(changed.record(), format!("{text} (\\x1b[2J#(x) vim)"));
        let bob = Name::parse(b"bob").expect("a name");
        assert_eq!(changed.line(&bob), format!("bob left; changed meanwhile: {text}"));
    }

    fn server(answer: &str, settings: Option<&[(Setting, u64, u64)]>) -> Server {
        let panes = Panes::read(answer.as_bytes()).expect("panes");
        let settings = settings.map(|all| all.iter().map(|(kind, name, line)| ((*kind, *name), *line)).collect());
        Server { panes, settings }
    }

    #[test]
    fn servers_are_compared_by_names_and_lines_and_a_new_one_is_another() {
        let old = [(Setting::Key, 1, 1), (Setting::Key, 2, 2), (Setting::Hook, 1, 1), (Setting::Option, 9, 9)];
        let new = [(Setting::Key, 1, 7), (Setting::Key, 3, 2), (Setting::Hook, 1, 1), (Setting::Option, 9, 8)];
        let before = server("5 $1 @1 %1 40 1\n5 $1 @1 %2 41 0\n", Some(&old));
        let after = server("5 $1 @1 %1 40 1\n5 $1 @1 %2 41 1\n", Some(&new));
        assert_eq!(compare(Some(&before), Some(&after)), Of::Same(Some([1, 0, 3]), 1));
        assert_eq!(compare(Some(&before), Some(&before)), Of::Same(Some([0; 3]), 0));
        assert_eq!(compare(Some(&before), Some(&server("5 $1 @1 %1 40 1\n", None))), Of::Same(None, 0));
        assert_eq!(compare(Some(&before), Some(&server("6 $1 @1 %1 40 1\n", Some(&old)))), Of::Another);
        assert_eq!(compare(None, Some(&after)), Of::Same(None, 2));
        assert_eq!(compare(Some(&before), None), Of::Gone);
    }

    #[test]
    fn nothing_is_nothing_and_what_is_not_known_is_said() {
        let of = |server| Changed { server, processes: Vec::new() };
        assert!(!of(Of::Same(Some([0; 3]), 0)).is_something());
        assert_eq!(of(Of::Same(Some([0; 3]), 0)).record(), "nothing");
        assert_eq!(of(Of::Same(None, 0)).record(), "settings not known");
        assert_eq!(of(Of::Gone).record(), "the tmux server does not answer");
        assert_eq!(of(Of::Another).record(), "another tmux server");
    }
}
