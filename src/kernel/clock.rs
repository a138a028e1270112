//! The time zone, as the C library reads it from `TZ` or `/etc/localtime`.

use std::mem::MaybeUninit;
use std::time::{Duration, SystemTime};

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

/// The last second of the year 9999, in seconds since 1970: later ones have no date.
const LATEST: u64 = 253_402_300_799;

/// The date and the time of day on a clock so many seconds ahead of UTC: `2026-07-31` and `16:23:59`. A time that it
/// cannot show becomes the next one that it can: 1970 and 9999 are its ends.
pub fn local(time: SystemTime, utc_offset: i32) -> (String, String) {
    let seconds = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
        .saturating_add_signed(utc_offset.into())
        .min(LATEST);
    let shifted = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    let mut date = humantime::format_rfc3339_seconds(shifted).to_string();
    let time = date.split_off("2026-07-31".len());
    // It is no longer UTC.
    (date, time.trim_matches(['T', 'Z']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_time_is_ahead_of_utc_and_has_ends() {
        for (seconds, offset, expected) in [
            (0, 0, "1970-01-01T00:00:00"),
            (0, -3600, "1970-01-01T00:00:00"),
            (951_782_399, 0, "2000-02-28T23:59:59"),
            (951_782_400, 0, "2000-02-29T00:00:00"),
            (1_785_507_839, 7200, "2026-07-31T16:23:59"),
            (1_798_761_599, 1, "2027-01-01T00:00:00"),
            (LATEST, 3600, "9999-12-31T23:59:59"),
        ] {
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
            let (date, time) = local(time, offset);
            assert_eq!(format!("{date}T{time}"), expected);
        }
    }
}
