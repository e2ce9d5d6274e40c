//! Addresses, frames and their pool.

use super::*;
use hal::sim::SimMachine;
use std::format;

#[test]
fn addresses() {
    let mac = MacAddress([0x52, 0x54, 0, 0x12, 0x34, 0x56]);
    assert_eq!(format!("{mac}"), "52:54:00:12:34:56");
    assert!(mac.is_station());
    assert!(!MacAddress::BROADCAST.is_station());
    assert!(!MacAddress([0; 6]).is_station());
    assert!(!MacAddress([1, 0, 0x5e, 0, 0, 1]).is_station());
}

#[test]
fn a_frame_is_the_front_of_its_buffer() {
    let machine = SimMachine::new();
    let buf = machine.dma().buffer(2048).expect("memory");
    let mut frame = Frame::new(buf, 60).expect("it fits");
    frame.bytes_mut()[59] = 7;
    assert_eq!((frame.bytes().len(), frame.bytes()[59]), (60, 7));
    let buf = frame.into_buf().expect("it has one");
    assert_eq!(buf.len(), 2048);
    assert_eq!(Frame::new(buf, 2049).err(), Some(FrameTooLong));
}

#[test]
fn dropped_frames_go_back_to_their_pool() {
    let machine = SimMachine::new();
    let pool = FramePool::new(machine.dma(), 2048, 1);
    let mut first = pool.fresh(100).expect("memory");
    first.bytes_mut()[99] = 42;
    let second = pool.fresh(100).expect("memory");
    drop(first);
    // One is kept; this one is not.
    drop(second);
    let again = pool.fresh(2048).expect("memory");
    assert_eq!(again.bytes()[99], 42);
    assert_eq!(pool.fresh(2049).err(), Some(DmaError::BadSize));
}
