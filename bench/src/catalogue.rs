//! What is measured: the published names, and how each figure is placed on the cores.

/// Where a figure is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// On each core for itself.
    EachCore,
    /// On each core for itself, and never on all at once: what is measured is one for all cores, or
    /// the figure is put together from samples that need something done in between.
    EachCoreAlone,
    /// For each ordered pair of cores.
    EachPair,
}

/// One figure.
#[derive(Clone, Copy, Debug)]
pub struct Figure {
    /// Its published name.
    pub name: &'static str,
    /// Where it is taken.
    pub placement: Placement,
}

/// All figures taken in ring 3, in the order of the table, except the [`CLIENTS`].
pub const FIGURES: &[Figure] = &[
    Figure { name: "syscall.null", placement: Placement::EachCore },
    Figure { name: "syscall.yield", placement: Placement::EachCore },
    Figure { name: "ipc.call_reply", placement: Placement::EachCore },
    Figure { name: "notify.round_trip", placement: Placement::EachCore },
    Figure { name: "executor.ring3_wake_to_poll", placement: Placement::EachCore },
    Figure { name: "thread.switch", placement: Placement::EachCore },
    Figure { name: "page.touch", placement: Placement::EachCore },
    Figure { name: "process.spawn_exit", placement: Placement::EachCore },
    Figure { name: "ipc.grant", placement: Placement::EachCore },
    Figure { name: "cap.derive", placement: Placement::EachCoreAlone },
    Figure { name: "cap.revoke_1000", placement: Placement::EachCoreAlone },
    Figure { name: "commit.sync", placement: Placement::EachCoreAlone },
    Figure { name: "ipc.cross_core", placement: Placement::EachPair },
];

/// Throughput of one endpoint with so many clients, spread over all cores; the server is on core 0.
pub const CLIENTS: &[(&str, usize)] =
    &[("ipc.clients_1", 1), ("ipc.clients_4", 4), ("ipc.clients_16", 16)];

/// Windows in a run of all cores at once: each gives one sample of the rate.
pub const WINDOWS: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::metric::{Metric, Unit};

    #[test]
    fn every_name_can_be_published() {
        let names = FIGURES.iter().map(|figure| figure.name).chain(CLIENTS.iter().map(|c| c.0));
        for name in names {
            assert!(Metric::of(name, 0, Unit::Ticks, &mut [1]).is_some(), "{name}");
        }
        // A bit of one word for each client says that it is ready.
        assert!(CLIENTS.iter().all(|(_, clients)| *clients <= 64));
    }
}
