// SPDX-License-Identifier: GPL-2.0

//! By which numbers the sockets of addresses are found.
//!
//! The number of an address is the same for each packet, and takes as long to work out as the search
//! itself; by IPv6 longer.
//!
//! C headers: `include/net/ip.h`, `include/net/ipv6.h`.

use super::{ipv6::Address, jiffies::moment, namespace::Namespace, once::Once16, once::Once64};
use crate::net::bindings;
use core::{array, num::NonZeroU32, ptr};

/// The number of an address, if it is known.
#[derive(Clone, Copy)]
pub(crate) struct SocketNumber(Option<NonZeroU32>);

impl SocketNumber {
    /// It has to be found out.
    pub(crate) const UNKNOWN: Self = Self(None);

    /// That of an IPv6 address in a namespace. C: `ipv6_portaddr_hash()`.
    pub(crate) fn of_ipv6(address: Address, namespace: &Namespace) -> Self {
        // SAFETY: the namespace exists, and an address is as it is on the wire.
        let number = unsafe {
            let address = ptr::from_ref(&address).cast();
            bindings::passthru_helper_udp6_hash(namespace.as_raw(), address)
        };
        Self(NonZeroU32::new(number))
    }

    /// The number. One that is zero is never known.
    #[inline(always)]
    pub(super) fn get(self) -> Option<u32> {
        self.0.map(NonZeroU32::get)
    }

    /// What [`Self::from_note`] makes the same of.
    pub(crate) fn to_note(self) -> u64 {
        self.get().unwrap_or(0).into()
    }

    /// The number in whose note this is.
    #[inline(always)]
    pub(crate) fn from_note(note: u64) -> Self {
        Self(NonZeroU32::new(note as u32))
    }
}

/// Addresses of each version of IP that are remembered.
const PLACES: usize = 8;

const ODD: u64 = 0x9e37_79b9_7f4a_7c15;

/// The numbers of a few addresses. Each is in one word with what tells the address, so that no lock
/// is needed. Where chance has two addresses of a child tell the same, once in four thousand million
/// times, a search for sockets of the one begins at the wrong place, and finds none.
pub(crate) struct AddressHashes {
    ipv4: [Once64; PLACES],
    ipv6: [Once64; PLACES],
    /// The moment of the last change: other CPUs read these for each packet.
    changed: Once16,
}

impl AddressHashes {
    /// Nothing is known.
    pub(crate) fn new() -> Self {
        Self {
            ipv4: array::from_fn(|_| Once64::new(0)),
            ipv6: array::from_fn(|_| Once64::new(0)),
            changed: Once16::new(0),
        }
    }

    /// The number of an IPv4 address in a namespace, if it is remembered.
    #[inline(always)]
    pub(super) fn of_ipv4(&self, address: u32, namespace: &Namespace) -> Option<u32> {
        self.get(&self.ipv4, ipv4_place(address, namespace))
    }

    /// As [`Self::of_ipv4`], for an IPv6 address.
    #[inline(always)]
    pub(super) fn of_ipv6(&self, address: Address, namespace: &Namespace) -> Option<u32> {
        self.get(&self.ipv6, ipv6_place(address, namespace))
    }

    /// Remembers the number of an IPv4 address in a namespace.
    pub(super) fn note_ipv4(&self, address: u32, namespace: &Namespace, number: u32) {
        self.note(&self.ipv4, ipv4_place(address, namespace), number);
    }

    /// As [`Self::note_ipv4`], for an IPv6 address.
    pub(super) fn note_ipv6(&self, address: Address, namespace: &Namespace, number: u32) {
        self.note(&self.ipv6, ipv6_place(address, namespace), number);
    }

    #[inline(always)]
    fn get(&self, words: &[Once64; PLACES], (place, tag): (usize, u32)) -> Option<u32> {
        let word = words[place % PLACES].read();
        ((word >> 32) as u32 == tag).then_some(word as u32)
    }

    fn note(&self, words: &[Once64; PLACES], (place, tag): (usize, u32), number: u32) {
        let now = moment();
        if self.changed.read() != now {
            self.changed.write(now);
            words[place % PLACES].write(u64::from(tag) << 32 | u64::from(number));
        }
    }
}

/// Which word is an address's, and what tells it there. Another namespace has other numbers.
#[inline(always)]
fn ipv4_place(address: u32, namespace: &Namespace) -> (usize, u32) {
    let last_byte = u32::from_be(address) as usize;
    (last_byte, address ^ namespace.hash_mix())
}

/// As [`ipv4_place`], of the bits of a product that depend on all others.
#[inline(always)]
fn ipv6_place([high, low]: Address, namespace: &Namespace) -> (usize, u32) {
    let mixed = (high.wrapping_mul(ODD) ^ low).wrapping_mul(ODD);
    let tag = (mixed >> 32) as u32 ^ namespace.hash_mix();
    ((mixed >> 61) as usize, tag)
}
