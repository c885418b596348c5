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
    namespace::Namespace,
    netfilter::{At, Family, Hooks},
    skb::{Protocol, SkBuff},
};
use crate::net::bindings;
use kernel::prelude::*;

impl SkBuff {
    /// Sends a packet that came by `port` by `dst`, the route of the port's namespace that it has, to one
    /// host, for no socket. Gives it back where there is more to do on its way than that: then IP's own
    /// function knows what. The packet fills no part of its control block. To be called in an RCU
    /// read-side critical section as C has them, which a region without softirqs is not.
    ///
    /// C: `ip_output()`, `ip6_output()`.
    #[inline(always)]
    pub(super) fn send_to_neighbour(
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
        Ok(Sent::from_errno(skb.finish(family, namespace)))
    }

    /// To the neighbour; as for [`Self::send_to_neighbour`], past the hooks, with the device.
    #[inline(always)]
    fn finish(self, family: Family, namespace: &Namespace) -> c_int {
        let (skb, net) = (self.into_raw(), namespace.as_raw());
        // SAFETY: the skb is valid and was ours, and has its device and its route, which is one of the
        // family, to one host, and encapsulates nothing. The namespace exists.
        unsafe {
            match family {
                Family::Ipv4 => bindings::passthru_helper_ip_to_neighbour(net, skb),
                Family::Ipv6 => bindings::passthru_helper_ip6_to_neighbour(net, skb),
            }
        }
    }

    #[inline(always)]
    fn with_device(self, dev: &NetDevice) -> Self {
        // SAFETY: the skb is valid and ours, and the device exists.
        unsafe { self.raw_dev().write(dev.as_raw()) };
        self
    }

    /// Past hooks that [`are_of_machine`].
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
        self.pass_few_hooks_at(&at, hooks).map_err(Sent::from_errno)
    }
}

/// C: `okfn` of hooks after routing.
///
/// # Safety
///
/// `skb` must be valid and have its device and its route, as for [`SkBuff::send_to_neighbour`], and the
/// caller give up its reference; an RCU read-side critical section must last, and `net` exist.
unsafe extern "C" fn finish_late(
    net: *mut bindings::net,
    _sk: *mut bindings::sock,
    skb: *mut bindings::sk_buff,
) -> c_int {
    // SAFETY: by the caller's promise.
    let (skb, namespace) = unsafe { (SkBuff::from_raw(skb), Namespace::from_raw(net)) };
    let family = match skb.protocol() {
        Protocol::IPV6 => Family::Ipv6,
        _ => Family::Ipv4,
    };
    skb.finish(family, namespace)
}
