// SPDX-License-Identifier: GPL-2.0

//! Whether it pays to look for a datagram's socket before its protocol does.
//!
//! A connected socket is found for less by who asks for nothing else, and one that is not connected
//! is not found so at all: then the protocol looks once more. Most ports have sockets of one kind,
//! and many children have none that are connected: there one datagram now and then is a trial, the
//! less often the more of them were in vain. Of thousands of children that get little each there would
//! be many.

use crate::net::{
    jiffies::{jiffies, moment, MOMENT},
    once::{Once16, Once32, OnceAddress},
};
use core::array;

/// Ports that are told apart.
const PORTS: usize = 32;

/// Misses without a hit between them after which there are trials only.
const CREDIT: u32 = 64;

/// How many times the time between trials is doubled at most.
const LONGEST: u32 = 2;

/// What is known of a child's connected sockets.
pub(crate) struct Demux {
    /// Until when none is looked for, in jiffies.
    off_until: OnceAddress,
    /// How many times the time between trials is doubled.
    doubled: Once32,
    /// Misses that may come yet. None, while there are trials only.
    credit: Once32,
    /// The moment of the last miss, by port.
    missed: [Once16; PORTS],
}

impl Demux {
    /// None was looked for yet.
    pub(super) fn new() -> Self {
        Self {
            off_until: OnceAddress::new(0),
            doubled: Once32::new(0),
            credit: Once32::new(0),
            missed: array::from_fn(|_| Once16::new(0)),
        }
    }

    /// Whether none is to be looked for now. Callable in any context. C: `time_before()`.
    #[inline(always)]
    pub(crate) fn is_off(&self) -> bool {
        (jiffies().wrapping_sub(self.off_until.read()) as isize) < 0
    }

    /// Whether one is worth looking for, where none is off, for a datagram to a port that ends in
    /// `port`: it is a trial, of which the next one is due a moment later or more, or there was no miss
    /// a moment ago. Callable in any context.
    pub(crate) fn pays(&self, port: u8) -> bool {
        if self.credit.read() == 0 {
            self.turn_off();
            return true;
        }
        self.missed[usize::from(port) % PORTS].read() != moment()
    }

    /// Notes that one was found. Callable in any context.
    #[inline(always)]
    pub(crate) fn hit(&self) {
        // Other CPUs read the line for each packet.
        if self.credit.read() != CREDIT {
            self.credit.write(CREDIT);
            self.doubled.write(0);
            self.off_until.write(jiffies());
        }
    }

    /// Notes that there was none, as for [`Self::pays`]. Callable in any context.
    #[cold]
    pub(crate) fn miss(&self, port: u8) {
        self.missed[usize::from(port) % PORTS].write(moment());
        self.miss_at_all();
    }

    /// As [`Self::miss`], where all ports are worth looking for.
    #[cold]
    pub(crate) fn miss_at_all(&self) {
        let credit = self.credit.read();
        if credit == 0 {
            let doubled = self.doubled.read();
            self.doubled.write((doubled + 1).min(LONGEST));
        } else {
            self.credit.write(credit - 1);
        }
        if credit <= 1 {
            self.turn_off();
        }
    }

    fn turn_off(&self) {
        let pause = MOMENT << self.doubled.read();
        self.off_until.write(jiffies().wrapping_add(pause));
    }
}
