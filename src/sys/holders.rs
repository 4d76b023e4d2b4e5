//! Which processes hold a group, and how are they ended? Never: why.

use std::fs;
use std::io;

use nix::sys::signal::Signal;
use nix::unistd::Pid;

use super::process::Process;
use crate::ident::Uid;

/// Kills every process whose real uid is `uid` and that holds `group`; how many there were. Called again until there are none:
/// one that is killed may just have made another.
///
/// # Errors
/// readdir(3) of /proc.
pub fn kill(uid: Uid, group: u32) -> io::Result<usize> {
    let found = find(uid, group)?;
    found.iter().for_each(|holder| holder.signal(Signal::SIGKILL));
    Ok(found.len())
}

/// One of them, if there is any.
///
/// # Errors
/// As above.
pub fn first(uid: Uid, group: u32) -> io::Result<Option<Process>> {
    Ok(find(uid, group)?.into_iter().next())
}

/// How many there are.
///
/// # Errors
/// As above.
pub fn count(uid: Uid, group: u32) -> io::Result<usize> {
    Ok(find(uid, group)?.len())
}

fn find(uid: Uid, group: u32) -> io::Result<Vec<Process>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // The handle first: what is read then is about that very process, or it has ended and no signal does anything.
        let Ok(process) = Process::open(Pid::from_raw(pid)) else { continue };
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        if holds(&status, uid, group) {
            found.push(process);
        }
    }
    Ok(found)
}

/// By the text of /proc/PID/status, in which a process's name cannot begin a line (proc(5)). One that has ended and is not waited
/// for yet holds nothing.
fn holds(status: &str, uid: Uid, group: u32) -> bool {
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    let mut groups = field("Gid:").split_whitespace().chain(field("Groups:").split_whitespace());
    let real = field("Uid:").split_whitespace().next().and_then(|real| Uid::parse(real).ok());
    let alive = !field("State:").trim_start().starts_with(['Z', 'X']);
    alive && real == Some(uid) && groups.any(|gid| gid.parse() == Ok(group))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(state: &str, uids: &str, gids: &str, groups: &str) -> String {
        format!("Name:\tx\\nUid:\t7\nState:\t{state}\nUid:\t{uids}\nGid:\t{gids}\nGroups:\t{groups} \n")
    }

    #[test]
    fn whoever_of_that_uid_has_the_group_holds_it_and_nobody_else() {
        let alice = Uid::parse("1001").expect("a uid");
        let holds = |state, uids, gids, groups| holds(&status(state, uids, gids, groups), alice, 2_013_265_930);
        let (own, gids) = ("1001\t1001\t1001\t1001", "1001\t1001\t1001\t1001");
        assert!(holds("S (sleeping)", own, gids, "998 1001 2013265930"));
        assert!(holds("T (stopped)", "1001\t0\t0\t0", gids, "2013265930"), "what she runs as root by the setuid bit");
        assert!(holds("S (sleeping)", own, "1001\t2013265930\t2013265930\t2013265930", ""));
        assert!(!holds("Z (zombie)", own, gids, "998 2013265930"));
        assert!(!holds("S (sleeping)", own, gids, "998 1001 201326593"));
        assert!(!holds("S (sleeping)", "0\t0\t0\t0", gids, "2013265930"), "root's");
        assert!(!holds("S (sleeping)", "1002\t1001\t1001\t1001", gids, "2013265930"), "somebody else's");
        assert!(!super::holds("", alice, 0));
    }
}
