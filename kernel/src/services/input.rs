//! What a person types on COM1: the receiving driver as a task, and the bytes it hands on.

use crate::platform::Pollux;
use alloc::collections::VecDeque;
use executor::Priority;
use executor::sync::mpsc::{self, Receiver, Sender};
use hal::serial::{self, Port};
use hal::x86_64::interrupt;

/// Bytes on their way; more stay in the UART.
const QUEUE: usize = 256;
/// Bytes typed ahead while a command runs; more are dropped.
const AHEAD: usize = 1024;
/// Ctrl-C.
const INTERRUPT: u8 = 3;
/// How often a UART without an interrupt is asked.
const POLL_US: u64 = 10_000;

/// The bytes, in order.
pub struct Input {
    bytes: Receiver<u8>,
    ahead: VecDeque<u8>,
}

impl Input {
    /// Starts receiving.
    pub fn open() -> Self {
        let (sender, bytes) = mpsc::channel(QUEUE);
        executor::spawn::<Pollux, _>("com1", Priority::High, receive(sender)).detach();
        Self { bytes, ahead: VecDeque::new() }
    }

    /// The next byte; `None` if there will never be one.
    pub async fn next(&mut self) -> Option<u8> {
        match self.ahead.pop_front() {
            Some(byte) => Some(byte),
            None => self.bytes.receive().await,
        }
    }

    /// Waits for Ctrl-C. What comes before it is kept for [`Input::next`], and forgotten with it.
    pub async fn interrupted(&mut self) {
        while let Some(byte) = self.bytes.receive().await {
            if byte == INTERRUPT {
                self.ahead.clear();
                return;
            }
            if self.ahead.len() < AHEAD {
                self.ahead.push_back(byte);
            }
        }
        core::future::pending::<()>().await;
    }
}

/// The task: by interrupt, or by asking again and again where there is none.
async fn receive(sender: Sender<u8>) {
    if !serial::is_present(Port::Com1) {
        return log::warn!("com1: no UART answers: no input from a serial console");
    }
    match interrupt::isa(Port::Com1.irq()) {
        Ok(line) => {
            let received =
                drivers::serial::receive("com1", Port::Com1.registers(), line, sender.clone());
            match received.await {
                Ok(()) => return,
                Err(error) => log::warn!("com1: {error}: asking it every 10 ms instead"),
            }
        }
        Err(error) => log::warn!("com1: no interrupt ({error}): asking it every 10 ms instead"),
    }
    loop {
        let mut bytes = [0; 16];
        let count = serial::receive(Port::Com1, &mut bytes);
        for byte in &bytes[..count] {
            if sender.send(*byte).await.is_err() {
                return;
            }
        }
        executor::sleep::<Pollux>(hal::x86_64::time::clock::us_to_ticks(POLL_US)).await;
    }
}
