//! A measured figure, as ring 3 hands it to the kernel and the kernel to the host.

/// Bytes of an encoded [`Metric`].
pub const ENCODED: usize = 96;
/// Most bytes of a metric's name.
pub const NAME_MAX: usize = 40;

/// What the numbers of a metric count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Unit {
    /// TSC ticks per operation (the reader converts; under icount four ticks are one instruction).
    Ticks = 1,
    /// Operations per second.
    PerSecond = 2,
    /// Core cycles per operation, by `rdpmc`.
    Cycles = 3,
    /// Bytes per second.
    BytesPerSecond = 4,
    /// So many of them.
    Items = 5,
}

/// One figure: what, where, and its distribution over `samples`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    name: [u8; NAME_MAX],
    /// Core it was measured on; [`Metric::ALL_CORES`] for all of them at once.
    pub core: u16,
    /// Second core of a pair, or [`Metric::ALL_CORES`] where there is none.
    pub peer: u16,
    /// What the numbers count.
    pub unit: Unit,
    /// How many measurements stand behind it.
    pub samples: u32,
    /// The least.
    pub min: u64,
    /// The middle one.
    pub median: u64,
    /// 99 of 100 are at most this.
    pub p99: u64,
    /// The most.
    pub max: u64,
}

/// Why bytes are not a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror_no_std::Error)]
pub enum MetricError {
    /// Not [`ENCODED`] bytes.
    #[error("a metric has {ENCODED} bytes")]
    Length,
    /// The name is empty, too long, or not `[a-z0-9._]`.
    #[error("a metric's name is 1 to {NAME_MAX} of a-z 0-9 . _")]
    Name,
    /// The unit is unknown.
    #[error("unknown unit")]
    Unit,
    /// min, median, p99 and max are not in order.
    #[error("min, median, p99, max are not in order")]
    Order,
}

impl Metric {
    /// `core` of a figure that is about all cores at once.
    pub const ALL_CORES: u16 = u16::MAX;

    /// The distribution of `samples` (sorted here). `None` if there are none or the name is bad.
    pub fn of(name: &str, core: u16, unit: Unit, samples: &mut [u64]) -> Option<Self> {
        samples.sort_unstable();
        let last = samples.len().checked_sub(1)?;
        Some(Self {
            name: Self::name_bytes(name.as_bytes())?,
            core,
            peer: Self::ALL_CORES,
            unit,
            samples: u32::try_from(samples.len()).unwrap_or(u32::MAX),
            min: samples[0],
            median: samples[last / 2],
            p99: samples[(last * 99) / 100],
            max: samples[last],
        })
    }

    /// The same figure, for the pair (`core`, `peer`).
    #[must_use]
    pub const fn with_peer(mut self, peer: u16) -> Self {
        self.peer = peer;
        self
    }

    /// Its published name, such as `ipc.call_reply`.
    pub fn name(&self) -> &str {
        let len = self.name.iter().position(|byte| *byte == 0).unwrap_or(NAME_MAX);
        core::str::from_utf8(&self.name[..len]).unwrap_or("")
    }

    fn name_bytes(name: &[u8]) -> Option<[u8; NAME_MAX]> {
        let good = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_');
        if name.is_empty() || name.len() > NAME_MAX || !name.iter().all(good) {
            return None;
        }
        let mut bytes = [0; NAME_MAX];
        bytes[..name.len()].copy_from_slice(name);
        Some(bytes)
    }

    /// Little-endian: name (40), core (2), peer (2), unit (1), 3 zero, samples (4), 4 zero, min,
    /// median, p99, max (8 each), 8 zero.
    pub fn encode(&self) -> [u8; ENCODED] {
        let mut bytes = [0; ENCODED];
        bytes[..40].copy_from_slice(&self.name);
        bytes[40..42].copy_from_slice(&self.core.to_le_bytes());
        bytes[42..44].copy_from_slice(&self.peer.to_le_bytes());
        bytes[44] = self.unit as u8;
        bytes[48..52].copy_from_slice(&self.samples.to_le_bytes());
        for (slot, value) in [self.min, self.median, self.p99, self.max].into_iter().enumerate() {
            bytes[56 + slot * 8..64 + slot * 8].copy_from_slice(&value.to_le_bytes());
        }
        bytes
    }

    /// Checks and reads what [`Metric::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, MetricError> {
        let bytes: &[u8; ENCODED] = bytes.try_into().map_err(|_| MetricError::Length)?;
        let half = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        let word = |at: usize| {
            let mut le = [0; 8];
            le.copy_from_slice(&bytes[at..at + 8]);
            u64::from_le_bytes(le)
        };
        let len = bytes[..NAME_MAX].iter().position(|byte| *byte == 0).unwrap_or(NAME_MAX);
        let metric = Self {
            name: Self::name_bytes(&bytes[..len]).ok_or(MetricError::Name)?,
            core: half(40),
            peer: half(42),
            unit: match bytes[44] {
                1 => Unit::Ticks,
                2 => Unit::PerSecond,
                3 => Unit::Cycles,
                4 => Unit::BytesPerSecond,
                5 => Unit::Items,
                _ => return Err(MetricError::Unit),
            },
            samples: u32::from_le_bytes([bytes[48], bytes[49], bytes[50], bytes[51]]),
            min: word(56),
            median: word(64),
            p99: word(72),
            max: word(80),
        };
        if metric.min > metric.median || metric.median > metric.p99 || metric.p99 > metric.max {
            return Err(MetricError::Order);
        }
        Ok(metric)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survives_its_encoding() {
        let metric = Metric::of("ipc.call_reply", 3, Unit::Ticks, &mut [5, 1, 9, 3]).unwrap();
        assert_eq!((metric.min, metric.median, metric.p99, metric.max), (1, 3, 5, 9));
        assert_eq!(Metric::decode(&metric.encode()), Ok(metric));
        assert_eq!(metric.name(), "ipc.call_reply");
    }

    #[test]
    fn refuses_what_it_did_not_write() {
        assert_eq!(Metric::decode(&[0; 5]), Err(MetricError::Length));
        assert_eq!(Metric::decode(&[0; ENCODED]), Err(MetricError::Name));
        let mut bytes = Metric::of("a", 0, Unit::Cycles, &mut [1]).unwrap().encode();
        bytes[44] = 9;
        assert_eq!(Metric::decode(&bytes), Err(MetricError::Unit));
        assert!(Metric::of("Not Good", 0, Unit::Ticks, &mut [1]).is_none());
        assert!(Metric::of("a", 0, Unit::Ticks, &mut []).is_none());
    }
}
