//! Glyphs into pixels of whatever format the screen has.
//!
//! The font is Noto Sans Mono, drawn in shades; each ink has its shades between background and
//! colour, encoded for the screen once. A cell is written row by row and never read.

use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster, get_raster_width};

use super::grid::{Cell, Ink};
use crate::boot::{ColourMask, FramebufferInfo};

/// Shades between background and full colour.
const SHADES: usize = 16;
/// Bytes in a row of the widest glyph.
const ROW_BYTES: usize = 32 * 4;
/// Screens at least this high get the larger font.
const TALL: u32 = 1300;

const SMALL: RasterHeight = RasterHeight::Size16;
const LARGE: RasterHeight = RasterHeight::Size24;

/// Red, green, blue.
type Rgb = [u8; 3];

const BACKGROUND: Rgb = [0x10, 0x12, 0x1a];

const fn colour(ink: Ink) -> Rgb {
    match ink {
        Ink::Plain => [0xd8, 0xdc, 0xe4],
        Ink::Faint => [0x78, 0x80, 0x90],
        Ink::Red => [0xff, 0x6b, 0x6b],
        Ink::Yellow => [0xff, 0xd1, 0x66],
        Ink::Green => [0x7b, 0xd8, 0x8f],
        Ink::Blue => [0x6c, 0xb6, 0xff],
        Ink::Violet => [0xc2, 0x9c, 0xf0],
        Ink::Bright => [0xff, 0xff, 0xff],
    }
}

/// Draws cells into a framebuffer.
pub struct Painter<'a> {
    pixels: &'a mut [u8],
    pitch: usize,
    pixel_bytes: usize,
    width: usize,
    height: usize,
    /// Height of a line of text. (A number, so that no painter is all zeros, and a static without
    /// one takes no room in the kernel image.)
    line_height: usize,
    shades: [[u32; SHADES]; Ink::ALL.len()],
    background: u32,
}

impl<'a> Painter<'a> {
    /// A painter on `pixels`, which hold a framebuffer as `info` describes. `None` if they are too
    /// few, or the format is none that can be drawn.
    pub fn new(info: &FramebufferInfo, pixels: &'a mut [u8]) -> Option<Self> {
        if !info.is_drawable() || (pixels.len() as u64) < info.size() {
            return None;
        }
        let font = if info.height >= TALL { LARGE } else { SMALL };
        let shades = Ink::ALL
            .map(|ink| core::array::from_fn(|shade| encode(info, blend(colour(ink), shade))));
        Some(Self {
            pixels,
            pitch: info.pitch as usize,
            pixel_bytes: usize::from(info.bits_per_pixel / 8),
            width: info.width as usize,
            height: info.height as usize,
            line_height: font.val(),
            shades,
            background: encode(info, BACKGROUND),
        })
    }

    fn font(&self) -> RasterHeight {
        if self.line_height == LARGE.val() { LARGE } else { SMALL }
    }

    fn cell_size(&self) -> (usize, usize) {
        (get_raster_width(FontWeight::Regular, self.font()), self.line_height)
    }

    /// Columns and rows of text that fit.
    pub fn text_size(&self) -> (usize, usize) {
        let (width, height) = self.cell_size();
        (self.width / width, self.height / height)
    }

    /// Paints everything in the background colour.
    pub fn clear(&mut self) {
        let bytes = self.background.to_le_bytes();
        for row in self.pixels.chunks_mut(self.pitch).take(self.height) {
            let visible = (self.width * self.pixel_bytes).min(row.len());
            for pixel in row[..visible].chunks_exact_mut(self.pixel_bytes) {
                pixel.copy_from_slice(&bytes[..self.pixel_bytes]);
            }
        }
    }

    /// Draws one cell. Outside the screen, nothing happens.
    pub fn draw(&mut self, column: usize, row: usize, cell: Cell) {
        let ((width, height), (columns, rows)) = (self.cell_size(), self.text_size());
        if column >= columns || row >= rows {
            return;
        }
        let glyph = match cell.glyph {
            0 | b' ' => None,
            code => get_raster(char::from(code), FontWeight::Regular, self.font()),
        };
        let mut shades = self.shades[cell.ink as usize];
        shades[0] = self.background;
        let bytes_wide = width * self.pixel_bytes;
        let mut buffer = [0; ROW_BYTES];
        let blank = self.background.to_le_bytes();
        for pixel in buffer[..bytes_wide].chunks_exact_mut(self.pixel_bytes) {
            pixel.copy_from_slice(&blank[..self.pixel_bytes]);
        }
        for line in 0..height {
            if let Some(row) = glyph.and_then(|glyph| glyph.pixels().get(line * width..)) {
                for (pixel, shade) in buffer.chunks_exact_mut(self.pixel_bytes).zip(&row[..width]) {
                    let value = shades[usize::from(*shade) * SHADES / 256].to_le_bytes();
                    pixel.copy_from_slice(&value[..self.pixel_bytes]);
                }
            }
            let start = (row * height + line) * self.pitch + column * bytes_wide;
            if let Some(target) = self.pixels.get_mut(start..start + bytes_wide) {
                target.copy_from_slice(&buffer[..bytes_wide]);
            }
        }
    }
}

/// A colour at a shade over the background.
fn blend(colour: Rgb, shade: usize) -> Rgb {
    core::array::from_fn(|channel| {
        let (from, to) = (usize::from(BACKGROUND[channel]), usize::from(colour[channel]));
        ((from * (SHADES - 1 - shade) + to * shade) / (SHADES - 1)) as u8
    })
}

/// A colour as a pixel of the screen.
fn encode(info: &FramebufferInfo, [red, green, blue]: Rgb) -> u32 {
    let channel = |value: u8, mask: ColourMask| {
        u32::from(value >> (8 - mask.size.clamp(1, 8))) << mask.shift.min(31)
    };
    channel(red, info.red) | channel(green, info.green) | channel(blue, info.blue)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::{PhysAddr, VirtAddr};
    use std::vec;

    fn info(bits: u8, masks: [(u8, u8); 3]) -> FramebufferInfo {
        let [red, green, blue] = masks.map(|(size, shift)| ColourMask { size, shift });
        FramebufferInfo {
            address: VirtAddr(0),
            physical: PhysAddr(0),
            width: 80,
            height: 40,
            pitch: 80 * u32::from(bits / 8) + 12,
            bits_per_pixel: bits,
            red,
            green,
            blue,
        }
    }

    #[test]
    fn formats() {
        let formats = [
            (info(32, [(8, 16), (8, 8), (8, 0)]), 0x00ff_d166),
            (info(32, [(8, 0), (8, 8), (8, 16)]), 0x0066_d1ff),
            (info(24, [(8, 16), (8, 8), (8, 0)]), 0x00ff_d166),
            (info(16, [(5, 11), (6, 5), (5, 0)]), 0xfe8c),
        ];
        for (info, yellow) in formats {
            assert_eq!(encode(&info, colour(Ink::Yellow)), yellow);
            let mut pixels = vec![0; info.size() as usize];
            let mut painter = Painter::new(&info, &mut pixels).unwrap();
            let (columns, rows) = painter.text_size();
            assert!(columns >= 8 && rows == 2);
            painter.clear();
            let background = painter.background;
            painter.draw(1, 1, Cell { glyph: b'M', ink: Ink::Yellow });
            painter.draw(columns + 5, rows, Cell { glyph: b'M', ink: Ink::Yellow });
            let (width, height) = painter.cell_size();
            let bytes = usize::from(info.bits_per_pixel / 8);
            let mut full = 0;
            for y in 0..info.height as usize {
                for x in 0..info.width as usize {
                    let at = y * info.pitch as usize + x * bytes;
                    let mut value = [0; 4];
                    value[..bytes].copy_from_slice(&pixels[at..at + bytes]);
                    let inside =
                        (width..2 * width).contains(&x) && (height..2 * height).contains(&y);
                    let value = u32::from_le_bytes(value);
                    assert!(inside || value == background, "{x},{y}: {value:x}");
                    full += usize::from(value == yellow);
                }
            }
            assert!(full > 0, "an M has strokes in full colour");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        let good = info(32, [(8, 16), (8, 8), (8, 0)]);
        assert!(Painter::new(&good, &mut [0; 100]).is_none());
        for bad in [
            FramebufferInfo { bits_per_pixel: 8, ..good },
            FramebufferInfo { width: 0, ..good },
            FramebufferInfo { pitch: 100, ..good },
            FramebufferInfo { red: ColourMask { size: 8, shift: 30 }, ..good },
            FramebufferInfo { blue: ColourMask { size: 0, shift: 0 }, ..good },
        ] {
            assert!(Painter::new(&bad, &mut vec![0; 1 << 20]).is_none());
        }
    }
}
