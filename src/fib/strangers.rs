// SPDX-License-Identifier: GPL-2.0

//! Destinations that are no child's, so that packets for them are let go after one look.
//!
//! Without rules of the parent's own the owner depends on the destination (and DSCP) alone. So
//! one entry answers for all sources, and whoever makes up sources cannot push others out.

use crate::net::once::Once64;
use kernel::{alloc::KVVec, prelude::*};

/// Destinations that are remembered.
const SIZE: usize = 1024;

/// One destination, in two words that are written one after the other. A reader that sees one of
/// an old entry and one of a new one takes a child's packet for a stranger's at worst, and that is
/// always right: it takes the full path.
struct Entry([Once64; 2]);

/// The destinations.
pub(super) struct Strangers(KVVec<Entry>);

impl Strangers {
    /// None yet. May sleep. Fails with `ENOMEM`.
    pub(super) fn new() -> Result<Self> {
        let mut entries = KVVec::with_capacity(SIZE, GFP_KERNEL)?;
        for _ in 0..SIZE {
            entries.push(Entry([Once64::new(0), Once64::new(0)]), GFP_KERNEL)?;
        }
        Ok(Self(entries))
    }

    fn entry(&self, key: [u64; 2]) -> Option<&Entry> {
        const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
        let hash = (key[0] ^ key[1].rotate_left(32)).wrapping_mul(ODD) >> 32;
        self.0.get(hash as usize % SIZE)
    }

    /// Whether this destination is known to be no child's.
    #[inline]
    pub(super) fn contains(&self, key: [u64; 2]) -> bool {
        self.entry(key)
            .is_some_and(|entry| entry.0[0].read() == key[0] && entry.0[1].read() == key[1])
    }

    /// Remembers a destination.
    pub(super) fn insert(&self, key: [u64; 2]) {
        if let Some(entry) = self.entry(key) {
            entry.0[0].write(key[0]);
            entry.0[1].write(key[1]);
        }
    }
}
