//! Input devices as the rest of the kernel knows them: keys and text that arrive one by one.

/// Whether a key went down or up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// It went down, or repeats.
    Pressed,
    /// It came up.
    Released,
}

/// A key by its place on the keyboard, as a USB HID usage of the Keyboard/Keypad page (HID Usage
/// Tables 1.5, section 10): 0x04 is the key that prints "a" on a US keyboard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KeyCode(pub u16);

/// Something a person did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputEvent {
    /// A key moved.
    Key {
        /// Which.
        code: KeyCode,
        /// Where to.
        state: KeyState,
    },
    /// A byte of text came in over a line, as from a serial terminal.
    Text(u8),
    /// Events were lost: what is held down is unknown, take every key for released.
    Lost,
}

/// The device is no longer there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror_no_std::Error)]
#[error("the input device is gone")]
pub struct InputGone;

/// A keyboard or a terminal.
#[allow(async_fn_in_trait)]
pub trait InputDevice {
    /// The next event. Dropping the future loses none.
    async fn event(&self) -> Result<InputEvent, InputGone>;
}
