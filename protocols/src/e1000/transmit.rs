//! Extended transmit descriptors (SDM, 3.3): data descriptors name pieces of a frame, a context
//! descriptor before them says where its checksums are and how to cut it.
//!
//! ```text
//!   [context]  data  data … data(END)      a frame; REPORT in the last asks for DONE to be set
//! ```
//!
//! A context stays in force until the next one.

/// Most bytes that a data descriptor can name.
pub const LENGTH_MOST: usize = (1 << 20) - 1;
/// Most bytes of payload that a context can announce.
pub const SEGMENTED_MOST: usize = (1 << 20) - 1;

const END: u64 = 1 << 24;
const ADD_FCS: u64 = 1 << 25;
const SEGMENT: u64 = 1 << 26;
const REPORT: u64 = 1 << 27;
const EXTENDED: u64 = 1 << 29;
const KIND_DATA: u64 = 1 << 20;
const KIND: u64 = 0xf << 20;
const DONE: u64 = 1 << 32;
const INSERT_IP: u64 = 1 << 40;
const INSERT_TRANSPORT: u64 = 1 << 41;
const CONTEXT_TCP: u64 = 1 << 24;
const CONTEXT_IPV4: u64 = 1 << 25;

/// A transmit descriptor as two words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransmitDescriptor(pub [u64; 2]);

/// Whether the device has sent what a descriptor that asked for a report says, by its second word.
#[inline]
pub const fn is_done(word: u64) -> bool {
    word & DONE != 0
}

/// The second word of a data descriptor, with a report asked for.
#[inline]
pub const fn with_report(word: u64) -> u64 {
    word | REPORT
}

/// Where checksums go, and how a frame is cut into segments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Context {
    /// Of the IPv4 header, if its checksum is wanted: first byte, byte of the checksum, last byte.
    pub ip: Option<(u8, u8, u16)>,
    /// Of TCP or UDP: the byte from which on, to the end of the frame, the sum is taken.
    pub start: u8,
    /// The byte where that checksum is.
    pub field: u8,
    /// Cut into segments.
    pub segments: Option<Segments>,
}

/// How a frame is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segments {
    /// Bytes of TCP payload in all.
    pub payload_bytes: u32,
    /// Bytes of headers, repeated before each segment.
    pub header_bytes: u8,
    /// Bytes of payload of each segment but the last.
    pub segment_bytes: u16,
}

impl Context {
    /// The descriptor.
    #[inline]
    pub const fn descriptor(self) -> TransmitDescriptor {
        let (ip_start, ip_field, ip_end) = match self.ip {
            Some(ip) => ip,
            None => (0, 0, 0),
        };
        let places = ip_start as u64
            | (ip_field as u64) << 8
            | (ip_end as u64) << 16
            | (self.start as u64) << 32
            | (self.field as u64) << 40;
        let mut word = EXTENDED;
        if self.ip.is_some() {
            word |= CONTEXT_IPV4;
        }
        if let Some(segments) = self.segments {
            word |= CONTEXT_TCP | SEGMENT;
            word |= segments.payload_bytes as u64 & SEGMENTED_MOST as u64;
            word |= (segments.header_bytes as u64) << 40 | (segments.segment_bytes as u64) << 48;
        }
        TransmitDescriptor([places, word])
    }
}

/// A piece of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Data {
    /// Where it is.
    pub address: u64,
    /// Its length, at most [`LENGTH_MOST`].
    pub bytes: u32,
    /// Whether the frame ends here.
    pub is_last: bool,
    /// Whether the context's checksum of TCP or UDP is to be inserted; and if it cuts into
    /// segments, whether it is to be cut.
    pub offload: Option<Context>,
    /// Whether the device is to say when it is sent.
    pub is_reported: bool,
}

impl Data {
    /// The descriptor.
    #[inline]
    pub const fn descriptor(self) -> TransmitDescriptor {
        let mut word = EXTENDED | KIND_DATA | ADD_FCS | self.bytes as u64 & LENGTH_MOST as u64;
        if self.is_last {
            word |= END;
        }
        if self.is_reported {
            word |= REPORT;
        }
        if let Some(context) = self.offload {
            word |= INSERT_TRANSPORT;
            if context.segments.is_some() {
                word |= SEGMENT;
            }
            if context.ip.is_some() {
                word |= INSERT_IP;
            }
        }
        TransmitDescriptor([self.address, word])
    }
}

/// A descriptor as the device reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// A context.
    Context(Context),
    /// A piece of a frame.
    Data {
        /// Where it is.
        address: u64,
        /// Its length.
        bytes: u32,
        /// Whether the frame ends here.
        is_last: bool,
        /// Whether it is to be cut into segments.
        is_segmented: bool,
        /// Whether the checksum of the IP header is wanted.
        inserts_ip: bool,
        /// Whether the checksum of TCP or UDP is wanted.
        inserts_transport: bool,
        /// Whether a report is wanted.
        is_reported: bool,
    },
    /// One that this driver never writes.
    Other,
}

impl TransmitDescriptor {
    /// What it says.
    pub const fn decode(self) -> Decoded {
        let [first, word] = self.0;
        if word & EXTENDED == 0 {
            return Decoded::Other;
        }
        match word & KIND {
            KIND_DATA => Decoded::Data {
                address: first,
                bytes: (word & LENGTH_MOST as u64) as u32,
                is_last: word & END != 0,
                is_segmented: word & SEGMENT != 0,
                inserts_ip: word & INSERT_IP != 0,
                inserts_transport: word & INSERT_TRANSPORT != 0,
                is_reported: word & REPORT != 0,
            },
            0 => {
                let ip = (first as u8, (first >> 8) as u8, (first >> 16) as u16);
                let segments = Segments {
                    payload_bytes: (word & SEGMENTED_MOST as u64) as u32,
                    header_bytes: (word >> 40) as u8,
                    segment_bytes: (word >> 48) as u16,
                };
                Decoded::Context(Context {
                    ip: if word & CONTEXT_IPV4 != 0 { Some(ip) } else { None },
                    start: (first >> 32) as u8,
                    field: (first >> 40) as u8,
                    segments: if word & SEGMENT != 0 { Some(segments) } else { None },
                })
            }
            _ => Decoded::Other,
        }
    }

    /// The second word, once the device has sent it.
    pub const fn done(self) -> u64 {
        self.0[1] | DONE
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn as_the_manual_has_it() {
        let data = Data {
            address: 0x1234_5000,
            bytes: 60,
            is_last: true,
            offload: None,
            is_reported: true,
        };
        assert_eq!(data.descriptor().0, [0x1234_5000, 0x2b10_003c]);
        let context = Context { ip: None, start: 34, field: 40, segments: None };
        assert_eq!(context.descriptor().0, [0x2822_0000_0000, 0x2000_0000]);
        let segments = Segments { payload_bytes: 60_000, header_bytes: 54, segment_bytes: 1460 };
        let context =
            Context { ip: Some((14, 24, 33)), start: 34, field: 50, segments: Some(segments) };
        assert_eq!(context.descriptor().0, [0x3222_0021_180e, 0x05b4_3600_2700_ea60]);
        let sent = Data { offload: Some(context), ..data }.descriptor().0[1];
        assert_eq!(sent, 0x0300_2f10_003c);
        assert!(!is_done(sent) && is_done(TransmitDescriptor([0, sent]).done()));
    }

    fn contexts() -> impl Strategy<Value = Context> {
        let segments = (0..=SEGMENTED_MOST as u32, any::<u8>(), any::<u16>());
        (any::<Option<(u8, u8, u16)>>(), any::<u8>(), any::<u8>(), proptest::option::of(segments))
            .prop_map(|(ip, start, field, segments)| {
                let segments = segments.map(|(payload_bytes, header_bytes, segment_bytes)| {
                    Segments { payload_bytes, header_bytes, segment_bytes }
                });
                Context { ip, start, field, segments }
            })
    }

    proptest! {
        #[test]
        fn contexts_read_as_they_were_written(context in contexts()) {
            prop_assert_eq!(context.descriptor().decode(), Decoded::Context(context));
        }

        #[test]
        fn data_reads_as_it_was_written(
            address: u64, bytes in 0..=LENGTH_MOST as u32, is_last: bool, is_reported: bool,
            offload in proptest::option::of(contexts()),
        ) {
            let data = Data { address, bytes, is_last, offload, is_reported };
            let read = Decoded::Data {
                address, bytes, is_last, is_reported,
                is_segmented: offload.is_some_and(|context| context.segments.is_some()),
                inserts_ip: offload.is_some_and(|context| context.ip.is_some()),
                inserts_transport: offload.is_some(),
            };
            prop_assert_eq!(data.descriptor().decode(), read);
        }

        #[test]
        fn any_words_are_read(words: [u64; 2]) {
            let _ = TransmitDescriptor(words).decode();
            prop_assert!(is_done(TransmitDescriptor(words).done()));
        }
    }
}
