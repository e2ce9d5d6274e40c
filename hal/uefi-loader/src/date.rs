//! Calendar to UNIX time, for the Date at Boot response.

/// Seconds since 1970-01-01 of a proleptic Gregorian date and time.
///
/// `zone_minutes` is what UEFI calls the time zone: local time = UTC - zone, so it is added.
/// Fields out of range give some number, never a panic: the firmware's clock is not trusted.
pub fn unix_seconds(date: (u16, u8, u8), time: (u8, u8, u8), zone_minutes: i16) -> i64 {
    let (year, month, day) = (i64::from(date.0), i64::from(date.1), i64::from(date.2));
    // Count years from March, so that the leap day is the last of its year.
    let shifted = year - i64::from(month <= 2);
    let era = shifted.div_euclid(400);
    let year_of_era = shifted.rem_euclid(400);
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = era * 146_097 + day_of_era - 719_468;
    let (hour, minute, second) = (i64::from(time.0), i64::from(time.1), i64::from(time.2));
    days * 86_400 + hour * 3_600 + (minute + i64::from(zone_minutes)) * 60 + second
}

#[cfg(test)]
mod tests {
    use super::unix_seconds;

    #[test]
    fn known_dates() {
        assert_eq!(unix_seconds((1970, 1, 1), (0, 0, 0), 0), 0);
        assert_eq!(unix_seconds((2000, 2, 29), (12, 0, 1), 0), 951_825_601);
        assert_eq!(unix_seconds((2026, 11, 22), (1, 0, 0), 0), 1_795_309_200);
        assert_eq!(unix_seconds((2026, 11, 22), (2, 0, 0), -60), 1_795_309_200);
    }
}
