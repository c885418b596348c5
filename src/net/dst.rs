// SPDX-License-Identifier: GPL-2.0

//! Routes: what is to be done with a packet (`struct dst_entry`).
//!
//! C header: `include/net/dst.h`.

use super::{context::ReadSide, device::NetDevice, netfilter::Family, skb::SkBuff};
use crate::net::bindings;
use core::{marker::PhantomData, mem::ManuallyDrop, ptr::NonNull};
use kernel::prelude::*;

/// Marks a packet's route as one without a reference. C: `SKB_DST_NOREF`.
const NOREF: usize = 1;

/// A route, seen within an RCU read-side critical section.
#[derive(Clone, Copy)]
pub(crate) struct Dst<'r> {
    dst: NonNull<bindings::dst_entry>,
    scope: PhantomData<&'r bindings::dst_entry>,
}

impl<'r> Dst<'r> {
    /// # Safety
    ///
    /// `dst` must not be freed before a grace period after `_rcu` began.
    pub(super) unsafe fn from_raw(dst: NonNull<bindings::dst_entry>, _rcu: ReadSide<'r>) -> Self {
        Self {
            dst,
            scope: PhantomData,
        }
    }

    /// For C.
    pub(super) fn as_raw(self) -> *mut bindings::dst_entry {
        self.dst.as_ptr()
    }

    /// Whether who made the route has not taken it back. C: `dst->obsolete`.
    #[inline]
    pub(crate) fn is_current(self) -> bool {
        // SAFETY: the route exists; a single load of a field that others may write.
        let obsolete = unsafe { (&raw const (*self.as_raw()).obsolete).read_volatile() };
        i32::from(obsolete) == bindings::DST_OBSOLETE_FORCE_CHK
    }

    /// Whether packets on this route are for this namespace's own sockets.
    #[inline]
    pub(crate) fn is_local_delivery(self) -> bool {
        // SAFETY: the route exists; a single load, as one that is going has another put there.
        let input = unsafe { (&raw const (*self.as_raw()).input).read_volatile() };
        input.map(|f| f as usize) == Some(bindings::ip_local_deliver as usize)
            || input.map(|f| f as usize) == Some(bindings::ip6_input as usize)
    }

    /// Whether something is to be done to the packet where it takes this route, by which it becomes
    /// another one: `ip route add ... encap`. C: `dst->lwtstate`.
    #[inline(always)]
    pub(crate) fn encapsulates(self) -> bool {
        // SAFETY: the route exists, and the field is set once.
        unsafe { !(*self.as_raw()).lwtstate.is_null() }
    }

    /// Bytes of the longest packet that goes by this route in one piece. C: `dst_mtu()`.
    pub(crate) fn mtu(self) -> u32 {
        // SAFETY: the route exists.
        unsafe { bindings::passthru_helper_dst_mtu(self.as_raw()) }
    }

    /// Bytes of the longest packet that this route sends on, of what others sent. The route must be one of
    /// `family`. IPv6 looks at the route's own when it forwards if that is locked, and whatever it is when
    /// it sends. C: `ip_dst_mtu_maybe_forward()`, `ip6_dst_mtu_maybe_forward()`, `ip6_fragment()`.
    pub(crate) fn forward_mtu(self, family: Family, _rcu: ReadSide<'r>) -> u32 {
        let dst = self.as_raw();
        match family {
            // SAFETY: the route exists, and so does its device; this is a read-side critical section.
            Family::Ipv4 => unsafe { bindings::passthru_helper_ip_forward_mtu(dst) },
            Family::Ipv6 => {
                // SAFETY: as above.
                let longest = unsafe { bindings::passthru_helper_ip6_forward_mtu(dst) };
                longest.min(self.mtu())
            }
        }
    }

    /// A reference that keeps the route; none if it is being freed. C: `dst_hold_safe()`.
    pub(crate) fn hold(self) -> Option<HeldDst> {
        // SAFETY: the route exists.
        let held = unsafe { bindings::passthru_helper_dst_hold_safe(self.as_raw()) };
        // Not made before that is known: dropping it releases the route.
        held.then(|| HeldDst(self.dst))
    }

    /// The device that the route leads to. C: `dst_dev_rcu()`.
    #[inline(always)]
    pub(crate) fn device(self, _rcu: ReadSide<'r>) -> &'r NetDevice {
        // SAFETY: the route exists, and its device for the read-side critical section.
        unsafe {
            let dev = &raw const (*self.as_raw()).__bindgen_anon_1.dev;
            NetDevice::from_raw(dev.read_volatile())
        }
    }

    /// Whether packets on this route are sent by IP itself, and nothing is done to them before: no
    /// IPsec, no encapsulation.
    #[inline(always)]
    pub(crate) fn sends_plainly(self, family: Family) -> bool {
        // SAFETY: the route exists; a single load, as one that is going has another put there.
        let output = unsafe { (&raw const (*self.as_raw()).output).read_volatile() };
        output.map(|f| f as usize)
            == Some(match family {
                Family::Ipv4 => bindings::ip_output as usize,
                Family::Ipv6 => bindings::ip6_output as usize,
            })
            && !self.encapsulates()
    }

    /// Whether the packet goes by this route in one piece, or in those that its sender chose, and in
    /// none longer than `longest`, which is no more than the route's device takes. C: `dst_mtu()`.
    #[inline(always)]
    pub(crate) fn fits(self, skb: &SkBuff, family: Family, longest: u32) -> bool {
        const FLAGS: usize = bindings::DST_METRICS_FLAGS as usize;
        const MTU: usize = bindings::RTAX_MTU as usize - 1;
        let dst = self.as_raw();
        // SAFETY: the route exists, and its metrics are an array that lasts as long.
        let own = unsafe {
            let metrics = (&raw const (*dst)._metrics).cast::<usize>().read_volatile() & !FLAGS;
            (metrics as *const u32).add(MTU).read_volatile()
        };
        let told = own
            | match family {
                Family::Ipv4 => self.ipv4_path(),
                Family::Ipv6 => 0,
            };
        // Where a route says nothing of itself the device does, or the least that there is.
        let least = match family {
            Family::Ipv4 => longest,
            Family::Ipv6 => bindings::IPV6_MIN_MTU.min(longest),
        };
        if told == 0 && skb.len() <= least {
            return true;
        }
        let mtu = self.mtu().min(longest);
        if skb.len() <= mtu || !skb.is_gso() {
            return skb.len() <= mtu;
        }
        // SAFETY: the skb is valid, and only read.
        unsafe { bindings::skb_gso_validate_network_len(skb.as_raw(), mtu) }
    }
}

/// A reference to a route.
pub(crate) struct HeldDst(NonNull<bindings::dst_entry>);

impl HeldDst {
    /// # Safety
    ///
    /// The caller passes on a reference to `dst`.
    pub(super) unsafe fn from_raw(dst: NonNull<bindings::dst_entry>) -> Self {
        Self(dst)
    }

    /// The route that is held, for a read-side critical section that has begun before.
    pub(crate) fn get<'r>(&self, rcu: ReadSide<'r>) -> Dst<'r> {
        // SAFETY: the route exists now, and is freed after a grace period.
        unsafe { Dst::from_raw(self.0, rcu) }
    }

    /// Gives up the reference without releasing it.
    pub(super) fn into_raw(self) -> *mut bindings::dst_entry {
        ManuallyDrop::new(self).0.as_ptr()
    }
}

impl Drop for HeldDst {
    fn drop(&mut self) {
        // SAFETY: this is the end of our reference.
        unsafe { bindings::dst_release(self.0.as_ptr()) };
    }
}

/// The route that a packet had, with its reference if it has one: without one it exists no longer than
/// the RCU read-side critical section.
pub(crate) struct KeptDst<'r>(c_ulong, PhantomData<ReadSide<'r>>);

impl Drop for KeptDst<'_> {
    fn drop(&mut self) {
        if self.0 & NOREF == 0 {
            // SAFETY: the reference was the packet's and is ours. Null is nothing.
            unsafe { bindings::dst_release(self.0 as *mut bindings::dst_entry) };
        }
    }
}

impl SkBuff {
    /// The route that the packet has.
    #[inline(always)]
    pub(crate) fn dst<'r>(&self, rcu: ReadSide<'r>) -> Option<Dst<'r>> {
        // SAFETY: the skb is valid. What overlays the route is in use in lists of packets only.
        let refdst = unsafe {
            (*self.as_raw())
                .__bindgen_anon_3
                .__bindgen_anon_1
                ._skb_refdst
        };
        let dst = refdst & !NOREF;
        let dst = NonNull::new(dst as *mut bindings::dst_entry)?;
        // SAFETY: a packet's route is not freed before a grace period after it was given.
        Some(unsafe { Dst::from_raw(dst, rcu) })
    }

    /// Whether this is the packet's route.
    pub(crate) fn has_dst(&self, dst: Dst<'_>) -> bool {
        // SAFETY: as above.
        let refdst = unsafe {
            (*self.as_raw())
                .__bindgen_anon_3
                .__bindgen_anon_1
                ._skb_refdst
        };
        refdst & !NOREF == dst.as_raw() as c_ulong
    }

    /// Takes the packet's route away, to be given back.
    pub(crate) fn take_dst<'r>(&mut self, _rcu: ReadSide<'r>) -> KeptDst<'r> {
        KeptDst(self.take_refdst(), PhantomData)
    }

    /// As [`Self::take_dst`], as the packet has it.
    #[inline(always)]
    fn take_refdst(&mut self) -> c_ulong {
        // SAFETY: the skb is valid and ours; what overlays the route is in use in lists only.
        let refdst = unsafe {
            &mut (*self.as_raw())
                .__bindgen_anon_3
                .__bindgen_anon_1
                ._skb_refdst
        };
        core::mem::take(refdst)
    }

    /// Gives a route back to the packet that it was taken from.
    pub(crate) fn put_dst(&mut self, kept: KeptDst<'_>) {
        self.drop_dst();
        let kept = core::mem::ManuallyDrop::new(kept);
        // SAFETY: as above.
        unsafe {
            (*self.as_raw())
                .__bindgen_anon_3
                .__bindgen_anon_1
                ._skb_refdst = kept.0
        };
    }

    /// Takes the packet's route away. C: `skb_dst_drop()`.
    pub(crate) fn drop_dst(&mut self) {
        drop(KeptDst(self.take_refdst(), PhantomData));
    }

    /// Gives the packet, which has none, a route until the end of the read-side critical section:
    /// what keeps it longer takes a reference itself. C: `skb_dst_set_noref()`.
    #[inline(always)]
    pub(crate) fn set_dst(&mut self, dst: Dst<'_>) {
        // SAFETY: the skb is valid and ours; the route exists. `slow_gro` is for GRO, to tell it
        // that there is something to release, which there is not.
        unsafe {
            (*self.as_raw())
                .__bindgen_anon_3
                .__bindgen_anon_1
                ._skb_refdst = dst.as_raw() as c_ulong | NOREF;
        }
    }

    /// Gives the packet a route with its reference, instead of the one that it had.
    /// C: `skb_dst_set()`.
    pub(super) fn set_held_dst(&mut self, dst: HeldDst) {
        // SAFETY: as above, and GRO is told that there is something to release.
        unsafe { (*self.as_raw()).__bindgen_anon_4.headers.as_mut() }.set_slow_gro(1);
        self.put_dst(KeptDst(dst.into_raw() as c_ulong, PhantomData));
    }
}
