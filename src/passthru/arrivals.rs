// SPDX-License-Identifier: GPL-2.0

//! How packets came to a child by shortcuts, and why others, to it or from it, did not take one.

use crate::{
    net::percpu::{self, Counters},
    shortcut::{self, Set, Shortcut},
};
use kernel::prelude::*;

/// Why a packet that had come to a place where its port allows a shortcut went on instead.
#[derive(Clone, Copy)]
pub(crate) enum Fall {
    /// It may be the first packet of its connection: the parent's rules have to see it.
    Unconfirmed,
    /// Something is done to its connection's packets after routing: source translation, a helper.
    Unsettled,
    /// It is longer than the pair's MTU, or that of the route it would leave by: the parent has to say
    /// so, or to cut it up.
    TooLong,
    /// The parent tracks connections, and is to see the packet: it may not know this one yet.
    Tracked,
    /// What the child sends is for the parent itself.
    Parents,
    /// The parent's routes refuse what the child sends, or tell more of it than can be remembered;
    /// or it cannot be judged at all.
    Unrouted,
    /// It has gone through too many namespaces at once.
    Nested,
    /// Something on the port has to see the packet: traffic control, a queue, hooks, XDP; or the port
    /// would take it apart, or finish its sum.
    PortTc,
    /// It is a fragment, or has options or extension headers.
    Header,
}

/// Places, then reasons; for each place packets and bytes.
const PLACES: usize = shortcut::COUNT;
const REASONS: usize = 9;

/// The names of the counters, for `ethtool -S`.
pub(super) const NAMES: [&CStr; PLACES + REASONS] = [
    c"rx_device",
    c"rx_route",
    c"rx_netfilter",
    c"rx_socket",
    c"rx_sibling",
    c"fall_unconfirmed",
    c"fall_unsettled",
    c"fall_too_long",
    c"fall_tracked",
    c"fall_parents",
    c"fall_unrouted",
    c"fall_nested",
    c"fall_port_tc",
    c"fall_header",
];

/// What came or went, of all CPUs together.
#[derive(Default)]
pub(crate) struct Traffic {
    /// How many packets.
    pub(crate) packets: u64,
    /// How many bytes, link layer headers of the mode among them.
    pub(crate) bytes: u64,
}

/// The counters of a pair, kept at its child: each packet that takes a shortcut counts once, here
/// and nowhere else. What the devices say of themselves has it added.
pub(crate) struct Arrivals(Counters<{ 2 * PLACES + REASONS }>);

impl Arrivals {
    /// All 0. May sleep. Fails with `ENOMEM`.
    pub(super) fn new() -> Result<Self> {
        Counters::new().map(Self)
    }

    /// A packet that takes a shortcut, to be counted where it is made the child's.
    #[inline(always)]
    pub(crate) fn traffic(&self, place: Shortcut, bytes: usize) -> percpu::Traffic<'_> {
        self.0.traffic(2 * Set::index(place), bytes)
    }

    /// Counts a packet that goes on.
    pub(crate) fn count_fall(&self, fall: Fall) {
        self.0.increment(2 * PLACES + fall as usize);
    }

    /// The counters in the order of [`NAMES`].
    pub(super) fn values(&self) -> impl Iterator<Item = u64> + '_ {
        let places = (0..PLACES).map(|place| self.0.sum(2 * place));
        let reasons = (0..REASONS).map(|reason| self.0.sum(2 * PLACES + reason));
        Iterator::chain(places, reasons)
    }

    /// All that came by shortcuts.
    pub(super) fn total(&self) -> Traffic {
        (0..PLACES).fold(Traffic::default(), |sum, place| Traffic {
            packets: sum.packets + self.0.sum(2 * place),
            bytes: sum.bytes + self.0.sum(2 * place + 1),
        })
    }
}
