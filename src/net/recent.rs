// SPDX-License-Identifier: GPL-2.0

//! A bounded table of flows of which something was seen a moment ago, and nothing besides.

use super::{
    context::BottomHalf,
    flow_table::{seeds, slots, Key},
    once::{Once64, Sequence},
};
use core::array;
use kernel::{alloc::KVVec, prelude::*};

/// Entries that a flow can be in: those whose index differs in the lowest bit only.
const WAYS: usize = 2;

/// A flow in one line of memory.
#[repr(C, align(64))]
struct Slot<const K: usize> {
    words: [Once64; K],
    sequence: Sequence,
}

impl<const K: usize> Slot<K> {
    fn new() -> Self {
        const { assert!(size_of::<Self>() == 64) };
        Self {
            words: array::from_fn(|_| Once64::new(0)),
            sequence: Sequence::new(),
        }
    }

    #[inline(always)]
    fn has<const HASHED: usize>(&self, key: &Key<K, HASHED>) -> bool {
        let begin = self.sequence.begin();
        let words = key.words();
        let mut differs = 0;
        // A loop over numbers is unrolled for any length.
        #[allow(clippy::needless_range_loop)]
        for index in 0..K {
            differs |= self.words[index].read() ^ words[index];
        }
        differs == 0 && self.sequence.unchanged_since(begin)
    }

    /// Whether what is here was of another time, or there never was anything.
    fn has_passed<const HASHED: usize>(&self, key: &Key<K, HASHED>) -> bool {
        key.has_passed(self.words[K - 1].read())
    }

    /// Overwrites what is here, or not, where another CPU does just now.
    fn write(&self, words: &[u64; K]) {
        if self.sequence.try_write() {
            for (ours, theirs) in self.words.iter().zip(words) {
                ours.write(*theirs);
            }
            self.sequence.end_write();
        }
    }
}

/// What is noted of flows that keys of one kind stand for.
pub(crate) trait Notes {
    /// A flow. The keys are counted ([`Key::counted`]) by [`second`]: what is not seen again in the
    /// next one is forgotten.
    type Flow;

    /// Whether this flow was noted. Callable in any context.
    fn has(&self, flow: &Self::Flow) -> bool;

    /// Notes a flow, if need be in place of another one.
    fn note(&self, flow: &Self::Flow, bh: BottomHalf<'_>);

    /// Forgets a flow.
    fn forget(&self, flow: &Self::Flow, bh: BottomHalf<'_>);
}

/// Flows that were noted lately: a new one drives out one of those in its place.
pub(crate) struct Recent<const K: usize, const HASHED: usize> {
    slots: KVVec<Slot<K>>,
    seeds: [u64; K],
}

impl<const K: usize, const HASHED: usize> Recent<K, HASHED> {
    /// A table with at least `size` entries. May sleep. Fails with `ENOMEM`.
    pub(crate) fn new(size: usize) -> Result<Self> {
        Ok(Self {
            slots: slots(size.max(WAYS), Slot::new)?,
            seeds: seeds(),
        })
    }

    #[inline(always)]
    fn slot(&self, index: usize) -> &Slot<K> {
        let slots = self.slots.as_slice();
        // SAFETY: the number of slots is a power of two.
        unsafe { slots.get_unchecked(index & (slots.len() - 1)) }
    }

    fn ways(&self, key: &Key<K, HASHED>) -> [&Slot<K>; WAYS] {
        let first = key.hash(&self.seeds);
        array::from_fn(|way| self.slot(first ^ way))
    }
}

impl<const K: usize, const HASHED: usize> Notes for Recent<K, HASHED> {
    type Flow = Key<K, HASHED>;

    #[inline(always)]
    fn has(&self, flow: &Self::Flow) -> bool {
        let first = flow.hash(&self.seeds);
        self.slot(first).has(flow) || (1..WAYS).any(|way| self.slot(first ^ way).has(flow))
    }

    fn note(&self, flow: &Self::Flow, _bh: BottomHalf<'_>) {
        let ways = self.ways(flow);
        let free = ways.iter().find(|slot| slot.has_passed(flow));
        free.unwrap_or(&ways[0]).write(flow.words());
    }

    fn forget(&self, flow: &Self::Flow, _bh: BottomHalf<'_>) {
        for slot in self.ways(flow) {
            if slot.has(flow) {
                slot.write(&[0; K]);
            }
        }
    }
}
