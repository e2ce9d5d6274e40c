//! Figures of the benchmark, and of what disks have done, for the status page.

use alloc::string::String;
use core::fmt::{self, Write};
use drivers::block::Device;
use hal::x86_64::time::clock::ticks_to_ns;
use protocols::abi::metric::{Metric, Unit};
use protocols::events::unit_name;
use protocols::json::{OrNull, Text};

use crate::platform::Pollux;

/// Writes one figure. Ticks are told as nanoseconds: who reads the page has another clock.
pub fn write(out: &mut String, figure: Metric) -> fmt::Result {
    let told = |value: u64| if figure.unit == Unit::Ticks { ticks_to_ns(value) } else { value };
    let unit = if figure.unit == Unit::Ticks { "ns" } else { unit_name(figure.unit) };
    let known = |core: u16| OrNull((core != Metric::ALL_CORES).then_some(core));
    write!(
        out,
        "{{\"name\":{},\"core\":{},\"peer\":{},\"unit\":\"{unit}\",\"samples\":{},\"min\":{},\
         \"median\":{},\"p99\":{},\"max\":{}}}",
        Text(figure.name()),
        known(figure.core),
        known(figure.peer),
        figure.samples,
        told(figure.min),
        told(figure.median),
        told(figure.p99),
        told(figure.max)
    )
}

/// Commands that a disk has completed, and interrupts that came for them; `None`: it does not
/// count.
pub fn disk_counts(device: &Device<Pollux>) -> Option<(u64, u64)> {
    match device {
        Device::Nvme(namespace) => {
            let queues = namespace.statistics();
            let sum = |count: fn(&drivers::nvme::QueueStatistics) -> u64| -> u64 {
                queues.iter().map(count).sum()
            };
            Some((sum(|queue| queue.completed), sum(|queue| queue.interrupts)))
        }
        Device::Ahci(_) => None,
    }
}
