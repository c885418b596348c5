// SPDX-License-Identifier: GPL-2.0

//! Whether it pays to look for a datagram's socket before its protocol does.
//!
//! A connected socket is found for less by who asks for nothing else, and one that is not connected
//! is not found so at all: then the protocol looks once more. Most ports have sockets of one kind,
//! and many children have none that are connected: there one datagram now and then is a trial. Of
//! thousands of children that get little each every datagram might be one, so trials are few in all.

use crate::net::{
    address_hashes::AddressHashes,
    jiffies::{jiffies, moment, MOMENT},
    once::{Once16, Once32, OnceAddress},
};
use core::{array, ptr};

/// Trials in a moment, of all children together.
const TRIALS: u32 = 128;

/// How long who is refused a trial does without, in jiffies.
const REFUSED: usize = 8 * MOMENT;

/// How many there were in a moment. CPUs may count less than there were: they are few all the same.
struct Trials {
    moment: Once16,
    done: Once32,
}

impl Trials {
    /// Whether there may be one more.
    fn take(&self) -> bool {
        let now = moment();
        if self.moment.read() != now {
            self.moment.write(now);
            self.done.write(0);
        }
        let done = self.done.read();
        if done >= TRIALS {
            return false;
        }
        self.done.write(done + 1);
        true
    }
}

static ALL_TRIALS: Trials = Trials {
    moment: Once16::new(0),
    done: Once32::new(0),
};

/// Ports that are told apart.
const PORTS: usize = 32;

/// Misses without a hit between them after which there are trials only.
const CREDIT: u32 = 64;

/// What is known of a child's connected sockets.
pub(crate) struct Demux {
    /// Until when none is looked for, in jiffies; or [`SURE`].
    off_until: OnceAddress,
    /// Misses that may come yet. None, while there are trials only.
    credit: Once32,
    /// The moment of the last miss, by port and of all.
    missed: [Once16; PORTS],
    missed_any: Once16,
    hashes: AddressHashes,
}

/// Nothing was missed in this moment or since, so there is nothing else to ask. A time that has passed:
/// the kernel begins to count later.
const SURE: usize = 0;

/// What is to be expected of a search.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outlook {
    /// None is to be looked for now.
    Off,
    /// That has to be asked, with the datagram's port.
    Open,
    /// The datagrams of the child have sockets that are connected.
    Sure,
}

impl Demux {
    /// None was looked for yet.
    pub(super) fn new() -> Self {
        Self {
            off_until: OnceAddress::new(jiffies()),
            credit: Once32::new(0),
            missed: array::from_fn(|_| Once16::new(0)),
            missed_any: Once16::new(0),
            hashes: AddressHashes::new(),
        }
    }

    /// Hashes of the child's addresses.
    #[inline(always)]
    pub(crate) fn hashes(&self) -> &AddressHashes {
        &self.hashes
    }

    /// What is to be expected. Callable in any context. C: `time_before()`.
    #[inline(always)]
    pub(crate) fn outlook(&self) -> Outlook {
        let off_until = self.off_until.read();
        if off_until == SURE {
            Outlook::Sure
        } else if (jiffies().wrapping_sub(off_until) as isize) < 0 {
            Outlook::Off
        } else {
            Outlook::Open
        }
    }

    /// Whether one is worth looking for where the outlook is open, for a datagram to a port that ends
    /// in `port`: as [`Self::pays_at_all`], and there was no miss a moment ago. Callable in any
    /// context.
    pub(crate) fn pays(&self, port: u8) -> bool {
        if self.credit.read() == 0 {
            return self.may_try();
        }
        self.missed[usize::from(port) % PORTS].read() != moment()
    }

    /// Whether one is worth looking for where the outlook is open: some were found, or it is a trial,
    /// of which the next one is due one or two moments later, or some more where there are too many.
    /// Callable in any context.
    #[inline(always)]
    pub(crate) fn pays_at_all(&self) -> bool {
        self.credit.read() != 0 || self.may_try()
    }

    #[cold]
    fn may_try(&self) -> bool {
        let may = ALL_TRIALS.take();
        let pause = if may { MOMENT } else { REFUSED };
        // Not always at the same time of a moment, or the same ones would always be too late.
        const ODD: usize = 0x9e37_79b9_7f4a_7c15;
        let mixed = (ptr::from_ref(self) as usize ^ jiffies()).wrapping_mul(ODD) >> 32;
        self.turn_off_for(pause + mixed % pause);
        may
    }

    /// Notes that one was found, where the outlook was open. Callable in any context.
    #[inline(always)]
    pub(crate) fn hit(&self) {
        // Other CPUs read the line for each packet.
        if self.credit.read() != CREDIT {
            self.credit.write(CREDIT);
            self.off_until.write(jiffies());
        } else if self.missed_any.read() != moment() {
            self.off_until.write(SURE);
        }
    }

    /// Notes that there was none. Callable in any context.
    #[cold]
    pub(crate) fn miss(&self, port: u8) {
        let now = moment();
        self.missed[usize::from(port) % PORTS].write(now);
        self.missed_any.write(now);
        let left = self.credit.read().saturating_sub(1);
        self.credit.write(left);
        match self.outlook() {
            // After a trial it is so already, for longer.
            Outlook::Off => {}
            _ if left == 0 => self.turn_off(),
            Outlook::Sure => self.off_until.write(jiffies()),
            Outlook::Open => {}
        }
    }

    /// As [`Self::miss`], where it is looked for whatever was missed a moment ago: that is noted once in
    /// a moment for each port, as other CPUs read it.
    #[cold]
    pub(crate) fn miss_again(&self, port: u8) {
        if self.missed[usize::from(port) % PORTS].read() != moment() {
            self.miss(port);
        }
    }

    /// Whoever has none looked for does not need trials. Callable in any context.
    #[cold]
    pub(crate) fn turn_off(&self) {
        self.turn_off_for(MOMENT);
    }

    fn turn_off_for(&self, jiffies_off: usize) {
        self.off_until.write(jiffies().wrapping_add(jiffies_off));
    }
}
