use super::*;

pub(crate) fn party(uid: u32, name: &str) -> Party {
    Party { uid: Uid::new(uid).expect("a uid"), name: Name::parse(name.as_bytes()).expect("a name") }
}

pub(crate) fn moment(seconds: u64) -> Moment {
    Moment { wall: 1_700_000_000_000 + seconds * 1000, boot: "b".to_owned(), since_boot: seconds * 1000 }
}

pub(crate) fn grant(id: &str, owner: u32, guest: u32) -> Grant {
    Grant {
        id: GrantId::parse(id).expect("an id"),
        guest: party(guest, "guest"),
        owner: party(owner, "owner"),
        session: SessionName::parse("work").ok(),
        access: Access::ReadWrite,
        lifetime: Lifetime::try_from(600).expect("a lifetime"),
        reason: Reason::parse("the disk is full again").expect("a reason"),
        asked_by: party(guest, "guest"),
        asked_at: moment(0),
        approvals: Vec::new(),
        state: State::Requested {},
        follows: None,
        seal: None,
    }
}

fn approval(uid: u32, at: u64, access: Access, seconds: u64) -> Approval {
    let lifetime = Lifetime::try_from(seconds).expect("a lifetime");
    Approval { by: party(uid, "x"), at: moment(at), access, lifetime }
}

#[test]
fn a_request_waits_an_hour_and_lapses() {
    let grant = grant("k7q2mx", 1001, 1002);
    assert_eq!(grant.standing(&moment(1)), Standing::Pending(3_599_000));
    assert_eq!(grant.standing(&moment(3600)), Standing::Over(How::Lapsed));
}

#[test]
fn the_clock_starts_when_enough_have_approved_and_each_may_only_narrow() {
    let mut grant = grant("k7q2mx", 1001, 1002);
    grant.approve(approval(1003, 10, Access::ReadOnly, 600), 2);
    grant.approve(approval(1003, 11, Access::ReadWrite, 600), 2);
    assert!(matches!(grant.standing(&moment(12)), Standing::Pending(_)), "one person is one, however often");
    grant.approve(approval(1003, 13, Access::ReadOnly, 300), 2);
    grant.approve(approval(1004, 100, Access::ReadWrite, 500), 2);
    assert_eq!(grant.standing(&moment(100)), Standing::Open(300_000));
    assert!(matches!(grant.state, State::Approved { access: Access::ReadOnly, .. }));
    assert_eq!(grant.standing(&moment(400)), Standing::Over(How::Expired));
}

#[test]
fn whichever_clock_says_that_it_is_over_is_right() {
    let mut grant = grant("k7q2mx", 1001, 1002);
    grant.approve(approval(1001, 0, Access::ReadOnly, 600), 1);
    let now = |wall: u64, since_boot: u64, boot: &str| Moment {
        wall: moment(wall).wall,
        boot: boot.to_owned(),
        since_boot: since_boot * 1000,
    };
    assert_eq!(grant.standing(&now(0, 600, "b")), Standing::Over(How::Expired), "the wall clock was set back");
    assert_eq!(grant.standing(&now(600, 1, "b")), Standing::Over(How::Expired), "the wall clock was set forward");
    assert_eq!(grant.standing(&now(500, 3, "c")), Standing::Open(100_000), "rebooted");
    assert_eq!(grant.standing(&now(601, 3, "c")), Standing::Over(How::Expired));
    grant.approvals[0].at = now(300, 300, "b");
    assert_eq!(grant.standing(&now(299, 3, "c")), Standing::Over(How::Expired), "rebooted, and the clock set back");
}

#[test]
fn no_way_to_set_the_wall_clock_gives_anybody_more_time() {
    for lifetime in [1, 600, 30 * 24 * 3600] {
        let mut grant = Grant { lifetime: Lifetime::try_from(lifetime).expect("a lifetime"), ..grant("k7q2mx", 1, 2) };
        grant.approve(approval(1, 0, Access::ReadOnly, lifetime), 1);
        for really in [0, 1, lifetime / 2, lifetime - 1, lifetime, lifetime + 1, 2 * lifetime] {
            for (set, boot) in
                [-86_400_i64, -3600, -1, 0, 1, 3600, 86_400].into_iter().flat_map(|s| [(s, "b"), (s, "c")])
            {
                let wall = moment(really).wall.saturating_add_signed(set * 1000);
                let since_boot = if boot == "b" { really * 1000 } else { 5000 };
                let left = match grant.standing(&Moment { wall, boot: boot.to_owned(), since_boot }) {
                    Standing::Open(left) => left,
                    Standing::Pending(_) | Standing::Over(_) => 0,
                };
                let honest = lifetime.saturating_sub(really) * 1000;
                let most = if boot == "b" { honest } else { lifetime * 1000 };
                assert!(left <= most, "{lifetime} s, {really} s later, set by {set} s, boot {boot}: {left} ms");
            }
        }
    }
}

#[test]
fn what_does_not_wait_any_more_is_not_approved() {
    let mut lapsed = grant("k7q2mx", 1001, 1002);
    lapsed.approve(approval(1001, 3600, Access::ReadOnly, 60), 1);
    assert_eq!(lapsed.standing(&moment(3600)), Standing::Over(How::Lapsed));
    let mut revoked = grant("k7q2mx", 1001, 1002);
    revoked.end(How::Cancelled, moment(5), None);
    revoked.approve(approval(1001, 6, Access::ReadOnly, 60), 1);
    assert_eq!(revoked.standing(&moment(7)), Standing::Over(How::Cancelled));
}

#[test]
fn an_approved_grant_can_be_lowered_and_never_raised() {
    let mut grant = grant("k7q2mx", 1001, 1002);
    let minutes = |minutes: u64| Lifetime::try_from(minutes * 60).ok();
    assert!(!grant.covers_less(Access::ReadOnly, None, &moment(0)), "it is not approved yet");
    grant.approve(approval(1001, 0, Access::ReadWrite, 600), 1);
    assert!(grant.covers_less(Access::ReadOnly, minutes(5), &moment(300)));
    assert!(!grant.covers_less(Access::ReadOnly, minutes(6), &moment(300)));
    grant.lower(Access::ReadOnly, minutes(1), &moment(300));
    assert_eq!((grant.terms().access, grant.standing(&moment(300))), (Access::ReadOnly, Standing::Open(60_000)));
    assert!(!grant.covers_less(Access::ReadWrite, None, &moment(300)));
    grant.lower(Access::ReadWrite, minutes(60), &moment(300));
    assert_eq!((grant.terms().access, grant.standing(&moment(300))), (Access::ReadOnly, Standing::Open(60_000)));
}

#[test]
fn what_ended_stays_as_it_ended() {
    let mut grant = grant("k7q2mx", 1001, 1002);
    grant.end(How::Denied, moment(5), Some(party(1001, "owner")));
    grant.end(How::Revoked, moment(6), None);
    assert_eq!(grant.standing(&moment(7)), Standing::Over(How::Denied));
}
