// SPDX-License-Identifier: GPL-2.0

//! The last part of IP's output path: past the hooks after routing, and to the neighbour that a route
//! leads to.
//!
//! C headers: `include/net/route.h`, `include/net/ndisc.h`, `include/net/neighbour.h`.

use super::{
    context::ReadSide,
    departure::{are_of_machine, Sent, AFTER_ROUTING},
    device::NetDevice,
    dst::Dst,
    hint::unlikely,
    namespace::Namespace,
    netfilter::{At, Family, Hooks},
    skb::{DropReason, SkBuff},
};
use crate::net::bindings;
use kernel::prelude::*;

impl SkBuff {
    /// Sends a packet that came by `port` by `dst`, its route in `namespace`, which is the port's, for no
    /// socket. Gives it back where there is more to do on its way than to ask security modules and the
    /// neighbour: then IP's own function knows what. C: `ip_output()`, `ip6_output()`.
    ///
    /// # Safety
    ///
    /// `dst` must be the packet's route, and one to a single host; there must be nothing in the packet's
    /// control block. The caller must be in an RCU read-side critical section as `rcu_read_lock()` begins
    /// one: a region without softirqs is not enough.
    #[inline(always)]
    pub(super) unsafe fn send_to_neighbour(
        self,
        family: Family,
        port: &NetDevice,
        namespace: &Namespace,
        dst: Dst<'_>,
        rcu: ReadSide<'_>,
    ) -> Result<Sent, Self> {
        let dev = dst.device(rcu);
        let is_plain = dst.sends_plainly(family)
            && match family {
                Family::Ipv4 => !dst.has_ipv6_gateway(),
                Family::Ipv6 => dev.ipv6(rcu).is_some(),
            }
            && dst.fits(&self, family, dev.mtu());
        if !is_plain {
            return Err(self);
        }
        let hooks = namespace.hooks(family, AFTER_ROUTING, rcu);
        let skb = match hooks {
            None => self.with_device(dev),
            Some(hooks) if are_of_machine(hooks) => {
                let skb = self.with_device(dev);
                match skb.pass_machines(hooks, family, namespace, port, dev) {
                    Ok(skb) => skb,
                    Err(refused) => return Ok(refused),
                }
            }
            Some(_) => return Err(self),
        };
        // SAFETY: by the caller's promise, and as was found out.
        Ok(unsafe { skb.finish(family, namespace, dst, rcu) })
    }

    /// To the neighbour, by the packet's device, which is that of `dst`.
    ///
    /// # Safety
    ///
    /// As for [`Self::send_to_neighbour`]; the packet's route must be one of `family`, encapsulate nothing,
    /// and lead to no gateway of IPv6's if it is one of IPv4.
    #[inline(always)]
    unsafe fn finish(
        self,
        family: Family,
        namespace: &Namespace,
        dst: Dst<'_>,
        rcu: ReadSide<'_>,
    ) -> Sent {
        let dev = dst.device(rcu);
        if family == Family::Ipv4 {
            self.count(family, namespace);
        }
        let Some(skb) = self.with_room_for_link(dev) else {
            if family == Family::Ipv6 {
                // SAFETY: the namespace and the route exist.
                unsafe {
                    bindings::passthru_helper_ip6_count_discarded(namespace.as_raw(), dst.as_raw());
                }
            }
            return Sent::from_errno(ENOMEM.to_errno());
        };
        if family == Family::Ipv6 {
            skb.count(family, namespace);
        }
        // SAFETY: by the caller's promise; the skb is valid and ours, the namespace and the device exist. A
        // neighbour that is no error exists for the RCU read-side critical section, in which the device is
        // asked whether it takes the packet at once.
        unsafe {
            let neighbour = skb.find_neighbour(family, dev);
            if unlikely(is_error(neighbour)) {
                return skb.find_no_neighbour(family, namespace, dst, neighbour);
            }
            if dev.takes_at_once(&skb, namespace, rcu)
                && (bindings::passthru_helper_neigh_add_header(neighbour, skb.as_raw())
                    || bindings::passthru_helper_neigh_build_header(neighbour, skb.as_raw()))
            {
                return skb.hand_to_driver(dev, rcu);
            }
            let skb = skb.into_raw();
            Sent::from_errno(bindings::passthru_helper_neigh_output(neighbour, skb))
        }
    }

    /// With room for the header of a link. None if there is no memory.
    #[inline(always)]
    fn with_room_for_link(self, dev: &NetDevice) -> Option<Self> {
        // SAFETY: the skb is valid and was ours, and the device exists. What the function does not give
        // back it has freed.
        unsafe {
            let skb = bindings::passthru_helper_skb_make_room(self.into_raw(), dev.as_raw());
            (!skb.is_null()).then(|| Self::from_raw(skb))
        }
    }

    /// Counts the packet, which has its route, as one that `namespace` sends.
    #[inline(always)]
    fn count(&self, family: Family, namespace: &Namespace) {
        let (skb, net) = (self.as_raw(), namespace.as_raw());
        // SAFETY: the skb is valid and has its route, and the namespace exists.
        unsafe {
            match family {
                Family::Ipv4 => bindings::passthru_helper_ip_count_out(net, skb),
                Family::Ipv6 => bindings::passthru_helper_ip6_count_out(net, skb),
            }
        }
    }

    /// Where the packet's route leads, or an error pointer.
    ///
    /// # Safety
    ///
    /// As for [`Self::finish`].
    #[inline(always)]
    unsafe fn find_neighbour(&self, family: Family, dev: &NetDevice) -> *mut bindings::neighbour {
        let (skb, dev) = (self.as_raw(), dev.as_raw());
        // SAFETY: by the caller's promise.
        unsafe {
            match family {
                Family::Ipv4 => bindings::passthru_helper_ip_neighbour(skb, dev),
                Family::Ipv6 => bindings::passthru_helper_ip6_neighbour(skb, dev),
            }
        }
    }

    /// No neighbour could be made, for the reason that `error` is.
    #[cold]
    #[inline(never)]
    fn find_no_neighbour(
        self,
        family: Family,
        namespace: &Namespace,
        dst: Dst<'_>,
        error: *const bindings::neighbour,
    ) -> Sent {
        let answer = match family {
            Family::Ipv4 => error.addr() as isize as c_int,
            Family::Ipv6 => {
                // SAFETY: the namespace and the route exist.
                unsafe {
                    bindings::passthru_helper_ip6_count_no_route(namespace.as_raw(), dst.as_raw());
                }
                EINVAL.to_errno()
            }
        };
        self.drop_with(DropReason::NEIGH_CREATEFAIL);
        Sent::from_errno(answer)
    }

    #[inline(always)]
    fn with_device(self, dev: &NetDevice) -> Self {
        // SAFETY: the skb is valid and ours, and the device exists.
        unsafe { self.raw_dev().write(dev.as_raw()) };
        self
    }

    /// Past hooks that [`are_of_machine`], which delay nothing.
    #[inline(always)]
    fn pass_machines(
        self,
        hooks: Hooks<'_>,
        family: Family,
        namespace: &Namespace,
        port: &NetDevice,
        dev: &NetDevice,
    ) -> Result<Self, Sent> {
        let at = At {
            place: AFTER_ROUTING,
            family,
            input: Some(port),
            output: Some(dev),
            namespace,
            onward: finish_late,
        };
        self.pass_prompt_hooks_at(&at, hooks)
            .map_err(Sent::from_errno)
    }
}

/// C: `IS_ERR()`.
#[inline(always)]
fn is_error(neighbour: *const bindings::neighbour) -> bool {
    neighbour.addr() >= (bindings::MAX_ERRNO as usize).wrapping_neg()
}

/// C: `okfn` of hooks after routing. None of these delays a packet, so that it is never called.
///
/// # Safety
///
/// `skb` must be a packet that the caller gives up.
unsafe extern "C" fn finish_late(
    _net: *mut bindings::net,
    _sk: *mut bindings::sock,
    skb: *mut bindings::sk_buff,
) -> c_int {
    // SAFETY: by the caller's promise.
    unsafe { SkBuff::from_raw(skb) }.drop_with(DropReason::NETFILTER_DROP);
    EPERM.to_errno()
}
