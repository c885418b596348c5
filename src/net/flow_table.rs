// SPDX-License-Identifier: GPL-2.0

//! A bounded table of what was found out about flows of packets: to which device one goes and by
//! which route.
//!
//! Reading takes no lock, writes no line that another CPU reads, and never waits. An entry is
//! overwritten in place, so the table never grows and inserting allocates nothing.

use super::{
    context::{with_bottom_halves_disabled, without_preemption, BottomHalf, ReadSide, Rtnl},
    device::Device,
    driver::Driver,
    dst::{Dst, HeldDst},
    jiffies::jiffies,
    once::{full_barrier, Once32, Once64, OnceAddress, Sequence},
};
use crate::net::bindings;
use core::{array, marker::PhantomData, ptr, ptr::NonNull};
use kernel::{alloc::KVVec, prelude::*};

/// Entries that a flow can be in: two whose indices differ in the lowest bit only, and two more that
/// have nothing to do with these. With a quarter as many flows as entries, or half, all but some have a
/// free one: of four that lie together those of many would be taken by others. (The pairs of a flow may
/// be the same one by chance.)
const WAYS: usize = 4;

/// Words of a key that are multiplied with each other.
const MULTIPLIED: usize = 4;

/// What identifies a flow, and under which circumstances what was found out holds. An entry whose
/// key differs in any bit is not found: circumstances that change make entries unreachable.
/// The flow is in the first `HASHED` words; the first one is that in which most flows differ.
#[derive(Clone, Copy)]
pub(crate) struct Key<const K: usize, const HASHED: usize> {
    words: [u64; K],
    /// The part of the last word that is a count.
    count: u64,
}

impl<const K: usize, const HASHED: usize> Key<K, HASHED> {
    /// A key of which no part is a count.
    #[inline(always)]
    pub(crate) fn new(words: [u64; K]) -> Self {
        Self { words, count: 0 }
    }

    /// A key with a count of what changes for all flows at once, in the upper half of the last
    /// word. A count that has passed never comes back, so an entry with another one than a new
    /// key's only takes up room.
    #[inline(always)]
    pub(crate) fn counted(words: [u64; K]) -> Self {
        let count = u64::MAX << 32;
        Self { words, count }
    }

    /// A key that is the same for whatever is in the lower half of a word.
    pub(crate) fn without_low_half(mut self, index: usize) -> Self {
        self.words[index] &= u64::MAX << 32;
        self
    }

    /// All of the key.
    #[inline(always)]
    pub(super) fn words(&self) -> &[u64; K] {
        &self.words
    }

    /// Whether the last word of another key has another count.
    pub(super) fn has_passed(&self, last: u64) -> bool {
        (last ^ self.words[K - 1]) & self.count != 0
    }

    /// A number to find the key's place by. The seeds keep others from choosing keys that collide.
    ///
    /// Two words make one product, both halves of which count: one multiplication mixes them. Of
    /// more than four words the last ones, which differ in a few ways only, take part with the first.
    /// But addresses in sequence make a sequence of products, which with some seeds comes back to the
    /// same places again and again; one more multiplication, of all bits, breaks that up.
    #[inline(always)]
    pub(super) fn hash(&self, seeds: &[u64; K]) -> usize {
        let mixed = mix(self.seeded(0, seeds), self.seeded(1, seeds));
        self.hash_by(mixed, seeds)
    }

    /// As [`Self::hash`], where what [`mix`] makes of the first words is known. A word that is left
    /// over is multiplied by a seed.
    #[inline(always)]
    fn hash_by(&self, mixed: u64, seeds: &[u64; K]) -> usize {
        const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
        const {
            assert!(HASHED >= 2 && HASHED <= K && HASHED <= 2 * MULTIPLIED);
            assert!(HASHED % 2 == 0 || HASHED < MULTIPLIED && HASHED < K);
        };
        let mut hash = mixed;
        for index in (2..HASHED.min(MULTIPLIED)).step_by(2) {
            let word = self.seeded(index, seeds);
            hash ^= if index + 1 < HASHED {
                mix(word, self.seeded(index + 1, seeds))
            } else {
                word.wrapping_mul(seeds[index + 1])
            };
        }
        ((hash ^ hash >> 32).wrapping_mul(ODD) >> 16) as usize
    }

    /// A word, with the one that takes part with it, and with its seed, which is odd.
    #[inline(always)]
    fn seeded(&self, index: usize, seeds: &[u64; K]) -> u64 {
        // So that nobody can make up for a change of the one by one of the other.
        let with = index + MULTIPLIED;
        let more = if with < HASHED {
            self.words[with].wrapping_mul(seeds[with])
        } else {
            0
        };
        self.words[index] ^ more ^ seeds[index]
    }
}

/// Both halves of a product.
#[inline(always)]
fn mix(word: u64, other: u64) -> u64 {
    let product = u128::from(word) * u128::from(other);
    (product >> 64) as u64 ^ product as u64
}

/// Where a key is looked for in a table, for who asks that more than once.
#[derive(Clone, Copy)]
pub(crate) struct Place(usize);

impl Place {
    /// The index of an entry, of which the lowest bits count.
    #[inline(always)]
    fn way(self, way: usize) -> usize {
        // Bits by which the first two are not found, in tables of up to 2 to the power of this entries.
        const OTHERS: u32 = 17;
        let pair = if way < WAYS / 2 {
            self.0
        } else {
            self.0 >> OTHERS
        };
        pair ^ way % (WAYS / 2)
    }
}

/// What is known of a flow, for an RCU read-side critical section.
pub(crate) struct Flow<'r, D, const N: usize> {
    /// The device that the flow goes to, if to one of driver `D`.
    pub(crate) dev: Option<&'r Device<D>>,
    /// The route of the flow behind that device, or all there is.
    pub(crate) dst: Dst<'r>,
    /// The route of the flow before that device, where it matters.
    pub(crate) near: Option<Dst<'r>>,
    /// What else was noted.
    pub(crate) notes: [u64; N],
}

/// One entry.
///
/// # Invariants
///
/// `dev` is null or a device of driver `D` to which the entry holds a reference; so do `dst` and
/// `near` for routes. The entry is empty where `dst` is null, and then all are.
#[repr(C, align(64))]
struct Slot<D, const K: usize, const N: usize> {
    words: [Once64; K],
    sequence: Sequence,
    /// Tells a flow that came by here and found no place, until the next one does. It belongs to
    /// the place and not to what is in it.
    sighted: Once32,
    dev: OnceAddress,
    dst: OnceAddress,
    near: OnceAddress,
    notes: [Once64; N],
    driver: PhantomData<D>,
}

impl<D: Driver, const K: usize, const N: usize> Slot<D, K, N> {
    fn new() -> Self {
        Self {
            words: array::from_fn(|_| Once64::new(0)),
            sequence: Sequence::new(),
            sighted: Once32::new(0),
            dev: OnceAddress::new(0),
            dst: OnceAddress::new(0),
            near: OnceAddress::new(0),
            notes: array::from_fn(|_| Once64::new(0)),
            driver: PhantomData,
        }
    }

    /// Begins to read the entry, if it is the one for `key`.
    #[inline(always)]
    fn begin_if_for<const HASHED: usize>(&self, key: &Key<K, HASHED>) -> Option<u32> {
        let begin = self.sequence.begin();
        (self.words[0].read() == key.words[0] && self.has_rest(key)).then_some(begin)
    }

    /// Whether the entry, which has the first word of `key`, has all others.
    #[inline(always)]
    fn has_rest<const HASHED: usize>(&self, key: &Key<K, HASHED>) -> bool {
        // All differences at once: one branch for the flow that is there.
        let mut differs = 0;
        // A loop over numbers is unrolled for any length; adaptors are not always inlined.
        #[allow(clippy::needless_range_loop)]
        for index in 1..K {
            differs |= self.words[index].read() ^ key.words[index];
        }
        differs == 0
    }

    /// Whether the entry is for `key`, where that is unlikely: most differ soon.
    #[inline(always)]
    fn has_after_all<const HASHED: usize>(&self, key: &Key<K, HASHED>) -> bool {
        #[allow(clippy::needless_range_loop)]
        for index in 0..K {
            if self.words[index].read() != key.words[index] {
                return false;
            }
        }
        true
    }

    /// Whether the entry can be filled for `key` without driving out one that may be found again.
    fn is_for<const HASHED: usize>(&self, key: &Key<K, HASHED>) -> bool {
        self.dst.read() == 0 || key.has_passed(self.words[K - 1].read()) || self.has_after_all(key)
    }

    /// What the entry says, once [`Self::begin_if_for`] has begun to read it.
    #[inline(always)]
    fn finish<'r>(&self, begin: u32, rcu: ReadSide<'r>) -> Option<Flow<'r, D, N>> {
        let dev = self.dev.read() as *const bindings::net_device;
        let dst = self.dst.read() as *mut bindings::dst_entry;
        let near = NonNull::new(self.near.read() as *mut bindings::dst_entry);
        let notes = array::from_fn(|index| self.notes[index].read());
        if !self.sequence.unchanged_since(begin) {
            return None;
        }
        let dst = NonNull::new(dst)?;
        // SAFETY: what was read belongs together, so by the type's invariant the entry held
        // references to all of it while `rcu` lasted. They are released by `clear()` at the
        // earliest now; routes are then freed after a grace period, and devices too, because
        // entries are purged before the kernel waits for readers of a device that goes.
        unsafe {
            Some(Flow {
                dev: (!dev.is_null()).then(|| Device::from_raw(dev)),
                dst: Dst::from_raw(dst, rcu),
                near: near.map(|near| Dst::from_raw(near, rcu)),
                notes,
            })
        }
    }

    /// Empties the entry, which the caller has locked.
    fn clear(&self) {
        let (dev, dst, near) = (self.dev.read(), self.dst.read(), self.near.read());
        self.dev.write(0);
        self.dst.write(0);
        self.near.write(0);
        // SAFETY: by the type's invariant these are references of the entry, which are gone from
        // it. Both functions take a null pointer.
        unsafe {
            bindings::dst_release(dst as *mut bindings::dst_entry);
            bindings::dst_release(near as *mut bindings::dst_entry);
            bindings::passthru_helper_dev_put(dev as *mut bindings::net_device);
        }
    }

    /// Overwrites the entry, which the caller has locked.
    fn fill<const HASHED: usize>(&self, key: &Key<K, HASHED>, found: Found<'_, D, N>) {
        self.clear();
        for (ours, theirs) in self.words.iter().zip(&key.words) {
            ours.write(*theirs);
        }
        for (ours, theirs) in self.notes.iter().zip(&found.notes) {
            ours.write(*theirs);
        }
        let near = found.near.map_or(ptr::null_mut(), HeldDst::into_raw);
        let dev = found.dev.map_or(ptr::null_mut(), |dev| dev.as_raw());
        // SAFETY: the device exists, or the pointer is null, which the function takes too.
        unsafe { bindings::passthru_helper_dev_hold(dev) };
        // INVARIANT: one reference to each of them.
        self.near.write(near as usize);
        self.dst.write(found.dst.into_raw() as usize);
        self.dev.write(dev as usize);
    }
}

impl<D, const K: usize, const N: usize> Drop for Slot<D, K, N> {
    fn drop(&mut self) {
        // SAFETY: as in `clear()`; nobody else has access any more.
        unsafe {
            bindings::dst_release(self.dst.read() as *mut bindings::dst_entry);
            bindings::dst_release(self.near.read() as *mut bindings::dst_entry);
            bindings::passthru_helper_dev_put(self.dev.read() as *mut bindings::net_device);
        }
    }
}

/// What is to be remembered of a flow.
pub(crate) struct Found<'a, D, const N: usize> {
    /// As in [`Flow`].
    pub(crate) dev: Option<&'a Device<D>>,
    /// As in [`Flow`].
    pub(crate) dst: HeldDst,
    /// As in [`Flow`].
    pub(crate) near: Option<HeldDst>,
    /// As in [`Flow`].
    pub(crate) notes: [u64; N],
}

/// The table. Dropping it needs that no reader is left.
pub(crate) struct FlowTable<D: Driver, const K: usize, const N: usize> {
    slots: KVVec<Slot<D, K, N>>,
    /// Not zero if anything was put in since the table was last emptied.
    filled: Once32,
    mask: usize,
    seeds: [u64; K],
}

impl<D: Driver, const K: usize, const N: usize> FlowTable<D, K, N> {
    /// A table with at least `size` entries, all empty. May sleep. Fails with `ENOMEM`.
    pub(crate) fn new(size: usize) -> Result<Self> {
        Self::with_seeds(size, seeds())
    }

    /// As [`Self::new`], with these [`seeds`]: what [`Self::mix`] says holds for all tables that have
    /// the same.
    pub(crate) fn with_seeds(size: usize, seeds: [u64; K]) -> Result<Self> {
        let slots = slots(size.max(WAYS), Slot::new)?;
        let mask = slots.len() - 1;
        Ok(Self {
            slots,
            filled: Once32::new(0),
            mask,
            seeds,
        })
    }

    /// Where `key` is looked for.
    #[inline(always)]
    pub(crate) fn place<const HASHED: usize>(&self, key: &Key<K, HASHED>) -> Place {
        Place(key.hash(&self.seeds))
    }

    /// What of a place is the same for all keys of up to four words that begin with these two. Nobody
    /// who does not know the seeds finds two beginnings of which it is the same.
    #[inline(always)]
    pub(crate) fn mix(&self, [first, second]: [u64; 2]) -> u64 {
        mix(first ^ self.seeds[0], second ^ self.seeds[1])
    }

    /// As [`Self::place`], for a key of whose beginning it is known what [`Self::mix`] says.
    #[inline(always)]
    pub(crate) fn place_by<const HASHED: usize>(&self, key: &Key<K, HASHED>, mixed: u64) -> Place {
        const { assert!(HASHED <= MULTIPLIED) };
        Place(key.hash_by(mixed, &self.seeds))
    }

    /// The entries where a key of this place can be, the most likely one first.
    #[inline(always)]
    fn ways(&self, place: Place) -> impl Iterator<Item = &Slot<D, K, N>> {
        (0..WAYS).map(move |way| self.slot(place.way(way)))
    }

    /// An entry, by a number of which the lowest bits count.
    #[inline(always)]
    fn slot(&self, index: usize) -> &Slot<D, K, N> {
        // SAFETY: `mask` is the number of slots less one.
        unsafe { self.slots.as_slice().get_unchecked(index & self.mask) }
    }

    /// What is known of the flow with this key. Callable under RCU, in any context.
    #[inline(always)]
    pub(crate) fn find<'r, const HASHED: usize>(
        &self,
        key: &Key<K, HASHED>,
        rcu: ReadSide<'r>,
    ) -> Option<Flow<'r, D, N>> {
        self.find_from(key, self.place(key), rcu)
    }

    /// As [`Self::find`], for a key whose place is known.
    #[inline(always)]
    pub(crate) fn find_from<'r, const HASHED: usize>(
        &self,
        key: &Key<K, HASHED>,
        place: Place,
        rcu: ReadSide<'r>,
    ) -> Option<Flow<'r, D, N>> {
        let first = self.slot(place.0);
        let (slot, begin) = match first.begin_if_for(key) {
            Some(begin) => (first, begin),
            None => self.begin_elsewhere(key, place)?,
        };
        slot.finish(begin, rcu)
    }

    /// The entry for this key, which is not the most likely one, and that it is begun to be read.
    #[inline(always)]
    fn begin_elsewhere<const HASHED: usize>(
        &self,
        key: &Key<K, HASHED>,
        place: Place,
    ) -> Option<(&Slot<D, K, N>, u32)> {
        seldom();
        // A loop, as in `Slot::has_rest()`.
        for way in 1..WAYS {
            let slot = self.slot(place.way(way));
            if let Some(begin) = slot.begin_if_for(key) {
                return Some((slot, begin));
            }
        }
        None
    }

    /// Whether a flow is worth being remembered: there is a place for it, or it has come by before.
    /// Who makes up flows that never come again drives nobody out, and costs little.
    pub(crate) fn wants<const HASHED: usize>(
        &self,
        key: &Key<K, HASHED>,
        bh: BottomHalf<'_>,
    ) -> bool {
        let place = self.place(key);
        self.ways(place).any(|slot| slot.is_for(key)) || self.comes_again(place, bh)
    }

    /// Whether the flow of this place was the last one of which this was asked, of those that are
    /// looked for in the same entry first.
    #[inline]
    pub(crate) fn comes_again(&self, place: Place, _bh: BottomHalf<'_>) -> bool {
        // The bits that the first entry is not found by; never zero, which stands for none.
        let tag = (place.0 >> self.mask.count_ones()) as u32 | 1;
        self.ways(place).next().is_some_and(|slot| {
            let again = slot.sighted.read() == tag;
            if !again {
                slot.sighted.write(tag);
            }
            again
        })
    }

    /// Whether a flow that is not known is worth a second look: because the first of its places is
    /// empty, or as [`Self::comes_again`] says. Touches nothing but that place.
    #[inline]
    pub(crate) fn invites(&self, place: Place, bh: BottomHalf<'_>) -> bool {
        let mut ways = self.ways(place);
        ways.next().is_some_and(|slot| slot.dst.read() == 0) || self.comes_again(place, bh)
    }

    /// Remembers what was found out about a flow, or not, where another CPU is just writing there.
    ///
    /// `holds` must tell whether what was found out still is so: it is asked again once the entry
    /// can be seen, so that an entry that came too late for [`Self::purge`] is gone as well.
    pub(crate) fn insert<const HASHED: usize>(
        &self,
        key: &Key<K, HASHED>,
        found: Found<'_, D, N>,
        holds: impl Fn() -> bool,
        bh: BottomHalf<'_>,
    ) {
        let place = self.place(key);
        let mut ways = self.ways(place);
        let free_or_same = ways.find(|slot| slot.is_for(key));
        // Which one has to go is as good as random, and the same on all CPUs for one flow.
        let slot = free_or_same.or_else(|| self.ways(place).nth(jiffies() % WAYS));
        let Some(slot) = slot else {
            return;
        };
        // Who empties the table waits for it.
        without_preemption(bh, || self.write(slot, key, found, holds));
    }

    /// As [`Self::insert`], in this place.
    fn write<const HASHED: usize>(
        &self,
        slot: &Slot<D, K, N>,
        key: &Key<K, HASHED>,
        found: Found<'_, D, N>,
        holds: impl Fn() -> bool,
    ) {
        if !slot.sequence.try_write() {
            return;
        }
        // The entry is locked before this is read, and purge() looks at entries after it has
        // written this: either that one waits for the entry, or it is said here that there is one.
        full_barrier();
        if self.filled.read() == 0 {
            self.filled.write(1);
        }
        slot.fill(key, found);
        full_barrier();
        if !holds() {
            slot.clear();
        }
        slot.sequence.end_write();
    }

    /// Empties the table. What makes entries wrong must have been said before this, in such a way
    /// that `holds` of [`Self::insert`] sees it.
    pub(crate) fn purge(&self, _rtnl: &Rtnl) {
        full_barrier();
        // Where thousands of devices go one after the other there is nothing left after the first.
        if self.filled.read() == 0 {
            return;
        }
        self.filled.write(0);
        full_barrier();
        for slot in self.slots.as_slice() {
            // The lock first: who has it may have seen that there are entries before that was taken
            // back, and an entry that comes between the two readings is seen by the second.
            let empty = || slot.sequence.begin() & 1 == 0 && slot.dst.read() == 0;
            if empty() {
                continue;
            }
            // Writers are quick, and nobody takes their CPU meanwhile. They run in softirqs, which
            // must not find the entry locked by this very CPU.
            with_bottom_halves_disabled(|_bh| {
                while !slot.sequence.try_write() {
                    core::hint::spin_loop();
                }
                slot.clear();
                slot.sequence.end_write();
            });
        }
    }
}

/// Marks a branch that is seldom taken.
#[cold]
#[inline]
fn seldom() {}

/// Seeds of a table's own.
pub(crate) fn seeds<const K: usize>() -> [u64; K] {
    array::from_fn(|_| random() | 1)
}

/// At least `size` entries, a power of two of them. May sleep. Fails with `ENOMEM`.
pub(super) fn slots<T>(size: usize, empty: fn() -> T) -> Result<KVVec<T>> {
    let size = size.next_power_of_two();
    let mut slots = KVVec::with_capacity(size, GFP_KERNEL_ACCOUNT)?;
    for _ in 0..size {
        slots.push(empty(), GFP_KERNEL_ACCOUNT)?;
    }
    Ok(slots)
}

/// A number that nobody can guess. C: `get_random_u64()`.
pub(crate) fn random() -> u64 {
    // SAFETY: only makes a random number.
    unsafe { bindings::get_random_u64() }
}
