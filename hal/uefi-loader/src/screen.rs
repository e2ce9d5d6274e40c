//! The screen, by the Graphics Output Protocol.

use crate::console::say;
use alloc::vec::Vec;
use uefi::boot::{self, OpenProtocolAttributes, OpenProtocolParams, ScopedProtocol};
use uefi::proto::console::gop::{EdidDiscovered, GraphicsOutput, ModeInfo, PixelFormat};
use uefi::{Handle, proto::ProtocolPointer};
use uefi_loader::responses::VideoMode;

/// A screen whose pixels can be written to directly.
#[derive(Debug)]
pub struct Screen {
    /// Physical address of the first pixel.
    pub physical: u64,
    /// Present shape.
    pub mode: VideoMode,
    /// Shapes it could take.
    pub modes: Vec<VideoMode>,
    /// EDID of the display, or nothing.
    pub edid: Vec<u8>,
}

fn open<P: ProtocolPointer + ?Sized>(handle: Handle) -> Option<ScopedProtocol<P>> {
    let params = OpenProtocolParams { handle, agent: boot::image_handle(), controller: None };
    // SAFETY: not exclusive, because that would take the screen away from the firmware's console;
    // we hold it for the length of one function, in which nothing is unplugged.
    unsafe { boot::open_protocol(params, OpenProtocolAttributes::GetProtocol) }.ok()
}

/// The first screen, in the shape `wanted` if it has such a mode; `None` on a machine without.
pub fn find(wanted: Option<(u32, u32)>) -> Option<Screen> {
    let handle = boot::get_handle_for_protocol::<GraphicsOutput>().ok()?;
    let mut output = open::<GraphicsOutput>(handle)?;
    if let Some((width, height)) = wanted {
        let fits = |info: &ModeInfo| {
            info.resolution() == (width as usize, height as usize) && shape(info).is_some()
        };
        let mode = output.modes().find(|mode| fits(mode.info()));
        if mode.is_none_or(|mode| output.set_mode(&mode).is_err()) {
            say(format_args!("pollux uefi-loader: the screen has no mode {width}x{height}\n"));
        }
    }
    if shape(&output.current_mode_info()).is_none() {
        // The firmware draws for us in this mode; take one in which we can draw ourselves.
        let mode = output.modes().find(|mode| shape(mode.info()).is_some())?;
        output.set_mode(&mode).ok()?;
    }
    let mode = shape(&output.current_mode_info())?;
    let modes = output.modes().filter_map(|mode| shape(mode.info())).collect();
    let physical = output.frame_buffer().as_mut_ptr() as u64;
    let edid = open::<EdidDiscovered>(handle);
    let edid = edid.as_ref().and_then(|edid| edid.edid()).unwrap_or(&[]).to_vec();
    (physical != 0 && mode.bytes() != 0).then_some(Screen { physical, mode, modes, edid })
}

/// The shape of a mode whose pixels lie in memory; `None` for one that only the firmware can draw
/// in.
fn shape(info: &ModeInfo) -> Option<VideoMode> {
    let masks = match info.pixel_format() {
        PixelFormat::Rgb => [(8, 0), (8, 8), (8, 16)],
        PixelFormat::Bgr => [(8, 16), (8, 8), (8, 0)],
        PixelFormat::Bitmask => {
            let mask = info.pixel_bitmask()?;
            [mask.red, mask.green, mask.blue].map(|bits| {
                let shift = if bits == 0 { 0 } else { bits.trailing_zeros() };
                (bits.count_ones() as u8, shift as u8)
            })
        }
        PixelFormat::BltOnly => return None,
    };
    let (width, height) = info.resolution();
    // UEFI pixels are 32 bits wide in every format but odd bit masks, which nobody makes.
    let pitch = (info.stride() as u64).checked_mul(4)?;
    Some(VideoMode { width: width as u64, height: height as u64, pitch, bits: 32, masks })
}
