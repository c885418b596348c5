// SPDX-License-Identifier: GPL-2.0

//! How packets left a child by the shortcut.

use super::{arrivals::Traffic, device::End};
use crate::net::{
    device::Device,
    percpu::{self, Counters},
};
use kernel::prelude::*;

/// The ways: on by the parent's output path, and into another child.
const WAYS: usize = 2;
const UPLINK: usize = 0;
const SIBLING: usize = 1;
/// Packets into another child that the device has counted already.
const CROSSED: usize = 2 * WAYS;

/// The names of the counters, for `ethtool -S`.
pub(super) const NAMES: [&CStr; WAYS] = [c"tx_output", c"tx_sibling"];

/// The counters of a pair, kept at its child: packets and bytes for each way. Each packet that
/// takes the shortcut counts once, here and nowhere else, but for those that crossed the pair first.
pub(crate) struct Departures(Counters<{ 2 * WAYS + 1 }>);

impl Departures {
    /// All 0. May sleep. Fails with `ENOMEM`.
    pub(super) fn new() -> Result<Self> {
        Counters::new().map(Self)
    }

    /// A packet of `bytes` that goes on by the parent's output path, to be counted where it does.
    #[inline(always)]
    pub(crate) fn uplink(&self, child: &Device<End>, bytes: u32) -> percpu::Traffic<'_> {
        let bytes = bytes as usize + child.driver().framing_len();
        self.0.traffic(2 * UPLINK, bytes)
    }

    /// Counts a packet of `bytes` that goes into another child.
    pub(crate) fn count_sibling(&self, child: &Device<End>, bytes: u32) {
        let bytes = bytes as usize + child.driver().framing_len();
        self.0.traffic(2 * SIBLING, bytes).count();
    }

    /// Counts a packet that goes into another child after it has crossed the pair.
    pub(crate) fn count_crossed(&self) {
        self.0.increment(CROSSED);
    }

    /// The counters in the order of [`NAMES`].
    pub(super) fn values(&self) -> impl Iterator<Item = u64> + '_ {
        let siblings = self.0.sum(2 * SIBLING) + self.0.sum(CROSSED);
        [self.0.sum(2 * UPLINK), siblings].into_iter()
    }

    /// All that left by the shortcut.
    pub(super) fn total(&self) -> Traffic {
        (0..WAYS).fold(Traffic::default(), |sum, way| Traffic {
            packets: sum.packets + self.0.sum(2 * way),
            bytes: sum.bytes + self.0.sum(2 * way + 1),
        })
    }
}
