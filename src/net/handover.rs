// SPDX-License-Identifier: GPL-2.0

//! The last step of IP's output: from the neighbour to the driver, without `__dev_queue_xmit()` where that
//! would find nothing to do on the way. Neighbours of our own devices that put no header before packets do
//! so themselves; for others' devices the way out of a child does.
//!
//! C headers: `include/net/neighbour.h`, `include/linux/netdevice.h`.

use super::{
    context::{with_bottom_halves_disabled, ReadSide},
    departure::Sent,
    device::{Device, NetDevice},
    driver::{Driver, Operations},
    features::Features,
    hint::{likely, unlikely},
    namespace::Namespace,
    skb::{DropReason, SkBuff},
};
use crate::net::bindings;
use core::ptr;
use kernel::prelude::*;

impl<D: Driver> Operations<D> {
    /// Has packets for a neighbour that need not be resolved sent by [`Self::send_to_neighbour`].
    /// C: `arp_constructor()`, `ndisc_constructor()`.
    ///
    /// # Safety
    ///
    /// `dev` must be a device of driver `D` that puts no header before packets. The table of `neighbour`
    /// has set it up, and nobody else sees it yet.
    pub(super) unsafe extern "C" fn construct_neighbour(
        dev: *mut bindings::net_device,
        neighbour: *mut bindings::neighbour,
    ) -> c_int {
        // SAFETY: by the caller's promise nobody else uses what is read and written here. The function
        // is there for as long as the driver has devices; a neighbour that outlives its device loses it.
        unsafe {
            // There were kernels whose bonds had the devices below asked about neighbours of their own.
            let is_own = ptr::eq((*neighbour).dev, dev);
            if is_own && u32::from((*neighbour).nud_state) & bindings::NUD_NOARP != 0 {
                (*neighbour).output = Some(Self::send_to_neighbour);
            }
        }
        0
    }

    /// Sends a packet by the neighbour's device. C: `neigh_connected_output()`.
    ///
    /// # Safety
    ///
    /// `neighbour` must be one of a registered device of driver `D`, `skb` a packet with a device that the
    /// caller gives up, and the caller in an RCU read-side critical section as `rcu_read_lock()` begins
    /// one.
    unsafe extern "C" fn send_to_neighbour(
        neighbour: *mut bindings::neighbour,
        skb: *mut bindings::sk_buff,
    ) -> c_int {
        let scope = ();
        // SAFETY: by the caller's promise. The neighbour's device has this driver. IP's header is in the
        // packet's linear part, at the beginning or behind one of the link's.
        let (dev, skb, rcu) = unsafe {
            bindings::passthru_helper_skb_pull_to_network(skb);
            (
                Device::<D>::from_raw((*neighbour).dev),
                SkBuff::from_raw(skb),
                ReadSide::assume(&scope),
            )
        };
        if likely(dev.has_nothing_to_ask(rcu) && skb.has_nothing_to_do(dev))
            && D::receives_later(dev, rcu)
        {
            return Self::hand_over(dev, skb);
        }
        // SAFETY: the skb is valid and passes to the callee, and has its device.
        unsafe { bindings::__dev_queue_xmit(skb.into_raw(), ptr::null_mut()) }
    }

    #[inline(always)]
    fn hand_over(dev: &Device<D>, mut skb: SkBuff) -> c_int {
        with_bottom_halves_disabled(|bh| {
            skb.prepare_for_driver();
            D::transmit(dev, skb, bh).code()
        })
    }
}

impl NetDevice {
    /// Whether what this device is given to send goes to its driver at once: it is up, and has no
    /// queueing discipline, no traffic control, no hook, no tap and no choice of queues, and takes
    /// packets in pieces and without their sums.
    #[inline(always)]
    fn has_nothing_to_ask(&self, rcu: ReadSide<'_>) -> bool {
        self.has_one_free_queue(self.namespace(rcu), rcu)
            && self.features().has(Features::UNFINISHED)
    }

    /// Whether this device would be given a packet at once that its namespace is about to send by it.
    pub(crate) fn would_be_given(&self, skb: &SkBuff, rcu: ReadSide<'_>) -> bool {
        self.has_nothing_to_ask(rcu) && skb.is_ready()
    }

    /// As [`Self::has_nothing_to_ask`], for a device of any driver, in `namespace`, and this packet: what
    /// then holds is what [`SkBuff::hand_to_driver`] asks for.
    #[inline(always)]
    pub(super) fn takes_at_once(
        &self,
        skb: &SkBuff,
        namespace: &Namespace,
        rcu: ReadSide<'_>,
    ) -> bool {
        self.has_one_free_queue(namespace, rcu)
            && self.features().has(Features::UNSUMMED)
            // SAFETY: the device exists, and so do its operations; the skb is valid.
            && unsafe {
                !bindings::passthru_helper_dev_wants_more(self.as_raw())
                    && !bindings::passthru_helper_skb_csum_is_sctp(skb.as_raw())
            }
            && skb.has_nothing_to_do(self)
    }

    /// Whether there is one queue only, in which nothing waits, and nobody looks at what is sent.
    #[inline(always)]
    fn has_one_free_queue(&self, namespace: &Namespace, rcu: ReadSide<'_>) -> bool {
        self.what_looks(namespace, rcu) | self.what_queues_now(rcu) == 0 && self.queues().tx == 1
    }
}

impl SkBuff {
    /// Has the driver of `dev`, which is the packet's, send it, whose link's header it has. Returns what
    /// the sender is to hear. C: `__dev_queue_xmit()`.
    ///
    /// # Safety
    ///
    /// [`NetDevice::takes_at_once`] must have held in the RCU read-side critical section that lasts.
    #[inline(always)]
    pub(super) unsafe fn hand_to_driver(self, dev: &NetDevice, rcu: ReadSide<'_>) -> Sent {
        with_bottom_halves_disabled(|_bh| {
            let skb = self.into_raw();
            // SAFETY: the skb is valid and was ours, and its reference passes to who sends it; one that the
            // driver does not take is still ours. The device exists for the RCU read-side critical section.
            // Softirqs are disabled, as drivers ask for; that the device takes the packet as it is without
            // a lock is what the caller has found out.
            unsafe {
                // Who takes a device down that has no queue does not wait for who has asked before.
                let is_down = !dev.is_up() || dev.what_queues_now(rcu) != 0;
                if unlikely(is_down || bindings::passthru_helper_dev_xmit_recursion()) {
                    // Drops it, or knows what else to do.
                    return Sent::from_errno(bindings::__dev_queue_xmit(skb, ptr::null_mut()));
                }
                bindings::passthru_helper_skb_prepare_dst(skb);
                bindings::passthru_helper_skb_prepare_xmit(skb);
                let answer = bindings::passthru_helper_skb_start_xmit(skb);
                if likely(bindings::passthru_helper_dev_xmit_complete(answer)) {
                    return Sent::from_errno(answer as c_int);
                }
                Self::from_raw(skb).come_back(dev)
            }
        })
    }

    /// The driver has not taken the packet, as if it had a queue that this might wait in: the device counts it.
    #[cold]
    #[inline(never)]
    fn come_back(self, dev: &NetDevice) -> Sent {
        // SAFETY: the device exists.
        unsafe { bindings::passthru_helper_dev_count_dropped(dev.as_raw()) };
        self.drop_with(DropReason::DEV_READY);
        Sent::from_errno(ENETDOWN.to_errno())
    }

    /// What the kernel does with a packet that a device of our own is given.
    pub(crate) fn prepare_for_driver(&mut self) {
        self.drop_dst();
        // SAFETY: the skb is valid and ours. On which CPU that is, is no more than a hint.
        unsafe { bindings::passthru_helper_skb_prepare_xmit(self.as_raw()) };
    }

    /// Whether `dev` would be given the packet as it is, because it is the packet's and that
    /// [`is_ready`](Self::is_ready).
    #[inline(always)]
    fn has_nothing_to_do(&self, dev: &NetDevice) -> bool {
        // SAFETY: the skb is valid and has its device.
        let at = unsafe { self.raw_dev().read() };
        ptr::eq(at, dev.as_raw()) && self.is_ready()
    }

    /// Whether there is nothing to do before a driver has the packet: it stands for itself only, can be
    /// read, and has no tag, encryption or time for somebody to see to. C: `validate_xmit_skb()`.
    #[inline(always)]
    fn is_ready(&self) -> bool {
        let skb = self.as_raw();
        // SAFETY: the skb is valid and ours. The members of the unions overlay each other.
        let is_plain = unsafe {
            let headers = (*skb).__bindgen_anon_4.headers.as_ref();
            (*skb).active_extensions == 0
                && headers.encapsulation() == 0
                && headers.unreadable() == 0
        };
        is_plain
            && !self.has_vlan_tag()
            && !self.is_gso()
            && !self.asks_for_times()
            // SAFETY: the skb is valid, and so is its socket.
            && !unsafe { bindings::passthru_helper_skb_is_validated(skb) }
    }
}
