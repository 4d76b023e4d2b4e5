//! How long does PAM wait after a wrong answer? As long as the modules ask for, but not past the time limit, and not for a
//! person who is gone: whoever has to kill a module that waits keeps it from tidying up after itself.
//! Never: a shorter wait for whoever stays.

use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use pam_client::{Context, ConversationHandler};

/// Linux-PAM's item (pam_fail_delay(3)).
const PAM_FAIL_DELAY: libc::c_int = 10;

static LIMITS: OnceLock<(RawFd, Instant)> = OnceLock::new();

/// Has PAM wait until `until` at most, and no longer once something happens on `front`, which stays open as long as this
/// process lives.
///
/// # Errors
/// pam_set_item(3).
pub fn limit<C: ConversationHandler>(
    context: &mut Context<C>,
    front: BorrowedFd<'_>,
    until: Instant,
) -> Result<(), pam_client::Error> {
    LIMITS.get_or_init(|| (front.as_raw_fd(), until));
    let wait: extern "C" fn(libc::c_int, libc::c_uint, *mut libc::c_void) = wait;
    // SAFETY: the item is a function of this type, which libpam calls with three such arguments.
    unsafe { context.set_item(PAM_FAIL_DELAY, wait as *const libc::c_void) }
}

/// libpam calls it after every verdict, also after a yes.
extern "C" fn wait(status: libc::c_int, microseconds: libc::c_uint, _data: *mut libc::c_void) {
    const PAM_SUCCESS: libc::c_int = 0;
    let Some((front, until)) = LIMITS.get().filter(|_| status != PAM_SUCCESS) else { return };
    let end = (Instant::now() + Duration::from_micros(microseconds.into())).min(*until);
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        let mut event = libc::pollfd { fd: *front, events: libc::POLLIN, revents: 0 };
        let left = libc::c_int::try_from(left.as_millis() + 1).unwrap_or(libc::c_int::MAX);
        // SAFETY: one pollfd, valid for the call.
        if unsafe { libc::poll(&raw mut event, 1, left) } == 1 {
            return;
        }
    }
}
