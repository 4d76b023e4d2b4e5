//! What time is it? Never: which clock decides what.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{self, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
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

/// Milliseconds since 1970 on the wall clock, which anybody with the privilege can set.
pub fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Which boot this is (random(4)).
///
/// # Errors
/// open(2), read(2).
pub fn boot_id() -> io::Result<String> {
    Ok(std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

/// How long this machine has been up, suspend included: a clock that nobody can set (CLOCK_BOOTTIME).
pub fn since_boot() -> Duration {
    let now = clock_gettime(ClockId::CLOCK_BOOTTIME).unwrap_or(TimeSpec::new(0, 0));
    Duration::from(now)
}

/// A moment that can be waited for: readable from then on.
pub struct Alarm(TimerFd);

impl Alarm {
    /// So long from now on the clock that counts suspend and cannot be set.
    ///
    /// # Errors
    /// timerfd_create(2), timerfd_settime(2).
    pub fn after(left: Duration) -> io::Result<Self> {
        // An alarm of nothing would never ring.
        let left = left.max(Duration::from_nanos(1));
        Self::set(timerfd::ClockId::CLOCK_BOOTTIME, left, TimerSetTimeFlags::empty())
    }

    /// When the wall clock, whoever sets it, is at so many milliseconds since 1970.
    ///
    /// # Errors
    /// As above.
    pub fn at_wall(milliseconds: u64) -> io::Result<Self> {
        let when = Duration::from_millis(milliseconds.max(1));
        Self::set(timerfd::ClockId::CLOCK_REALTIME, when, TimerSetTimeFlags::TFD_TIMER_ABSTIME)
    }

    fn set(clock: timerfd::ClockId, when: Duration, flags: TimerSetTimeFlags) -> io::Result<Self> {
        let timer = TimerFd::new(clock, TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK)?;
        timer.set(Expiration::OneShot(TimeSpec::from_duration(when)), flags)?;
        Ok(Self(timer))
    }
}

impl AsFd for Alarm {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
