//! What happens to frames on a bad line: they are lost, doubled, damaged, late, and out of order.
//!
//! Pure: time comes from the caller, chance from a seed.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use super::random::Random;

/// How bad; chances are out of ten thousand frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weather {
    /// Never arrives.
    pub lost: u32,
    /// Arrives twice.
    pub doubled: u32,
    /// One bit of it is another: Ethernet's own check would miss it.
    pub damaged: u32,
    /// Is overtaken: takes [`Line::DETOUR`] longer at most.
    pub detoured: u32,
    /// How long every frame takes.
    pub delay: Duration,
}

/// What a line did so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Counts {
    pub passed: u64,
    pub lost: u64,
    pub doubled: u64,
    pub damaged: u64,
    pub detoured: u64,
}

/// One direction of a cable, with the frames that are on their way.
#[derive(Debug)]
pub struct Line {
    weather: Weather,
    random: Random,
    /// By when they arrive, then by when they came.
    under_way: BinaryHeap<Reverse<(Duration, u64, Vec<u8>)>>,
    next: u64,
    counts: Counts,
}

impl Line {
    /// How much longer than the others a detoured frame takes at most.
    pub const DETOUR: Duration = Duration::from_millis(8);
    /// Most frames under way; what comes beyond is lost, as it is in a full switch.
    const ROOM: usize = 4096;

    /// In good weather.
    pub fn new(seed: u64) -> Self {
        let weather = Weather::default();
        let (random, under_way) = (Random::new(seed), BinaryHeap::new());
        Self { weather, random, under_way, next: 0, counts: Counts::default() }
    }

    /// From now on it is like this.
    pub fn set_weather(&mut self, weather: Weather) {
        self.weather = weather;
    }

    /// What it did so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// A frame is sent.
    pub fn send(&mut self, now: Duration, frame: &[u8]) {
        if self.random.happens(self.weather.lost) || self.under_way.len() >= Self::ROOM {
            self.counts.lost += 1;
            return;
        }
        let copies = if self.random.happens(self.weather.doubled) { 2 } else { 1 };
        self.counts.doubled += copies - 1;
        for _ in 0..copies {
            let mut frame = frame.to_vec();
            if self.random.happens(self.weather.damaged) && !frame.is_empty() {
                let at = self.random.below(frame.len() as u64) as usize;
                frame[at] ^= 1 << self.random.below(8);
                self.counts.damaged += 1;
            }
            let mut due = now + self.weather.delay;
            if self.random.happens(self.weather.detoured) {
                due += Duration::from_micros(self.random.below(Self::DETOUR.as_micros() as u64));
                self.counts.detoured += 1;
            }
            self.under_way.push(Reverse((due, self.next, frame)));
            self.next += 1;
        }
    }

    /// A frame that has arrived by now.
    pub fn arrived(&mut self, now: Duration) -> Option<Vec<u8>> {
        if self.next_arrival()? > now {
            return None;
        }
        self.counts.passed += 1;
        self.under_way.pop().map(|Reverse((_, _, frame))| frame)
    }

    /// When the next frame arrives.
    pub fn next_arrival(&self) -> Option<Duration> {
        self.under_way.peek().map(|Reverse((due, _, _))| *due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAMES: u64 = 20_000;

    /// What arrives of frames that hold their number, one sent each 10 us.
    fn through(seed: u64, weather: Weather) -> (Vec<u64>, Counts) {
        let mut line = Line::new(seed);
        line.set_weather(weather);
        let mut arrived = Vec::new();
        for number in 0..FRAMES {
            let now = Duration::from_micros(number * 10);
            line.send(now, &number.to_le_bytes());
            while let Some(frame) = line.arrived(now) {
                arrived.push(u64::from_le_bytes(frame.try_into().unwrap()));
            }
        }
        while let Some(due) = line.next_arrival() {
            let frame = line.arrived(due).unwrap();
            arrived.push(u64::from_le_bytes(frame.try_into().unwrap()));
        }
        (arrived, line.counts())
    }

    #[test]
    fn good_weather_changes_nothing() {
        let (arrived, counts) = through(1, Weather::default());
        assert_eq!(arrived, (0..FRAMES).collect::<Vec<_>>());
        assert_eq!(counts, Counts { passed: FRAMES, ..Counts::default() });
        let late = Weather { delay: Duration::from_millis(1), ..Weather::default() };
        assert_eq!(through(1, late).0, arrived);
    }

    #[test]
    fn each_kind_of_bad_weather_is_itself() {
        let (arrived, counts) = through(1, Weather { lost: 500, ..Weather::default() });
        assert_eq!(arrived.len() as u64, FRAMES - counts.lost);
        assert!(arrived.is_sorted() && (500..1500).contains(&counts.lost), "{counts:?}");

        let (arrived, counts) = through(1, Weather { doubled: 500, ..Weather::default() });
        assert_eq!(arrived.len() as u64, FRAMES + counts.doubled);
        assert!(arrived.is_sorted() && counts.doubled > 500);

        let (mut arrived, counts) = through(1, Weather { detoured: 500, ..Weather::default() });
        assert!(!arrived.is_sorted() && counts.detoured > 500);
        arrived.sort_unstable();
        assert_eq!(arrived, (0..FRAMES).collect::<Vec<_>>());

        let (arrived, counts) = through(1, Weather { damaged: 500, ..Weather::default() });
        let different = arrived.iter().zip(0..).filter(|(is, was)| **is != *was);
        let bits = different.map(|(is, was)| u64::from((is ^ was).count_ones())).sum::<u64>();
        assert_eq!(bits, counts.damaged, "one bit each");
    }

    #[test]
    fn the_same_seed_is_the_same_weather() {
        let storm =
            Weather { lost: 300, doubled: 200, damaged: 100, detoured: 400, ..Weather::default() };
        assert_eq!(through(7, storm), through(7, storm));
        assert_ne!(through(7, storm).0, through(8, storm).0);
    }

    #[test]
    fn a_line_holds_so_many_frames() {
        let mut line = Line::new(1);
        line.set_weather(Weather { delay: Duration::from_secs(1), ..Weather::default() });
        (0..5000).for_each(|_| line.send(Duration::ZERO, &[1]));
        assert_eq!(line.counts().lost, 5000 - 4096);
    }
}
