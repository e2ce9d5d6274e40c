//! Moments as the civil calendar writes them (proleptic Gregorian, UTC).
//!
//! ```text
//!   Timestamp   2026-11-24T10:02:59.123456Z        RFC 3339, as RFC 5424 wants it
//!   HttpDate    Tue, 24 Nov 2026 10:02:59 GMT      IMF-fixdate, RFC 9110 section 5.6.7
//! ```

use core::fmt::{self, Display};

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const DAY_S: u64 = 86_400;
/// The last second that both formats can write: 9999-12-31T23:59:59Z.
const LAST_S: u64 = 253_402_300_799;
/// Days from 0000-03-01 to 1970-01-01.
const EPOCH_DAYS: u64 = 719_468;
/// Days in 400 years.
const ERA_DAYS: u64 = 146_097;

/// Year, month (1-12), day (1-31), second of the day, and how many days since 1970.
struct Civil {
    year: u64,
    month: u64,
    day: u64,
    second: u64,
    days: u64,
}

impl Civil {
    /// Years begin in March here, so that the leap day is the last of one.
    fn new(unix_s: u64) -> Self {
        let unix_s = unix_s.min(LAST_S);
        let (days, second) = (unix_s / DAY_S, unix_s % DAY_S);
        let since = days + EPOCH_DAYS;
        let (era, day_of_era) = (since / ERA_DAYS, since % ERA_DAYS);
        let leaps = day_of_era / 1_460 + day_of_era / (ERA_DAYS - 1);
        let year_of_era = (day_of_era + day_of_era / 36_524 - leaps) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * from_march + 2) / 5 + 1;
        let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
        let year = era * 400 + year_of_era + u64::from(month <= 2);
        Self { year, month, day, second, days }
    }

    fn time(&self) -> (u64, u64, u64) {
        (self.second / 3_600, self.second / 60 % 60, self.second % 60)
    }
}

/// Microseconds since 1970, displayed as RFC 3339 with six digits of a second's fraction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timestamp(pub u64);

impl Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let civil = Civil::new(self.0 / 1_000_000);
        let (hour, minute, second) = civil.time();
        write!(f, "{:04}-{:02}-{:02}T", civil.year, civil.month, civil.day)?;
        write!(f, "{hour:02}:{minute:02}:{second:02}.{:06}Z", self.0 % 1_000_000)
    }
}

/// Seconds since 1970, displayed as HTTP wants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpDate(pub u64);

impl Display for HttpDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let civil = Civil::new(self.0);
        let (hour, minute, second) = civil.time();
        // 1970 began on a Thursday.
        let weekday = DAYS[(civil.days as usize + 3) % 7];
        let month = MONTHS[civil.month as usize - 1];
        write!(f, "{weekday}, {:02} {month} {:04} ", civil.day, civil.year)?;
        write!(f, "{hour:02}:{minute:02}:{second:02} GMT")
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use proptest::prelude::*;
    use std::string::ToString;

    #[test]
    fn known_moments() {
        assert_eq!(Timestamp(0).to_string(), "1970-01-01T00:00:00.000000Z");
        assert_eq!(Timestamp(1_582_934_400_000_001).to_string(), "2020-02-29T00:00:00.000001Z");
        assert_eq!(Timestamp(951_868_799_999_999).to_string(), "2000-02-29T23:59:59.999999Z");
        assert_eq!(HttpDate(784_111_777).to_string(), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(HttpDate(1_795_514_579).to_string(), "Tue, 24 Nov 2026 10:02:59 GMT");
        assert_eq!(HttpDate(u64::MAX).to_string(), "Fri, 31 Dec 9999 23:59:59 GMT");
    }

    proptest! {
        /// A day later is the next day of the calendar.
        #[test]
        fn days_follow_each_other(day in 0u64..2_900_000) {
            let (today, next) = (Civil::new(day * DAY_S), Civil::new((day + 1) * DAY_S));
            let leap = today.year % 4 == 0 && (today.year % 100 != 0 || today.year % 400 == 0);
            let last = match today.month {
                2 => 28 + u64::from(leap),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            let expected = if today.day < last {
                (today.year, today.month, today.day + 1)
            } else if today.month < 12 {
                (today.year, today.month + 1, 1)
            } else {
                (today.year + 1, 1, 1)
            };
            prop_assert_eq!((next.year, next.month, next.day), expected);
        }

        #[test]
        fn any_number_displays(number: u64) {
            prop_assert_eq!(Timestamp(number).to_string().len(), 27);
            prop_assert_eq!(HttpDate(number).to_string().len(), 29);
        }
    }
}
