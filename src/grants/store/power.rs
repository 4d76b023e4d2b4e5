//! A power cut at each system call of each operation: the process is killed there, and what it wrote and did not have put on
//! the disk is gone.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use nix::sys::ptrace;
use nix::sys::signal::{Signal, raise};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;

use super::super::tests::{grant, moment, party};
use super::super::{Approval, Grant, How, Moment, Standing, State};
use super::tests::Place;
use super::*;
use crate::ident::{Access, Lifetime};
use crate::sys::process;

/// Runs `act` in a process of its own and cuts it at its `stop`th stop at a system call (each has one before and one after);
/// false if it was done before.
fn cut_at(place: &Place, stop: usize, act: impl FnOnce()) -> bool {
    let child = process::fork(&[], || {
        ptrace::traceme().expect("traced");
        raise(Signal::SIGSTOP).expect("stopped");
        u8::from(catch_unwind(AssertUnwindSafe(act)).is_err())
    });
    let pid = child.expect("a process").pid;
    assert!(matches!(waitpid(pid, None), Ok(WaitStatus::Stopped(..))));
    let mut unsynced = Vec::new();
    for _ in 0..stop {
        ptrace::syscall(pid, None).expect("goes on");
        match waitpid(pid, None) {
            Ok(WaitStatus::Stopped(..)) => note_call(pid, &mut unsynced),
            Ok(WaitStatus::Exited(_, 0)) => return false,
            other => panic!("{other:?}"),
        }
    }
    ptrace::kill(pid).expect("killed");
    while matches!(waitpid(pid, None), Ok(WaitStatus::Stopped(..))) {}
    for entry in fs::read_dir(&place.0).expect("readable") {
        let entry = entry.expect("an entry");
        if unsynced.contains(&entry.metadata().expect("there").ino()) {
            fs::write(entry.path(), "").expect("cut");
        }
    }
    true
}

/// Files that were written to and not put on the disk yet, by inode.
fn note_call(pid: Pid, unsynced: &mut Vec<u64>) {
    let call = fs::read_to_string(format!("/proc/{pid}/syscall")).unwrap_or_default();
    let mut words = call.split_whitespace();
    let (Some(Ok(number)), Some(Ok(first))) = (
        words.next().map(str::parse::<libc::c_long>),
        words.next().map(|word| u64::from_str_radix(word.trim_start_matches("0x"), 16)),
    ) else {
        return;
    };
    let inode = fs::metadata(format!("/proc/{pid}/fd/{first}")).map(|found| found.ino());
    match (number, inode) {
        (libc::SYS_write, Ok(inode)) => unsynced.push(inode),
        (libc::SYS_fsync, Ok(inode)) => unsynced.retain(|one| *one != inode),
        _ => {}
    }
}

/// All that can be seen from outside: the grants that are open or wait, and how the others ended.
fn seen(store: &Store, now: &Moment) -> Vec<(String, Standing)> {
    let mut seen: Vec<_> = ["k7q2mx", "aaaaaa", "bbbbbb"]
        .iter()
        .filter_map(|id| store.find(&GrantId::parse(id).expect("an id")).expect("readable"))
        .map(|grant| (grant.id.to_string(), grant.standing(now)))
        .collect();
    seen.sort_by(|one, other| one.0.cmp(&other.0));
    let live = store.all().expect("readable");
    let ids: Vec<_> = live.iter().map(|grant| &grant.id).collect();
    assert!(ids.iter().all(|id| ids.iter().filter(|other| *other == id).count() == 1), "doubled: {ids:?}");
    seen
}

/// `act` on a store with what `prepare` puts there, cut everywhere: afterwards there is what was before or what was meant, and
/// the next operation works.
fn survives(name: &str, now: &Moment, prepare: impl Fn(&Locked<'_>), act: impl Fn(&Locked<'_>)) -> usize {
    let fresh = |label: &str| {
        let place = Place::new(&format!("{name}-{label}"));
        prepare(&place.store().lock().expect("the lock"));
        place
    };
    let place = fresh("whole");
    let before = seen(&place.store(), now);
    act(&place.store().lock().expect("the lock"));
    let after = seen(&place.store(), now);
    let mut tried = [0, 0];
    for stop in 1.. {
        let place = fresh("cut");
        if !cut_at(&place, stop, || act(&place.store().lock().expect("the lock"))) {
            break;
        }
        let found = seen(&place.store(), now);
        assert!(found == before || found == after, "{name}, stop {stop}: {found:?} of {before:?} and {after:?}");
        tried[usize::from(found == after)] += 1;
        let next = grant("bbbbbb", 1001, 1009);
        let store = place.store();
        store.lock().expect("the lock").add(&next, now).expect("the next operation");
        assert!(store.find(&next.id).expect("readable").is_some());
        let left = fs::read_dir(&place.0).expect("readable").flatten().map(|entry| entry.file_name());
        let left: Vec<_> = left.filter(|name| name.to_string_lossy().starts_with('.')).collect();
        assert_eq!(left, [".lock"], "{name}, stop {stop}");
    }
    assert!(before == after || (tried[0] > 0 && tried[1] > 0), "{name}: {tried:?}");
    tried[0] + tried[1]
}

fn approved(id: &str, by: u32) -> Grant {
    let mut grant = grant(id, 1001, 1002);
    let lifetime = Lifetime::try_from(600).expect("a lifetime");
    grant.approve(Approval { by: party(by, "x"), at: moment(1), access: Access::ReadWrite, lifetime }, 1);
    grant
}

#[test]
fn a_power_cut_at_any_system_call_loses_no_grant_doubles_none_and_leaves_none_half_written() {
    let now = moment(10);
    let (request, open) = (grant("k7q2mx", 1001, 1002), approved("k7q2mx", 1001));
    let mut over = open.clone();
    over.end(How::Revoked, moment(5), Some(party(1001, "owner")));
    let put = |grant: &Grant| {
        let grant = grant.clone();
        move |locked: &Locked<'_>| locked.put(&grant).expect("put")
    };
    let add = |locked: &Locked<'_>| locked.add(&request, &now).expect("added");
    let mut stops = survives("request", &now, |_| {}, add);
    stops += survives("approval", &now, put(&request), put(&open));
    stops += survives("revocation", &now, put(&open), put(&over));
    stops += survives("denial", &now, put(&request), put(&Grant { state: over.state.clone(), ..request.clone() }));
    let next = Grant { follows: Some(open.id.clone()), ..approved("aaaaaa", 1001) };
    stops += survives("change", &now, put(&open), put(&next));
    assert!(stops > 100, "{stops}");
}

#[test]
fn a_power_cut_while_grants_are_put_away_loses_none() {
    let now = moment(2 * 3600);
    let (open, lapsed) = (approved("k7q2mx", 1001), grant("aaaaaa", 1001, 1002));
    let prepare = |locked: &Locked<'_>| {
        locked.put(&open).expect("put");
        locked.put(&lapsed).expect("put");
    };
    let other = Uid::new(1009).expect("a uid");
    survives("putting-away", &now, prepare, |locked| locked.room_for(other, &now).expect("room"));
    let place = Place::new("put-away");
    let store = place.store();
    let locked = store.lock().expect("the lock");
    prepare(&locked);
    locked.room_for(other, &now).expect("room");
    assert!(store.all().expect("readable").is_empty());
    for (id, how) in [(&open.id, How::Expired), (&lapsed.id, How::Lapsed)] {
        let found = store.find(id).expect("readable").expect("not lost");
        assert!(matches!(found.state, State::Ended { how: ended, .. } if ended == how), "{found:?}");
    }
}
