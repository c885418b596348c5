// SPDX-License-Identifier: GPL-2.0

//! Having a packet pass the hooks of a namespace, and where it goes on that they had delayed.

use super::{
    packets::{Passing, Watcher},
    tables::Hooks,
    Family,
};
use crate::net::{
    address_hashes::AddressHashes,
    bindings,
    context::{BottomHalf, ReadSide},
    device::NetDevice,
    ipv4, ipv6,
    namespace::Namespace,
    rehome::Hooked,
    skb::{DropReason, SkBuff},
    socket::Connection,
};
use core::ptr;
use kernel::{prelude::*, sync::rcu};

/// What is done with a packet that hooks had delayed. C: `okfn`.
pub(in crate::net) type Onward = unsafe extern "C" fn(
    net: *mut bindings::net,
    sk: *mut bindings::sock,
    skb: *mut bindings::sk_buff,
) -> c_int;

/// Where hooks are passed. C: `struct nf_hook_state`.
pub(in crate::net) struct At<'a> {
    /// One of `NF_INET_*`.
    pub(in crate::net) place: u32,
    pub(in crate::net) family: Family,
    /// By which device the packet came in.
    pub(in crate::net) input: Option<&'a NetDevice>,
    /// By which it is to go out.
    pub(in crate::net) output: Option<&'a NetDevice>,
    pub(in crate::net) namespace: &'a Namespace,
    /// What comes after them.
    pub(in crate::net) onward: Onward,
}

impl At<'_> {
    #[inline(always)]
    fn state(&self) -> bindings::nf_hook_state {
        let raw = |dev: Option<&NetDevice>| dev.map_or(ptr::null_mut(), NetDevice::as_raw);
        bindings::nf_hook_state {
            hook: self.place as u8,
            pf: self.family.number() as u8,
            in_: raw(self.input),
            out: raw(self.output),
            net: self.namespace.as_raw(),
            okfn: Some(self.onward),
            ..pin_init::zeroed()
        }
    }
}

impl SkBuff {
    /// As [`Self::pass_hooks_at`], past hooks that delay nothing, of which there may be only one, and
    /// that let most packets go on.
    #[inline(always)]
    pub(in crate::net) fn pass_prompt_hooks_at(
        self,
        at: &At<'_>,
        hooks: Hooks<'_>,
    ) -> Result<Self, c_int> {
        let mut state = at.state();
        let skb = self.into_raw();
        // SAFETY: the skb is valid and ours, and is so afterwards unless it is said to be taken. All else
        // exists for the read-side critical section that `hooks` stands for.
        unsafe {
            let Some((Some(hook), private)) = hooks.only() else {
                return match slow(skb, &mut state, hooks) {
                    1 => Ok(Self::from_raw(skb)),
                    answer => Err(answer),
                };
            };
            match hook(private, skb, &state) {
                bindings::NF_ACCEPT => Ok(Self::from_raw(skb)),
                verdict => Err(stop(skb, verdict)),
            }
        }
    }

    /// Has the packet pass hooks of a namespace, from the one that stands at `first` on. Gives it back
    /// if none of them took or dropped it; otherwise there is what the sender of such a packet is to
    /// hear. C: `nf_hook_slow()`.
    pub(in crate::net) fn pass_hooks_at(
        self,
        at: &At<'_>,
        hooks: Hooks<'_>,
        first: usize,
    ) -> Result<Self, c_int> {
        let mut state = at.state();
        let skb = self.into_raw();
        // SAFETY: the skb is valid and ours; it still is where the answer is 1, and is not
        // otherwise. All else exists for the read-side critical section that `hooks` stands for.
        unsafe {
            match bindings::nf_hook_slow(skb, &mut state, hooks.0.as_ptr(), first as c_uint) {
                1 => Ok(Self::from_raw(skb)),
                answer => Err(answer),
            }
        }
    }

    /// Has the packet pass the hooks before the sockets from the one that stands at `first` on; none
    /// if one of them took or dropped it, or delays it: then it is [`Watcher::late`].
    pub(super) fn pass_input_hooks<W: Watcher>(
        self,
        family: Family,
        dev: &NetDevice,
        hooks: Hooks<'_>,
        first: usize,
        rcu: ReadSide<'_>,
    ) -> Option<Self> {
        let at = At {
            place: bindings::nf_inet_hooks_NF_INET_LOCAL_IN,
            family,
            input: Some(dev),
            output: None,
            namespace: dev.namespace(rcu),
            onward: late::<W>,
        };
        self.pass_hooks_at(&at, hooks, first).ok()
    }

    /// Has the packet pass the hooks before routing in the namespace of `dev`, which received it.
    /// What a hook delays goes on by itself afterwards. C: `nf_hook()`.
    pub(crate) fn pass_hooks(self, family: Family, dev: &NetDevice, bh: BottomHalf<'_>) -> Hooked {
        let (place, rcu) = (bindings::nf_inet_hooks_NF_INET_PRE_ROUTING, bh.read_side());
        let namespace = dev.namespace(rcu);
        let Some(hooks) = namespace.hooks(family, place, rcu) else {
            return Hooked::Passed(self);
        };
        let at = At {
            place,
            family,
            input: Some(dev),
            output: None,
            namespace,
            onward: match family {
                Family::Ipv4 => resume_ipv4,
                Family::Ipv6 => resume_ipv6,
            },
        };
        // A region without softirqs is enough for us, but hooks may look for this.
        let _rcu = rcu::read_lock();
        self.pass_hooks_at(&at, hooks, 0)
            .map_or(Hooked::Gone, Hooked::Passed)
    }
}

/// What comes of it that a hook which delays nothing does not let a packet go on, and what its sender is
/// to hear. C: `nf_hook_slow()`.
///
/// # Safety
///
/// `skb` must be what the hook has left of a packet of the caller's, who gives it up.
#[cold]
#[inline(never)]
unsafe fn stop(skb: *mut bindings::sk_buff, verdict: c_uint) -> c_int {
    // C: `NF_DROP_GETERR()`.
    let said = -(verdict as c_int >> bindings::NF_VERDICT_QBITS);
    if verdict & bindings::NF_VERDICT_MASK == bindings::NF_STOLEN {
        return said;
    }
    // SAFETY: by the caller's promise; a hook that does not say that it took the packet has left it.
    unsafe { SkBuff::from_raw(skb) }.drop_with(DropReason::NETFILTER_DROP);
    if said == 0 {
        EPERM.to_errno()
    } else {
        said
    }
}

/// As [`SkBuff::pass_hooks_at`], with an answer in a register. C: `nf_hook_slow()`.
///
/// # Safety
///
/// `skb` must be valid and the caller's, who gives it up unless the answer is 1. What is in `state` must
/// exist for the read-side critical section that `hooks` stands for.
#[cold]
#[inline(never)]
unsafe fn slow(
    skb: *mut bindings::sk_buff,
    state: &mut bindings::nf_hook_state,
    hooks: Hooks<'_>,
) -> c_int {
    // SAFETY: by the caller's promise.
    unsafe { bindings::nf_hook_slow(skb, state, hooks.0.as_ptr(), 0) }
}

/// A packet that a hook of input had delayed.
///
/// # Safety
///
/// `skb` must be valid and have its device, which exists, and the caller give up its reference; for as
/// long as `scope` lasts softirqs are disabled, and an RCU read-side critical section lasts.
unsafe fn delayed(skb: *mut bindings::sk_buff, scope: &()) -> Passing<'_> {
    // SAFETY: by the caller's promise.
    unsafe {
        let skb = SkBuff::from_raw(skb);
        let dev = NetDevice::from_raw(skb.raw_dev().read());
        Passing {
            skb,
            dev,
            bh: BottomHalf::assume(scope),
        }
    }
}

/// Where a packet goes on that came after all hooks before the sockets but one that had delayed it.
///
/// # Safety
///
/// As for [`delayed`], until this returns.
unsafe extern "C" fn late<W: Watcher>(
    _net: *mut bindings::net,
    _sk: *mut bindings::sock,
    skb: *mut bindings::sk_buff,
) -> c_int {
    let scope = ();
    // SAFETY: by the caller's promise.
    W::late(unsafe { delayed(skb, &scope) });
    0
}

/// Where an IPv4 packet goes on that a hook before routing had delayed.
///
/// # Safety
///
/// As for [`late`]; the packet begins with its header.
unsafe extern "C" fn resume_ipv4(
    _net: *mut bindings::net,
    _sk: *mut bindings::sock,
    skb: *mut bindings::sk_buff,
) -> c_int {
    let scope = ();
    // SAFETY: by the caller's promise.
    let Passing { mut skb, dev, bh } = unsafe { delayed(skb, &scope) };
    // A hook that came later may have found that out.
    if skb.dst(bh.read_side()).is_some() {
        return skb.follow_route(bh);
    }
    if let Some(header) = ipv4::Header::plain(&skb) {
        show(&mut skb, dev, Family::Ipv4, header.protocol, bh);
    }
    match skb.route_ipv4_again(dev, bh) {
        Ok(()) => skb.follow_route(bh),
        Err(reason) => {
            skb.drop_refused(reason);
            bindings::NET_RX_DROP as c_int
        }
    }
}

/// As [`Connection::show`], where nothing is remembered.
fn show(skb: &mut SkBuff, dev: &NetDevice, family: Family, protocol: u8, bh: BottomHalf<'_>) {
    Connection::show(skb, dev, &AddressHashes::new(), family, protocol, bh);
}

/// As [`resume_ipv4`], for IPv6.
///
/// # Safety
///
/// As for [`resume_ipv4`].
unsafe extern "C" fn resume_ipv6(
    _net: *mut bindings::net,
    _sk: *mut bindings::sock,
    skb: *mut bindings::sk_buff,
) -> c_int {
    let scope = ();
    // SAFETY: by the caller's promise.
    let Passing { mut skb, dev, bh } = unsafe { delayed(skb, &scope) };
    if skb.dst(bh.read_side()).is_some() {
        return skb.follow_route(bh);
    }
    if let Some(header) = ipv6::Header::plain(&skb) {
        show(&mut skb, dev, Family::Ipv6, header.protocol, bh);
    }
    let _ = skb.route_ipv6(bh);
    skb.follow_route(bh)
}
