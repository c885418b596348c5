// SPDX-License-Identifier: GPL-2.0

//! Why an end drops packets, and how many it has dropped for each reason.

use crate::net::{percpu::Counters, skb::DropReason};
use kernel::prelude::*;

/// Why a packet did not get to the other end. The order is that of [`NAMES`].
#[derive(Clone, Copy)]
pub(super) enum Drop {
    /// The pair is being taken down.
    NoPeer,
    /// The other end is down.
    PeerDown,
    /// It is shorter than the header it must begin with.
    TooShort,
    /// In mode l3: it is neither IPv4 nor IPv6.
    NotIp,
    /// In mode l3: the header is of another version than the packet's protocol.
    BadHeader,
    /// It is longer than the other end's MTU.
    TooLong,
    /// There was no memory to copy what its sender owns.
    NoMemory,
    /// It comes from the child, and the parent's routes lead elsewhere for its source.
    Spoofed,
}

/// The names of the counters, for `ethtool -S`.
pub(super) const NAMES: [&CStr; 8] = [
    c"tx_drop_no_peer",
    c"tx_drop_peer_down",
    c"tx_drop_too_short",
    c"tx_drop_not_ip",
    c"tx_drop_bad_header",
    c"tx_drop_too_long",
    c"tx_drop_no_memory",
    c"tx_drop_spoofed",
];

impl Drop {
    /// The kernel's word for it.
    pub(super) fn reason(self) -> DropReason {
        match self {
            Self::NoPeer | Self::PeerDown => DropReason::DEV_READY,
            Self::TooShort => DropReason::PKT_TOO_SMALL,
            Self::NotIp => DropReason::UNHANDLED_PROTO,
            Self::BadHeader => DropReason::IP_INHDR,
            Self::TooLong => DropReason::PKT_TOO_BIG,
            Self::NoMemory => DropReason::NOMEM,
            Self::Spoofed => DropReason::IP_RPFILTER,
        }
    }
}

/// An end's counters of packets that it was given to send and dropped. Each packet counts once,
/// here and nowhere else: the device's `tx_dropped` is their sum.
pub(super) struct Drops(Counters<{ NAMES.len() }>);

impl Drops {
    /// All 0. May sleep. Fails with `ENOMEM`.
    pub(super) fn new() -> Result<Self> {
        Counters::new().map(Self)
    }

    /// Counts a packet that was dropped. Callable with softirqs disabled.
    pub(super) fn count(&self, drop: Drop) {
        self.0.increment(drop as usize);
    }

    /// The counters in the order of [`NAMES`].
    pub(super) fn values(&self) -> impl Iterator<Item = u64> + '_ {
        (0..NAMES.len()).map(|index| self.0.sum(index))
    }

    /// All that were dropped.
    pub(super) fn total(&self) -> u64 {
        self.values().sum()
    }
}
