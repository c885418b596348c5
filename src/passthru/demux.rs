// SPDX-License-Identifier: GPL-2.0

//! Whether it pays to look for a datagram's socket before its protocol does.
//!
//! A connected socket is found for less by who asks for nothing else, and one that is not connected
//! is not found so at all: then the protocol looks once more. Most ports have sockets of one kind,
//! and many children have none that are connected.

use crate::net::{
    jiffies::moment,
    once::{Once16, Once32},
};
use core::array;

/// Ports that are told apart.
const PORTS: usize = 32;

/// Misses without a hit between them after which none is looked for any more.
const CREDIT: u32 = 64;

/// What is known of a child's connected sockets.
pub(crate) struct Demux {
    /// Misses that may come yet. None, while no connected socket was found.
    credit: Once32,
    /// The moment of the last miss, by port.
    missed: [Once16; PORTS],
}

impl Demux {
    /// None was found yet.
    pub(super) fn new() -> Self {
        Self {
            credit: Once32::new(0),
            missed: array::from_fn(|_| Once16::new(0)),
        }
    }

    /// Whether there may be any. Callable in any context.
    #[inline(always)]
    pub(crate) fn is_on(&self) -> bool {
        self.credit.read() != 0
    }

    /// Whether one is worth looking for, for a datagram to a port that ends in `port`: there was no
    /// miss a moment ago. Callable in any context.
    #[inline(always)]
    pub(crate) fn pays(&self, port: u8) -> bool {
        self.missed[usize::from(port) % PORTS].read() != moment()
    }

    /// Notes that one was found. Callable in any context.
    #[inline(always)]
    pub(crate) fn hit(&self) {
        // Other CPUs read the line for each packet.
        if self.credit.read() != CREDIT {
            self.credit.write(CREDIT);
        }
    }

    /// Notes that there was none, as for [`Self::pays`]. Callable in any context.
    #[cold]
    pub(crate) fn miss(&self, port: u8) {
        self.missed[usize::from(port) % PORTS].write(moment());
        self.credit.write(self.credit.read().saturating_sub(1));
    }
}
