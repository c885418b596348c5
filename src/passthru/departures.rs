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

/// The names of the counters, for `ethtool -S`.
pub(super) const NAMES: [&CStr; WAYS] = [c"tx_output", c"tx_sibling"];

/// The counters of a pair, kept at its child: packets and bytes for each way. Each packet that
/// takes the shortcut counts once, here and nowhere else.
pub(crate) struct Departures(Counters<{ 2 * WAYS }>);

impl Departures {
    pub(super) fn new() -> Result<Self> {
        Counters::new().map(Self)
    }

    /// A packet of `bytes` that goes on by the parent's output path, to be counted where it does.
    #[inline(always)]
    pub(crate) fn uplink(&self, child: &Device<End>, bytes: u32) -> percpu::Traffic<'_> {
        let bytes = bytes + child.driver().framing_len();
        self.0.traffic(2 * UPLINK, bytes as usize)
    }

    /// Counts a packet of `bytes` that goes into another child.
    pub(crate) fn count_sibling(&self, child: &Device<End>, bytes: u32) {
        let bytes = bytes + child.driver().framing_len();
        self.0.traffic(2 * SIBLING, bytes as usize).count();
    }

    /// The counters in the order of [`NAMES`].
    pub(super) fn values(&self) -> impl Iterator<Item = u64> + '_ {
        (0..WAYS).map(|way| self.0.sum(2 * way))
    }

    /// All that left by the shortcut.
    pub(super) fn total(&self) -> Traffic {
        (0..WAYS).fold(Traffic::default(), |sum, way| Traffic {
            packets: sum.packets + self.0.sum(2 * way),
            bytes: sum.bytes + self.0.sum(2 * way + 1),
        })
    }
}
