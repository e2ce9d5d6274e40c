//! Programs that can be run: the boot modules that are ELF files, by name.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use protocols::image::ImageError;

/// A program image. Its bytes are a boot module's, which stays where the loader put it.
#[derive(Debug)]
pub struct Image {
    /// First word of the module's command line.
    pub name: String,
    /// The file.
    pub file: &'static [u8],
}

impl Image {
    /// Its plan, checked anew: it costs little and needs no trust in an earlier check.
    pub fn plan(&self) -> Result<protocols::image::Image<'static>, ImageError> {
        protocols::image::Image::parse(self.file)
    }
}

static IMAGES: spin::Once<Vec<Arc<Image>>> = spin::Once::new();

/// Looks through the boot modules. One that doesn't parse is said and left out; the boot goes on.
pub fn init() {
    IMAGES.call_once(|| {
        let mut images = Vec::new();
        for module in hal::boot::info().modules {
            if !module.bytes.starts_with(b"\x7fELF") && module.name.ends_with(".sym") {
                continue;
            }
            match protocols::image::Image::parse(module.bytes) {
                Ok(_) => {
                    images.push(Arc::new(Image { name: module.name.into(), file: module.bytes }));
                }
                Err(error) => log::warn!("program `{}` can't be run: {error}", module.name),
            }
        }
        images
    });
}

/// All of them, in boot order.
pub fn all() -> &'static [Arc<Image>] {
    IMAGES.get().map_or(&[], Vec::as_slice)
}

/// The one called `name`.
pub fn find(name: &str) -> Option<&'static Arc<Image>> {
    all().iter().find(|image| image.name == name)
}
