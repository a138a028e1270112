//! The time zone, as the C library reads it from `TZ` or `/etc/localtime`.

use std::mem::MaybeUninit;
use std::time::SystemTime;

/// Seconds by which local time is ahead of UTC right now; 0 where that cannot be told.
pub fn utc_offset() -> i32 {
    let Ok(now) = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) else {
        return 0;
    };
    let Ok(now) = libc::time_t::try_from(now.as_secs()) else {
        return 0;
    };
    let mut local = MaybeUninit::<libc::tm>::uninit();
    // SAFETY: both pointers are valid for the call, and `local` is only read where the call says that it
    // has filled it in.
    let offset = unsafe {
        if libc::localtime_r(&raw const now, local.as_mut_ptr()).is_null() {
            return 0;
        }
        local.assume_init().tm_gmtoff
    };
    i32::try_from(offset).unwrap_or(0)
}
