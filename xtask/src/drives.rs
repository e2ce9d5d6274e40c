//! Disks beside the boot disk, as arguments for QEMU.
//!
//! Every controller has a slot of its own that does not depend on what else is there, so that the
//! kernel, which numbers controllers in PCI order, gives the same names in every machine: the boot
//! disk is `nvme0n1`, and [`Port::name`] says what the others are called.
//!
//! ```text
//! slot  03 boot NVMe   04 06 07 network   05 USB   09… NVMe 1, 2, …   10 root port   18 AHCI   1f AHCI (chipset)
//! ```

use std::fmt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

/// Slots on PCI bus 0, as QEMU's `addr=` wants them.
pub mod slot {
    /// The boot disk.
    pub const BOOT: &str = "0x3";
    /// Network cards, in the order the kernel counts them.
    pub const NETWORKS: [&str; 3] = ["0x4", "0x6", "0x7"];
    /// USB.
    pub const USB: &str = "0x5";
    /// The first NVMe controller after the boot disk's comes right after this.
    pub const NVME: u8 = 0x8;
    /// The root port that can be plugged into.
    pub const ROOT_PORT: &str = "0x10";
    /// An AHCI controller beside the chipset's.
    pub const AHCI: &str = "0x18";
}

/// Most NVMe controllers beside the boot disk's.
pub const NVME_MAX: u8 = 7;
/// Most disks at the chipset's AHCI controller.
pub const AHCI_MAX: u8 = 6;

/// Where a disk is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// An NVMe controller (1 is the first after the boot disk's) and a namespace of it (from 1).
    Nvme(u8, u32),
    /// A port (from 0) of the chipset's AHCI controller.
    Ahci(u8),
    /// A port (from 0) of an AHCI controller of its own, which comes before the chipset's.
    OtherAhci(u8),
    /// An NVMe controller behind a root port, which can be unplugged and plugged in again.
    HotPlug,
}

/// The id of the controller at [`Port::HotPlug`].
pub const HOT: &str = "hot";
const ROOT_PORT: &str = "slot1";

impl Port {
    /// Names its block node, its image file and its serial number.
    pub fn id(self) -> String {
        match self {
            Self::Nvme(controller, namespace) => format!("nvme{controller}n{namespace}"),
            Self::Ahci(port) => format!("ahci{port}"),
            Self::OtherAhci(port) => format!("other-ahci{port}"),
            Self::HotPlug => HOT.to_owned(),
        }
    }
}

/// What the kernel calls the disk at `port`, in a machine with disks at all of `ports`.
pub fn name(port: Port, ports: &[Port]) -> String {
    let sata = |wanted: &dyn Fn(Port) -> bool| ports.iter().filter(|port| wanted(**port)).count();
    match port {
        Port::Nvme(controller, namespace) => format!("nvme{controller}n{namespace}"),
        Port::OtherAhci(at) => {
            format!("sata{}", sata(&|port| matches!(port, Port::OtherAhci(other) if other < at)))
        }
        Port::Ahci(at) => {
            let before = |port| match port {
                Port::OtherAhci(_) => true,
                Port::Ahci(other) => other < at,
                _ => false,
            };
            format!("sata{}", sata(&before))
        }
        // Its bus comes after bus 0, so its controller after all of those.
        Port::HotPlug => {
            let controllers = ports.iter().filter_map(|port| match port {
                Port::Nvme(controller, _) => Some(*controller),
                _ => None,
            });
            format!("nvme{}n1", controllers.max().unwrap_or(0) + 1)
        }
    }
}

/// All of them, with what the kernel calls them.
pub fn named(drives: &[Drive]) -> impl Iterator<Item = (String, &Drive)> {
    let ports: Vec<Port> = drives.iter().map(|drive| drive.port).collect();
    drives.iter().map(move |drive| (name(drive.port, &ports), drive))
}

/// Which operation fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Fails {
    Read,
    Write,
    Flush,
}

/// An error that QEMU's `blkdebug` gives back instead of the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// On which operation.
    pub on: Fails,
    /// On which sector of 512 bytes; `None`: wherever.
    pub sector: Option<u64>,
}

/// Whether the host's page cache is in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cache {
    /// It is, as usual.
    Host,
    /// It is not: every read and write goes to the file system's own disk.
    None,
}

impl Cache {
    /// None, if the file system at `path` can read past the cache.
    pub fn least(path: &Path) -> Self {
        let mut options = std::fs::OpenOptions::new();
        #[cfg(target_os = "linux")]
        {
            use std::os::unix::fs::OpenOptionsExt;
            options.custom_flags(O_DIRECT);
        }
        let direct = cfg!(target_os = "linux") && options.read(true).open(path).is_ok();
        if direct { Self::None } else { Self::Host }
    }
}

/// Linux's `O_DIRECT` (`open(2)`), which is not the same everywhere.
#[cfg(target_os = "linux")]
const O_DIRECT: i32 =
    if cfg!(any(target_arch = "aarch64", target_arch = "arm")) { 0o200_000 } else { 0o40_000 };

/// What is behind a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Image {
    /// A raw file.
    File {
        /// Where.
        path: PathBuf,
        /// Cached or not.
        cache: Cache,
        /// Errors to give.
        faults: &'static [Fault],
    },
    /// A raw file, of whose writes and flushes QEMU's `blklogwrites` keeps a log
    /// ([`crate::power`]). Flushes go no further than to it.
    Recorded {
        /// The file.
        path: PathBuf,
        /// The log, an empty file.
        log: PathBuf,
    },
    /// Nothing: writes are forgotten, reads leave memory as it is. As fast as QEMU can be.
    Null {
        /// How large it seems.
        bytes: u64,
    },
}

/// A disk of a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drive {
    /// Where it is attached.
    pub port: Port,
    /// Bytes of a block, 512 or 4096; AHCI disks have 512.
    pub block: u32,
    /// What is behind it.
    pub image: Image,
    /// More of QEMU's properties for its namespace or disk, such as `ms=8`.
    pub properties: &'static str,
}

impl fmt::Display for Drive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.image {
            Image::File { path, .. } | Image::Recorded { path, .. } => {
                write!(f, "{}", path.display())?;
            }
            Image::Null { .. } => f.write_str("keeps nothing")?,
        }
        write!(f, ", {}-byte blocks", self.block)
    }
}

impl Drive {
    /// The block node.
    fn node(&self) -> Value {
        let id = self.port.id();
        match &self.image {
            Image::Null { bytes } => {
                json!({ "driver": "null-co", "node-name": id, "size": bytes, "read-zeroes": false })
            }
            Image::File { path, cache, faults } => {
                let cache = json!({ "direct": *cache == Cache::None });
                let file = json!({
                    "driver": "file", "filename": path.to_string_lossy(), "cache": cache,
                });
                let file = if faults.is_empty() {
                    file
                } else {
                    let errors: Vec<Value> = faults.iter().map(Fault::rule).collect();
                    json!({ "driver": "blkdebug", "image": file, "inject-error": errors })
                };
                json!({ "driver": "raw", "node-name": id, "file": file, "cache": cache })
            }
            Image::Recorded { path, log } => {
                let file = |path: &Path| {
                    let cache = json!({ "no-flush": true });
                    json!({ "driver": "file", "filename": path.to_string_lossy(), "cache": cache })
                };
                let recorder = json!({
                    "driver": "blklogwrites", "file": file(path), "log": file(log),
                    "log-sector-size": self.block,
                });
                json!({ "driver": "raw", "node-name": id, "file": recorder })
            }
        }
    }

    /// For people: whether the file behind it is cached.
    pub fn cached(&self) -> Option<&'static str> {
        match self.image {
            Image::File { cache: Cache::Host, .. } | Image::Recorded { .. } => {
                Some("cached by the host")
            }
            Image::File { cache: Cache::None, .. } => Some("not cached by the host"),
            Image::Null { .. } => None,
        }
    }

    /// Removes the file behind it.
    pub fn remove(&self) {
        if let Image::File { path, .. } | Image::Recorded { path, .. } = &self.image {
            let _ = std::fs::remove_file(path);
        }
    }

    /// QEMU's words for the disk itself, without those for its controller.
    fn device(&self) -> String {
        let id = self.port.id();
        let more = if self.properties.is_empty() { "" } else { "," };
        let tail = format!(
            "logical_block_size={0},physical_block_size={0}{more}{1}",
            self.block, self.properties
        );
        match self.port {
            Port::Nvme(controller, namespace) => {
                format!("nvme-ns,drive={id},bus=nvme{controller},nsid={namespace},{tail}")
            }
            Port::Ahci(port) => {
                format!("ide-hd,drive={id},serial=pollux-{id},bus=ide.{port},{tail}")
            }
            Port::OtherAhci(port) => {
                format!("ide-hd,drive={id},serial=pollux-{id},bus=ahci.{port},{tail}")
            }
            Port::HotPlug => {
                format!("nvme,id={HOT},drive={id},serial=pollux-{id},bus={ROOT_PORT},{tail}")
            }
        }
    }

    /// The arguments of `device_add`, to plug it in again.
    pub fn plug(&self) -> Value {
        let device = self.device();
        let (driver, properties) = device.split_once(',').unwrap_or((&device, ""));
        let mut arguments = json!({ "driver": driver });
        for (name, value) in properties.split(',').filter_map(|word| word.split_once('=')) {
            arguments[name] = match value.parse::<u64>() {
                Ok(number) => json!(number),
                Err(_) => json!(value),
            };
        }
        arguments
    }
}

impl Fault {
    fn rule(&self) -> Value {
        let kind = match self.on {
            Fails::Read => "read",
            Fails::Write => "write",
            Fails::Flush => "flush",
        };
        // Event `none`: by operation and place alone, whatever QEMU is at.
        let mut rule = json!({ "event": "none", "iotype": kind, "errno": 5 });
        if let Some(sector) = self.sector {
            rule["sector"] = json!(sector);
        }
        rule
    }
}

/// QEMU's arguments for all of them, controllers first.
pub fn arguments(drives: &[Drive]) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut add = |flag: &str, value: String| words.extend([flag.to_owned(), value]);
    let has = |wanted: &dyn Fn(Port) -> bool| drives.iter().any(|drive| wanted(drive.port));
    for controller in 1..=NVME_MAX {
        if has(&|port| matches!(port, Port::Nvme(of, _) if of == controller)) {
            let id = format!("nvme{controller}");
            let slot = slot::NVME + controller;
            add("-device", format!("nvme,id={id},serial=pollux-{id},addr={slot:#x}"));
        }
    }
    if has(&|port| matches!(port, Port::OtherAhci(_))) {
        add("-device", format!("ich9-ahci,id=ahci,addr={}", slot::AHCI));
    }
    if has(&|port| port == Port::HotPlug) {
        // Native hot-plug, which the kernel speaks, rather than ACPI's.
        add("-global", "ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off".to_owned());
        let slot = slot::ROOT_PORT;
        add("-device", format!("pcie-root-port,id={ROOT_PORT},chassis=1,slot=1,addr={slot}"));
    }
    for drive in drives {
        add("-blockdev", drive.node().to_string());
        add("-device", drive.device());
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drive(port: Port, block: u32) -> Drive {
        let image = Image::File { path: "/t/a,b".into(), cache: Cache::Host, faults: &[] };
        Drive { port, block, image, properties: "" }
    }

    #[test]
    fn controllers_come_once_and_first() {
        let drives = [
            drive(Port::Nvme(2, 1), 512),
            drive(Port::Nvme(2, 2), 4096),
            drive(Port::Ahci(0), 512),
        ];
        let line = arguments(&drives).join(" ");
        assert_eq!(line.matches("nvme,id=nvme2,serial=pollux-nvme2,addr=0xa").count(), 1);
        assert!(line.contains("nvme-ns,drive=nvme2n2,bus=nvme2,nsid=2,logical_block_size=4096"));
        assert!(line.contains("ide-hd,drive=ahci0,serial=pollux-ahci0,bus=ide.0"));
        assert!(line.contains(r#""filename":"/t/a,b""#), "JSON needs no commas doubled: {line}");
        assert!(!line.contains("root-port") && !line.contains("ich9-ahci"));
    }

    #[test]
    fn faults_are_blkdebugs() {
        const FAULTS: &[Fault] = &[Fault { on: Fails::Write, sector: Some(9) }];
        let image = Image::File { path: "/t/a".into(), cache: Cache::None, faults: FAULTS };
        let node = Drive { image, ..drive(Port::Ahci(1), 512) }.node();
        assert_eq!(node["file"]["driver"], "blkdebug");
        assert_eq!(node["file"]["inject-error"][0]["sector"], 9);
        assert_eq!(node["file"]["image"]["cache"]["direct"], true);
    }

    #[test]
    fn recorders_are_blklogwrites() {
        let image = Image::Recorded { path: "/t/a".into(), log: "/t/b".into() };
        let node = Drive { image, ..drive(Port::Ahci(1), 512) }.node();
        let recorder = &node["file"];
        assert_eq!(
            (&recorder["driver"], &recorder["log-sector-size"]),
            (&json!("blklogwrites"), &json!(512))
        );
        assert_eq!(
            (&recorder["file"]["filename"], &recorder["log"]["filename"]),
            (&json!("/t/a"), &json!("/t/b"))
        );
        assert_eq!(recorder["file"]["cache"]["no-flush"], true);
        assert!(recorder.get("cache").is_none() && node.get("cache").is_none());
    }

    #[test]
    fn names_are_the_kernels() {
        let ports = [
            Port::Nvme(1, 1),
            Port::Nvme(3, 2),
            Port::Ahci(0),
            Port::Ahci(2),
            Port::OtherAhci(5),
            Port::HotPlug,
        ];
        let names: Vec<String> = ports.iter().map(|port| name(*port, &ports)).collect();
        assert_eq!(names, ["nvme1n1", "nvme3n2", "sata1", "sata2", "sata0", "nvme4n1"]);
        let plug = drive(Port::HotPlug, 4096).plug();
        assert_eq!((&plug["driver"], &plug["id"]), (&json!("nvme"), &json!("hot")));
        assert_eq!(plug["logical_block_size"], 4096);
    }
}
