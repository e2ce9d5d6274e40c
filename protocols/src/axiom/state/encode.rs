//! The state's encoding, which checkpoints keep, and its hash.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use super::super::chain::Hash;
use super::super::encoding::{Field, Malformed, Reader};
use super::{Capability, Mapping, Object, Process, State};

/// What the encoding begins with.
const FORMAT: [u8; 8] = *b"PLXSTAT1";

/// A flag is one byte.
impl Field for bool {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        let begun = from.malformed();
        match from.take::<u8>()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(begun),
        }
    }
}

/// Zero, or one and the value.
impl<T: Field> Field for Option<T> {
    fn put(&self, out: &mut Vec<u8>) {
        self.is_some().put(out);
        if let Some(value) = self {
            value.put(out);
        }
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        if from.take()? { from.take().map(Some) } else { Ok(None) }
    }
}

impl Field for (u32, u64) {
    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
        self.1.put(out);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok((from.take()?, from.take()?))
    }
}

/// How many, then each key and value, in the keys' order.
impl<K: Field + Ord + Copy, V: Field> Field for BTreeMap<K, V> {
    fn put(&self, out: &mut Vec<u8>) {
        (self.len() as u64).put(out);
        for (key, value) in self {
            key.put(out);
            value.put(out);
        }
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut map = Self::new();
        for _ in 0..from.take::<u64>()? {
            let begun = from.malformed();
            let (key, value) = (from.take()?, from.take()?);
            if map.last_key_value().is_some_and(|(last, _)| *last >= key) {
                return Err(begun);
            }
            map.insert(key, value);
        }
        Ok(map)
    }
}

macro_rules! fields {
    ($type:ident: $($field:ident),*) => {
        impl Field for $type {
            fn put(&self, out: &mut Vec<u8>) {
                $(self.$field.put(out);)*
            }

            fn take(from: &mut Reader<'_>) -> Result<Self, Malformed> {
                Ok(Self { $($field: from.take()?),* })
            }
        }
    };
}

fields!(Process: object, parent, budget, given, name, threads, next_thread, slots);
fields!(Object: kind, process, detail, capabilities, mappings, is_alive);
fields!(Capability: object, rights, process, handle, parent);
fields!(Mapping: object, pages, rights, parent);

impl State {
    /// Appends the encoding. Equal states have equal encodings.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&FORMAT);
        self.log.put(out);
        self.epoch.put(out);
        self.measured.put(out);
        self.next_object.put(out);
        self.next_capability.put(out);
        self.next_process.put(out);
        self.processes.put(out);
        self.objects.put(out);
        self.capabilities.put(out);
        self.mappings.put(out);
    }

    /// The hash of the encoding.
    pub fn hash(&self) -> Hash {
        let mut bytes = Vec::new();
        self.encode(&mut bytes);
        Hash::of(&bytes)
    }

    /// The state these bytes encode, all of them. What it says has not been looked at: see
    /// [`State::verify`].
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut from = Reader::new(bytes);
        if from.take::<[u8; 8]>()? != FORMAT {
            return Err(Malformed { at: 0 });
        }
        let mut state = Self {
            log: from.take()?,
            epoch: from.take()?,
            measured: from.take()?,
            next_object: from.take()?,
            next_capability: from.take()?,
            next_process: from.take()?,
            processes: from.take()?,
            objects: from.take()?,
            capabilities: from.take()?,
            children: BTreeSet::new(),
            mappings: from.take()?,
            mapped: BTreeSet::new(),
        };
        from.finish()?;
        let parents = state.capabilities.iter().filter_map(|(id, held)| Some((held.parent?, *id)));
        state.children = parents.collect();
        let parents = state.mappings.iter();
        let parents = parents.filter_map(|(at, mapping)| Some((mapping.parent?, at.0, at.1)));
        state.mapped = parents.collect();
        Ok(state)
    }
}
