// SPDX-License-Identifier: GPL-2.0

//! Packets at hooks, what becomes of them there, and who is asked that.

use super::{
    tables::{is_hook_of, Hooks},
    Family, LAST,
};
use crate::net::{
    bindings,
    context::{BottomHalf, ReadSide},
    departure::Sent,
    device::NetDevice,
    hint::likely,
    ipv4::Kind,
    namespace::Namespace,
    skb::{DropReason, SkBuff},
};
use core::marker::PhantomData;

/// A packet at a hook: there to be looked at, and to be taken or let pass.
pub(crate) struct Passing<'a> {
    pub(super) skb: SkBuff,
    pub(super) dev: &'a NetDevice,
    pub(super) bh: BottomHalf<'a>,
}

impl<'a> Passing<'a> {
    /// The packet.
    pub(crate) fn skb(&self) -> &SkBuff {
        &self.skb
    }

    /// The packet, to change what its owner may change.
    pub(crate) fn skb_mut(&mut self) -> &mut SkBuff {
        &mut self.skb
    }

    /// The device that the packet came in by.
    pub(crate) fn dev(&self) -> &'a NetDevice {
        self.dev
    }

    /// Hooks of input run in softirqs, or in a process that has disabled them: a program's that has let
    /// the packet go on (NFQUEUE).
    pub(crate) fn bh(&self) -> BottomHalf<'a> {
        self.bh
    }

    /// Lets the packet go on.
    pub(crate) fn pass(self) -> Verdict<'a> {
        core::mem::forget(self.skb);
        Verdict(bindings::NF_ACCEPT, PhantomData)
    }

    /// Drops the packet as the IP stack would that refuses it for this reason.
    #[cold]
    pub(crate) fn refuse(self, reason: DropReason) -> Verdict<'a> {
        let (skb, verdict) = self.take();
        skb.drop_refused(reason);
        verdict
    }

    /// Takes a packet and sends it as if the namespace where it came in had made it: by the
    /// hooks of output, wherever the routes of that namespace lead. Gives it back with its route
    /// where they lead to that namespace's own sockets: it has come in by a device, whose rules are
    /// to see it. And, of IPv6, where they refuse it, wrap it, or it has no hop left, without a route: it
    /// is no forgery there, and who would forward it says why he does not. That is no hop, but for where it
    /// goes out by a device that `counts`, or back by the one that it came in by.
    /// C: `ip_local_out()`, `ip6_local_out()`.
    #[cold]
    pub(crate) fn send(
        mut self,
        family: Family,
        counts: fn(&NetDevice) -> bool,
    ) -> Result<Verdict<'a>, Self> {
        let rcu = self.bh.read_side();
        let namespace = self.dev.namespace(rcu);
        let routed = match family {
            Family::Ipv4 => self.skb.route_output_ipv4(namespace),
            Family::Ipv6 => self.skb.route_output_ipv6(namespace, rcu),
        };
        match routed {
            Some(Kind::Unicast) => {
                let counted = self.skb.dst(rcu).is_some_and(|dst| {
                    let dev = dst.device(rcu);
                    dev.is(self.dev) || dev.is_above(counts, rcu)
                });
                if counted && self.skb.count_hop().is_err() {
                    if family == Family::Ipv6 {
                        self.skb.drop_dst();
                        return Err(self);
                    }
                    return Ok(self.refuse(DropReason::RECURSION_LIMIT));
                }
                let (skb, verdict) = self.take();
                skb.send_as_own(family, namespace, rcu);
                Ok(verdict)
            }
            Some(Kind::Local) => Err(self),
            _ if family == Family::Ipv6 => {
                self.skb.drop_dst();
                Err(self)
            }
            _ => Ok(self.refuse(DropReason::IP_OUTNOROUTES)),
        }
    }

    /// Takes a packet that the hook `W` before the sockets was given, once it has passed what comes
    /// after that there: connection tracking does, with what it has to do at the end of input.
    #[inline(always)]
    pub(crate) fn take_after_all<W: Watcher>(
        self,
        family: Family,
    ) -> (Option<SkBuff>, Verdict<'a>) {
        let (dev, rcu) = (self.dev, self.bh.read_side());
        let hooks = dev.namespace(rcu).entries_before_sockets(family, rcu);
        let (skb, verdict) = self.take();
        match hooks.filter(|hooks| !hooks.are_only::<W>()) {
            Some(hooks) => (Self::pass_later::<W>(skb, family, dev, hooks, rcu), verdict),
            None => (Some(skb), verdict),
        }
    }

    /// What [`Self::take_after_all`] has a packet pass.
    #[inline(never)]
    fn pass_later<W: Watcher>(
        skb: SkBuff,
        family: Family,
        dev: &NetDevice,
        hooks: Hooks<'_>,
        rcu: ReadSide<'_>,
    ) -> Option<SkBuff> {
        match hooks.functions().position(is_hook_of::<W>) {
            Some(own) if own + 1 < hooks.len() => {
                skb.pass_input_hooks::<W>(family, dev, hooks, own + 1, rcu)
            }
            Some(_) => Some(skb),
            // This one has just been removed, and what stood behind it cannot be told from what stood
            // before. Nothing did, unless it is as late.
            None if hooks.registrations().all(|hook| hook.priority < LAST) => Some(skb),
            None => {
                skb.drop_with(DropReason::NETFILTER_DROP);
                None
            }
        }
    }

    /// Takes the packet: the stack where the hook is will not see it again.
    pub(crate) fn take(self) -> (SkBuff, Verdict<'a>) {
        (self.skb, Verdict(bindings::NF_STOLEN, PhantomData))
    }
}

/// What became of a [`Passing`] packet. There is one for each, and it cannot be kept.
pub(crate) struct Verdict<'a>(pub(super) u32, PhantomData<fn(&'a ()) -> &'a ()>);

/// What looks at packets.
pub(crate) trait Watcher: Send + Sync + 'static {
    /// A packet comes by. With softirqs disabled or in one, under RCU.
    fn packet<'a>(&self, packet: Passing<'a>) -> Verdict<'a>;

    /// A packet that was taken by `Passing::take_after_all`, and then delayed. Under RCU, with softirqs
    /// disabled.
    fn late(packet: Passing<'_>) {
        let _dropped = packet.refuse(DropReason::NETFILTER_DROP);
    }
}

/// A packet that a socket of a namespace sends, at the end of the hooks of output.
///
/// As small as can be: who hands it on to a function that is seldom needed has it in registers.
///
/// # Invariants
///
/// The state is that of a hook of output, and what it names exists while `rcu` lasts.
pub(crate) struct Sending<'a> {
    pub(super) skb: SkBuff,
    pub(super) state: &'a bindings::nf_hook_state,
    pub(super) rcu: ReadSide<'a>,
}

impl<'a> Sending<'a> {
    /// The packet.
    pub(crate) fn skb(&self) -> &SkBuff {
        &self.skb
    }

    /// The packet, to change what its owner may change.
    pub(crate) fn skb_mut(&mut self) -> &mut SkBuff {
        &mut self.skb
    }

    /// Whether the socket that sends the packet is a namespace's own, and its owner is that one. A
    /// tunnel sends as its own what it made of others' packets, which stay their senders'.
    #[inline(always)]
    pub(crate) fn is_from_socket_of(&self, namespace: &Namespace) -> bool {
        likely(self.skb.is_owned_by(self.state.sk)) && self.skb.is_sent_by(namespace)
    }

    /// The device that hooks are told of: the one that the packet's route leads to, unless a hook has
    /// changed that, or the route is that of a VRF, which has its packets pass the hooks twice.
    #[inline(always)]
    pub(crate) fn dev(&self) -> Option<&'a NetDevice> {
        let out = self.state.out;
        // SAFETY: by the type's invariant.
        (!out.is_null()).then(|| unsafe { NetDevice::from_raw(out) })
    }

    /// The namespace that the packet is sent in.
    #[inline(always)]
    pub(crate) fn namespace(&self) -> &'a Namespace {
        // SAFETY: by the type's invariant.
        unsafe { Namespace::from_raw(self.state.net) }
    }

    /// Softirqs may run.
    pub(crate) fn rcu(&self) -> ReadSide<'a> {
        self.rcu
    }

    /// Lets the packet go on.
    pub(crate) fn pass(self) -> Verdict<'a> {
        core::mem::forget(self.skb);
        Verdict(bindings::NF_ACCEPT, PhantomData)
    }

    /// Takes the packet. What became of it is told to the sender by what comes with it.
    #[inline(always)]
    pub(crate) fn take(self) -> (SkBuff, Taken<'a>) {
        (self.skb, Taken(PhantomData))
    }
}

/// Stands for a [`Sending`] packet that was taken, until its sender is told.
pub(crate) struct Taken<'a>(PhantomData<fn(&'a ()) -> &'a ()>);

impl<'a> Taken<'a> {
    /// This is what became of it. The kernel shifts the upper part of a verdict as a signed number
    /// and returns it with its sign turned, so the sender hears codes of congestion as well as
    /// errors: TCP slows down by them. C: `NF_DROP_GETERR()`.
    #[inline(always)]
    pub(crate) fn tell(self, sent: Sent) -> Verdict<'a> {
        if likely(sent.is_done()) {
            return Verdict(bindings::NF_STOLEN, PhantomData);
        }
        let answer = sent.answer().wrapping_neg() as u32;
        Verdict(
            bindings::NF_STOLEN | answer << bindings::NF_VERDICT_QBITS,
            PhantomData,
        )
    }
}

/// What looks at packets that are sent.
pub(crate) trait Sender: Send + Sync + 'static {
    /// A packet comes by. Under RCU, in any context.
    fn packet<'a>(&self, packet: Sending<'a>) -> Verdict<'a>;
}
