//! From the reset to the announcement: addresses, EEPROMs, transceivers, firmware.

use super::*;
use crate::e1000::model::{Firmware, eeprom};
use protocols::e1000::EepromLayout;

const OTHER: [u8; 6] = [2, 0, 0, 0, 0, 9];

/// How the driver ends on `model`, and under which address it announces it.
fn address(id: u16, model: Model) -> Result<MacAddress, E1000Error> {
    let (mac, end, memory) =
        drive_as(id, CompletionMode::Adaptive, model, async |rig| rig.nic().info().mac);
    assert_eq!(memory, MemoryReport::default());
    end.map(|()| mac.expect("it was announced"))
}

#[test]
fn the_address_is_in_the_eeprom_of_either_layout() {
    for layout in [EepromLayout::Early, EepromLayout::Late] {
        for id in [PLAIN, EXPRESS, 0x1008, 0x100f] {
            let model = Model { layout, preset: None, ..Model::new(Way::Message) };
            assert_eq!(address(id, model), Ok(MacAddress(MAC)));
        }
    }
}

#[test]
fn else_it_is_where_the_device_put_it() {
    let damaged = |word: usize| {
        let mut words = eeprom(MAC);
        words[word] ^= 1;
        words
    };
    let models = [
        Model { eeprom_answers: false, ..Model::new(Way::Message) },
        Model { eeprom: damaged(0), ..Model::new(Way::Message) },
        Model { eeprom: damaged(20), ..Model::new(Way::Message) },
        Model { eeprom: eeprom([0; 6]), ..Model::new(Way::Message) },
        Model { eeprom: eeprom([0xff; 6]), ..Model::new(Way::Message) },
        Model { eeprom: eeprom([1, 0, 0x5e, 0, 0, 1]), ..Model::new(Way::Message) },
    ];
    for model in models {
        assert_eq!(address(PLAIN, Model { preset: Some(OTHER), ..model }), Ok(MacAddress(OTHER)));
    }
}

#[test]
fn nonsense_is_refused() {
    for preset in [None, Some([0; 6]), Some([0xff; 6]), Some([0x33, 0x33, 0, 0, 0, 1])] {
        let model = Model { eeprom_answers: false, preset, ..Model::new(Way::Message) };
        assert_eq!(address(EXPRESS, model), Err(E1000Error::NoAddress));
    }
    assert!(matches!(address(0x10c9, Model::new(Way::Table)), Err(E1000Error::Unsupported(_))));
}

fn chipset() -> Model {
    Model {
        phy_address: 2,
        multicast_registers: 32,
        eeprom_answers: false,
        ..Model::new(Way::Message)
    }
}

#[test]
fn chipset_models_share_their_transceiver_with_firmware() {
    for id in [0x153a, 0x1559, 0x15b8, 0x15bb] {
        assert_eq!(address(id, chipset()), Ok(MacAddress(MAC)));
        let keeps = Model { firmware: Firmware::Keeps, ..chipset() };
        assert_eq!(address(id, keeps), Ok(MacAddress(MAC)), "it is left as it is");
    }
}

#[test]
fn chipset_models_listen_to_groups_with_fewer_registers() {
    let (output, end, memory) = drive_as(0x15b8, CompletionMode::Poll, chipset(), async |rig| {
        let nic = rig.nic();
        let mut group = numbered(1, 60);
        group[..6].copy_from_slice(&[0x33, 0x33, 0, 0, 0, 0xfb]);
        rig.arrive(&group);
        nic.listen_to(&[MacAddress([0x33, 0x33, 0, 0, 0, 0xfb])]);
        group[20] = 1;
        rig.arrive(&group);
        assert_eq!(rig.received().await, group);
    });
    assert_eq!((output, end, memory), (Some(()), Ok(()), MemoryReport::default()));
}

#[test]
fn a_transceiver_that_sleeps_is_woken() {
    for (id, phy_address) in [(PLAIN, 1), (EXPRESS, 1), (0x156f, 2)] {
        let mut model = Model { phy_address, ..Model::new(Way::Message) };
        model.phy[0] = 1 << 11;
        let (link, end, _) = drive_as(id, CompletionMode::Adaptive, model, async |rig| {
            rig.wait(1, || rig.nic().link() != LinkState::Down).await;
            rig.device.act(|model, _| model.phy[0])
        });
        assert_eq!((link, end), (Some(1 << 12), Ok(())));
    }
}

#[test]
fn one_that_is_silent_is_left_alone() {
    for phy_address in [0, 3, 31] {
        let model = Model { phy_address, ..Model::new(Way::Message) };
        assert_eq!(address(EXPRESS, model), Ok(MacAddress(MAC)));
    }
}

#[test]
fn without_memory_it_is_refused() {
    // Too little for the ring's buffers; then for the rings.
    for bytes in [300_000, 3000] {
        block_on::<Virtual, _>(async {
            let machine = SimMachine::following(|| Ticks(Virtual::now().0));
            machine.set_dma_available(bytes);
            let device = machine.add("e1000", Model::new(Way::Message));
            let parts = Parts {
                name: "net0".into(),
                device: EXPRESS,
                registers: device.region(0x2_0000),
                dma: machine.dma(),
                interrupts: Interrupts { kind: InterruptKind::None, vectors: Vec::new() },
                mode: CompletionMode::Poll,
                stop: Arc::new(Notify::new()),
            };
            let end = run::<Virtual>(parts, |_| panic!("it cannot be used")).await;
            assert_eq!(end, Err(E1000Error::Memory(DmaError::OutOfMemory)));
            assert_eq!(machine.memory(), MemoryReport::default());
        });
    }
}
