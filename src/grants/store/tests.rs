use super::super::tests::{grant, moment, party};
use super::super::{Approval, How, MOST_IN_AN_HOUR, Standing};
use super::*;
use crate::ident::{Access, Lifetime};
use std::fs;
use std::os::unix::fs::PermissionsExt;

pub(super) struct Place(pub std::path::PathBuf);

impl Place {
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("tmux-gate-store-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).expect("a directory");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).expect("its mode");
        Self(path)
    }

    pub fn store(&self) -> Store {
        Store::at(self.0.to_str().expect("UTF-8")).unwrap_or_else(|e| panic!("{e}"))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn what_was_put_is_found_by_id_by_owner_and_by_guest() {
    let place = Place::new("found");
    let store = place.store();
    let (one, two) = (grant("k7q2mx", 1001, 1002), grant("aaaaaa", 1003, 1002));
    let locked = store.lock().expect("the lock");
    locked.put(&one).expect("put");
    locked.put(&two).expect("put");
    assert_eq!(store.find(&one.id).expect("readable"), Some(one.clone()));
    assert_eq!(store.of_owner(one.owner.uid).expect("readable"), vec![one.clone()]);
    assert_eq!(store.of_guest(one.guest.uid).expect("readable").len(), 2);
    assert_eq!(store.find(&GrantId::parse("zzzzzz").expect("an id")).expect("readable"), None);
    let mode = fs::metadata(place.0.join("k7q2mx.1001.1002")).expect("a file").permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
}

#[test]
fn a_file_that_is_no_grant_is_named_and_what_a_killed_writer_left_is_nothing() {
    let place = Place::new("foreign");
    let store = place.store();
    for text in ["", "{", "{\"id\":\"k7q2mx\"}", "null"] {
        fs::write(place.0.join("k7q2mx.1001.1002"), text).expect("written");
        let error = store.of_owner(grant("k7q2mx", 1001, 1002).owner.uid).expect_err(text);
        assert!(error.to_string().contains("k7q2mx.1001.1002"), "{error}");
    }
    let other = serde_json::to_vec(&grant("k7q2mx", 1001, 1009)).expect("JSON");
    fs::write(place.0.join("k7q2mx.1001.1002"), other).expect("written");
    assert!(store.all().is_err(), "a grant under another name");
    fs::remove_file(place.0.join("k7q2mx.1001.1002")).expect("removed");
    fs::write(place.0.join(".new.k7q2mx.1001.1002"), "{").expect("written");
    let _locked = store.lock().expect("the lock");
    assert!(store.all().expect("readable").is_empty());
    assert!(!place.0.join(".new.k7q2mx.1001.1002").exists());
}

fn fresh(locked: &Locked<'_>, like: Grant) -> Grant {
    Grant { id: locked.new_id().expect("an id"), ..like }
}

#[test]
fn sixteen_requests_of_a_person_wait_and_no_more_however_often_he_takes_them_back() {
    let place = Place::new("many");
    let store = place.store();
    let locked = store.lock().expect("the lock");
    for _ in 0..MOST_PENDING {
        locked.add(&fresh(&locked, grant("aaaaaa", 1001, 1002)), &moment(1)).expect("room");
    }
    let one_more = fresh(&locked, grant("aaaaaa", 1003, 1002));
    let full = |now| matches!(locked.add(&one_more, &moment(now)), Err(Error::Full));
    assert!(full(1));
    for mut grant in store.all().expect("readable") {
        grant.end(How::Cancelled, moment(2), None);
        locked.put(&grant).expect("cancelled");
    }
    assert!(full(3599), "each was a request to the owner");
    locked.add(&fresh(&locked, grant("aaaaaa", 1001, 1003)), &moment(1)).expect("another guest's");
    let invited = Grant { asked_by: party(1001, "owner"), ..grant("aaaaaa", 1001, 1002) };
    locked
        .add(&fresh(&locked, invited), &moment(1))
        .expect("asked by another, who does not wait for his guest's requests");
    locked.add(&one_more, &moment(3600)).expect("the others have lapsed");
}

#[test]
fn a_person_has_no_more_grants_than_everybody_can_be_made_to_read() {
    let place = Place::new("mass");
    let store = place.store();
    let locked = store.lock().expect("the lock");
    let mut invited = Grant { asked_by: party(1001, "owner"), ..grant("aaaaaa", 1001, 1002) };
    let lifetime = Lifetime::try_from(20 * 3600).expect("a lifetime");
    let given = Grant { lifetime, ..invited.clone() };
    let approval = Approval { by: party(1001, "owner"), at: moment(1), access: Access::ReadOnly, lifetime };
    invited = given;
    invited.approve(approval, 1);
    for _ in 0..MOST_IN_AN_HOUR {
        locked.add(&fresh(&locked, invited.clone()), &moment(1)).expect("room");
    }
    for later in [2, 7200] {
        let refused = locked.add(&fresh(&locked, invited.clone()), &moment(later));
        assert!(matches!(refused, Err(Error::Full)), "{later}");
    }
    for grant in store.all().expect("readable") {
        let mut grant = grant;
        grant.end(How::Revoked, moment(3), None);
        locked.put(&grant).expect("revoked");
    }
    assert!(matches!(locked.add(&fresh(&locked, invited.clone()), &moment(4)), Err(Error::Full)), "within the hour");
    locked.add(&fresh(&locked, invited), &moment(3600)).expect("an hour later");
}

#[test]
fn what_was_put_away_is_over_is_found_and_is_read_by_nobody_who_looks_for_others() {
    let place = Place::new("away");
    let store = place.store();
    let locked = store.lock().expect("the lock");
    let mut open = grant("k7q2mx", 1001, 1002);
    let (by, lifetime) = (party(1001, "owner"), Lifetime::HOUR);
    open.approve(Approval { by, at: moment(1), access: Access::ReadOnly, lifetime }, 1);
    locked.put(&open).expect("put");
    // As a revocation on a full disk leaves it.
    fs::rename(place.0.join("k7q2mx.1001.1002"), place.0.join("ended/k7q2mx")).expect("put away");
    let found = store.find(&open.id).expect("readable").expect("not lost");
    assert_eq!(found.standing(&moment(2)), Standing::Over(How::Revoked));
    assert!(store.all().expect("readable").is_empty());
    fs::write(place.0.join("ended/k7q2mx"), "{").expect("written");
    assert!(matches!(store.find(&open.id), Err(Error::Foreign(_))));
}

#[test]
fn thousands_of_requests_of_one_person_hold_up_nobody() {
    let place = Place::new("flood");
    let store = place.store();
    let locked = store.lock().expect("the lock");
    let ended = fs::create_dir_all(place.0.join("ended")).and_then(|()| {
        (0..10_000_u32).try_for_each(|number| {
            let id = GrantId::from_random(number * 7);
            let old = serde_json::to_vec(&Grant { id: id.clone(), ..grant("aaaaaa", 1001, 1002) })?;
            fs::write(place.0.join("ended").join(id.as_str()), old)
        })
    });
    ended.expect("what an earlier flood left");
    let mut taken = 0;
    for round in 0..2_000_u64 {
        let mut request = fresh(&locked, grant("aaaaaa", 1001, 1002));
        if locked.add(&request, &moment(round / 20)).is_ok() {
            request.end(How::Cancelled, moment(1), None);
            locked.put(&request).expect("cancelled");
            taken += 1;
        }
    }
    assert_eq!(taken, MOST_PENDING);
    assert_eq!(
        store.names().expect("readable").iter().filter(|name| FileName::parse(name).is_some()).count(),
        MOST_PENDING
    );
    let begun = Instant::now();
    let other = fresh(&locked, grant("aaaaaa", 1001, 1003));
    locked.add(&other, &moment(101)).expect("another person's");
    assert_eq!(store.of_owner(other.owner.uid).expect("readable").len(), MOST_PENDING + 1);
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}

#[test]
fn others_wait_for_the_lock_and_a_directory_that_others_can_read_is_refused() {
    let place = Place::new("weak");
    let store = place.store();
    let locked = store.lock().expect("the lock");
    std::thread::scope(|scope| {
        let other = scope.spawn(|| place.store().lock().map(|_| ()).is_ok());
        std::thread::sleep(Duration::from_millis(20));
        assert!(!other.is_finished());
        drop(locked);
        assert!(other.join().expect("a thread"));
    });
    fs::set_permissions(&place.0, fs::Permissions::from_mode(0o755)).expect("its mode");
    assert!(matches!(Store::at(place.0.to_str().expect("UTF-8")), Err(Error::Weak)));
    assert!(matches!(Store::at("/nowhere/at/all"), Err(Error::Missing)));
}
