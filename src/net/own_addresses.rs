// SPDX-License-Identifier: GPL-2.0

//! Which IPv4 addresses are not a namespace's own.
//!
//! To ask the kernel takes three hundred instructions where the answer is no, which it is for nearly
//! every packet.
//!
//! C header: `include/linux/inetdevice.h`.

use super::{
    context::{BottomHalf, ReadSide},
    jiffies::jiffies,
    namespace::Namespace,
    once::{read_barrier, Once32, Once64, OnceAddress, Sequence},
};
use core::array;

/// Words of bits. With a dozen addresses one in forty others is taken for one of them.
const WORDS: usize = 8;

/// Devices of a namespace that are gone through, and addresses: how many there are whoever
/// administers it says, and its parent's packets wait meanwhile. Where there are more the kernel is
/// asked for each source.
const MOST_DEVICES: usize = 1024;
const MOST_ADDRESSES: usize = 256;

/// The addresses of a namespace at a time, in a way that tells of most others that they are none.
pub(crate) struct OwnAddresses {
    sequence: Sequence,
    /// The generation of addresses in which this is so.
    generation: Once32,
    /// Whose they are, by its cookie.
    namespace: Once64,
    /// When they were last gone through.
    renewed: OnceAddress,
    bits: [Once64; WORDS],
}

/// Which word and which bit of it stands for an address.
#[inline(always)]
fn place(address: u32) -> (usize, u64) {
    let hash = address.wrapping_mul(0x9e37_79b1);
    ((hash >> 29) as usize % WORDS, 1 << (hash >> 23 & 63))
}

impl OwnAddresses {
    /// Nothing is known.
    pub(crate) fn new() -> Self {
        Self {
            sequence: Sequence::new(),
            generation: Once32::new(0),
            namespace: Once64::new(0),
            renewed: OnceAddress::new(0),
            bits: array::from_fn(|_| Once64::new(u64::MAX)),
        }
    }

    /// Whether `address` is the namespace's own. It may be told so of others in a network that is, which
    /// the caller must be able to bear. C: `inet_lookup_ifaddr_rcu()`.
    pub(crate) fn include(&self, address: u32, namespace: &Namespace, bh: BottomHalf<'_>) -> bool {
        self.may_include(address, namespace, bh) && namespace.holds_ipv4(address, bh.read_side())
    }

    /// Whether it may be.
    #[inline(always)]
    fn may_include(&self, address: u32, namespace: &Namespace, bh: BottomHalf<'_>) -> bool {
        let begin = self.sequence.begin();
        let (word, bit) = place(address);
        let current = self.generation.read() == namespace.ipv4_addresses_generation()
            && self.namespace.read() == namespace.cookie();
        let set = self.bits[word].read() & bit != 0;
        if current && self.sequence.unchanged_since(begin) {
            return set;
        }
        self.renew(namespace, bh);
        true
    }

    /// Goes through the addresses, but not more than once a tick: changes may come faster.
    #[cold]
    #[inline(never)]
    fn renew(&self, namespace: &Namespace, bh: BottomHalf<'_>) {
        let now = jiffies();
        if self.renewed.read() == now || !self.sequence.try_write() {
            return;
        }
        // Before the addresses are read: what is added then changes it.
        let generation = namespace.ipv4_addresses_generation();
        read_barrier();
        self.renewed.write(now);
        self.fill(0);
        let all = namespace.each_ipv4_address(bh.read_side(), |address| {
            let (word, bit) = place(address);
            self.bits[word].write(self.bits[word].read() | bit);
        });
        if !all {
            self.fill(u64::MAX);
        }
        self.generation.write(generation);
        self.namespace.write(namespace.cookie());
        self.sequence.end_write();
    }

    fn fill(&self, value: u64) {
        self.bits.iter().for_each(|word| word.write(value));
    }
}

impl Namespace {
    /// A number that changes with each change of addresses, after it was made.
    #[inline(always)]
    fn ipv4_addresses_generation(&self) -> u32 {
        // SAFETY: the namespace exists; a single load.
        let counter =
            unsafe { (&raw const (*self.as_raw()).ipv4.dev_addr_genid.counter).read_volatile() };
        counter as u32
    }

    /// Tells of each address of each device; whether these were all.
    /// C: `for_each_netdev_rcu()`, `in_dev_for_each_ifa_rcu()`.
    fn each_ipv4_address(&self, rcu: ReadSide<'_>, mut tell: impl FnMut(u32)) -> bool {
        let mut left = MOST_ADDRESSES;
        for (number, dev) in self.devices_rcu(rcu).enumerate() {
            if number == MOST_DEVICES {
                return false;
            }
            // SAFETY: the device exists; what it points to, by single loads, is freed after a grace
            // period, and this is a read-side critical section.
            unsafe {
                let in_dev = (&raw const (*dev.as_raw()).ip_ptr).read_volatile();
                if in_dev.is_null() {
                    continue;
                }
                let mut address = (&raw const (*in_dev).ifa_list).read_volatile();
                while !address.is_null() {
                    if left == 0 {
                        return false;
                    }
                    left -= 1;
                    tell((*address).ifa_local);
                    address = (&raw const (*address).ifa_next).read_volatile();
                }
            }
        }
        true
    }
}
