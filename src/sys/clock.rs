//! What time is it? Never: which clock decides what.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime};

/// A moment in local time, as syslog wants it. Local is what `/etc/localtime` says: TZ was cleared at entry.
pub struct LocalTime {
    /// 0 is January.
    pub month: usize,
    /// 1 to 31.
    pub day: i32,
    /// 0 to 23.
    pub hour: i32,
    /// 0 to 59.
    pub minute: i32,
    /// 0 to 60.
    pub second: i32,
}

/// Now, in local time; `None` if the C library cannot say (localtime_r(3)).
pub fn local_now() -> Option<LocalTime> {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs();
    let seconds = libc::time_t::try_from(seconds).ok()?;
    // SAFETY: `tm` is plain old data, for which zeroes are a value; both pointers are valid for the call, and
    // localtime_r writes nothing else. The process has one thread.
    let tm = unsafe {
        let mut tm: libc::tm = std::mem::zeroed();
        if libc::localtime_r(&raw const seconds, &raw mut tm).is_null() {
            return None;
        }
        tm
    };
    let month = usize::try_from(tm.tm_mon).ok()?;
    Some(LocalTime { month, day: tm.tm_mday, hour: tm.tm_hour, minute: tm.tm_min, second: tm.tm_sec })
}

/// How long this machine has been up, suspend included: a clock that nobody can set (CLOCK_BOOTTIME).
pub fn since_boot() -> Duration {
    let now = clock_gettime(ClockId::CLOCK_BOOTTIME).unwrap_or(TimeSpec::new(0, 0));
    Duration::from(now)
}
