// SPDX-License-Identifier: GPL-2.0

//! What is done with a packet before the parent's sockets.

use crate::{
    arrive,
    fib::{Answer, At, Claim, Parent, Way},
    ip::Ip,
    net::{
        address_hashes::SocketNumber,
        context::BottomHalf,
        device::Device,
        netfilter::{Passing, Verdict, Watcher},
        skb::{DropReason, SkBuff},
    },
    passthru::{End, Fall},
    shortcut::{Set, Shortcut},
};
use core::marker::PhantomData;
use kernel::sync::Arc;

/// In a version of IP, before the sockets.
pub(in crate::hooks) struct BeforeSockets<I> {
    parent: Arc<Parent>,
    ip: PhantomData<fn() -> I>,
}

impl<I: Ip> BeforeSockets<I> {
    /// For a namespace of which `parent` knows what is to be known.
    pub(in crate::hooks) fn new(parent: Arc<Parent>) -> Self {
        Self {
            parent,
            ip: PhantomData,
        }
    }
}

impl<I: Ip> Watcher for BeforeSockets<I> {
    /// The packet has passed all of the parent's hooks. If its address was given to a port it is
    /// the child's, and none of the parent's own sockets may have it.
    #[inline(always)]
    fn packet<'a>(&self, packet: Passing<'a>) -> Verdict<'a> {
        let (state, stranger) = I::meet(&self.parent, &packet);
        if stranger.is_some() {
            return packet.pass();
        }
        before_sockets::<I>(&self.parent, packet, state)
    }

    /// A program has read the packet for tracking (a helper in user space).
    fn late(packet: Passing<'_>) {
        let bh = packet.bh();
        let Some(port) = I::held_for(&packet) else {
            let _dropped = packet.refuse(DropReason::NETFILTER_DROP);
            return;
        };
        let holds = holds_for_others::<I>(port, bh);
        let (skb, _taken) = packet.take();
        arrive::by_device(skb, port, Shortcut::Netfilter, holds, bh);
    }
}

/// The packet may be a child's.
#[inline(never)]
fn before_sockets<'a, I: Ip>(parent: &Parent, packet: Passing<'a>, state: I::State) -> Verdict<'a> {
    // What IPsec has opened its policies judge.
    let header = I::plain(packet.skb()).filter(|_| !packet.skb().has_extensions());
    let Some(header) = header else {
        return hand_over::<I>(packet);
    };
    if I::is_by_flow(&packet, &header) {
        return by_flow_before_sockets::<I>(parent, packet, header, state);
    }
    match I::recall(parent, &packet, &header, state) {
        Some(claim) => admit::<I>(packet, &header, &claim),
        None => new_before_sockets::<I>(parent, packet, header),
    }
}

/// As [`before_sockets`], for a packet that is looked for by its flow.
#[inline(never)]
fn by_flow_before_sockets<'a, I: Ip>(
    parent: &Parent,
    packet: Passing<'a>,
    header: I::Header,
    state: I::State,
) -> Verdict<'a> {
    match I::recall_flow(parent, &packet, &header, state) {
        Some(claim) => admit::<I>(packet, &header, &claim),
        None => new_before_sockets::<I>(parent, packet, header),
    }
}

/// The packet goes in circles, by addresses that namespaces hold for each other.
#[cold]
#[inline(never)]
fn refuse_nested<'a>(packet: Passing<'a>, child: Option<&Device<End>>) -> Verdict<'a> {
    if let Some(child) = child {
        child.driver().arrivals().count_fall(Fall::Nested);
    }
    packet.refuse(DropReason::RECURSION_LIMIT)
}

/// The packet is one that cannot be judged, or that the child will not have by this way. If its
/// address is held for a child that one's stack must see to it, and never the parent's sockets.
#[cold]
fn hand_over<'a, I: Ip>(mut packet: Passing<'a>) -> Verdict<'a> {
    let Some(port) = I::held_for(&packet) else {
        return packet.pass();
    };
    let (bh, dev) = (packet.bh(), packet.dev());
    if arrive::is_too_deep(packet.skb_mut(), dev) {
        return refuse_nested(packet, port.driver().peer(bh.read_side()));
    }
    if I::is_from_link(packet.skb()) {
        return packet.refuse(DropReason::IP_INVALID_SOURCE);
    }
    // The parent's own sockets would ask this, and they do not get it.
    if !packet.skb_mut().passes_policies(I::FAMILY) {
        return packet.refuse(DropReason::XFRM_POLICY);
    }
    if I::finish_input(packet.skb_mut()).is_err() {
        return packet.refuse(DropReason::NOMEM);
    }
    hand_to::<I>(packet, port)
}

/// Has the child of `port` receive a packet that has passed the parent's hooks.
#[cold]
#[inline(never)]
fn hand_to<'a, I: Ip>(packet: Passing<'a>, port: &Device<End>) -> Verdict<'a> {
    let bh = packet.bh();
    let holds = holds_for_others::<I>(port, bh);
    let (skb, verdict) = packet.take_after_all::<BeforeSockets<I>>(I::FAMILY);
    if let Some(skb) = skb {
        arrive::by_device(skb, port, Shortcut::Netfilter, holds, bh);
    }
    verdict
}

/// Whether the child of a port holds addresses for children of its own.
fn holds_for_others<I: Ip>(port: &Device<End>, bh: BottomHalf<'_>) -> bool {
    let rcu = bh.read_side();
    port.driver().peer(rcu).is_some_and(|child| {
        let namespace = child.namespace(rcu);
        namespace.has_before_sockets::<BeforeSockets<I>>(I::FAMILY, rcu)
    })
}

/// A packet of which nothing is remembered, before the sockets.
#[cold]
#[inline(never)]
fn new_before_sockets<'a, I: Ip>(
    parent: &Parent,
    mut packet: Passing<'a>,
    header: I::Header,
) -> Verdict<'a> {
    const OFFERS: Set = Set::NONE.with(Shortcut::Netfilter);
    match I::find_out(parent, &mut packet, &header, OFFERS, At::Sockets) {
        Answer::Claimed(claim) => admit::<I>(packet, &header, &claim),
        Answer::Held => hand_over::<I>(packet),
        _ => packet.pass(),
    }
}

/// The parent's rules have let the packet in.
#[inline(always)]
pub(super) fn admit<'a, I: Ip>(
    mut packet: Passing<'a>,
    header: &I::Header,
    claim: &Claim<'a>,
) -> Verdict<'a> {
    if !claim.is_near() || !claim.shortcuts.contains(Shortcut::Netfilter) {
        return packet.pass();
    }
    let (bh, dev) = (packet.bh(), packet.dev());
    if arrive::is_too_deep(packet.skb_mut(), dev) {
        return refuse_nested(packet, Some(claim.child));
    }
    // Of what the link had for all TCP takes nothing, and others answer to less: the child's stack has to
    // see that it is such. C: `tcp_v4_rcv()`, `__icmp_send()`.
    let rcu = bh.read_side();
    if !packet.skb().is_for_host() {
        return match claim.child.driver().peer(rcu) {
            Some(port) => hand_to::<I>(packet, port),
            None => packet.refuse(DropReason::DEV_READY),
        };
    }
    let namespace = claim.child.namespace(rcu);
    let holds = namespace.has_before_sockets::<BeforeSockets<I>>(I::FAMILY, rcu);
    let len = packet.skb().len();
    let (skb, verdict) = packet.take_after_all::<BeforeSockets<I>>(I::FAMILY);
    match skb {
        Some(skb) if skb.len() == len => {
            let Claim {
                child, way, number, ..
            } = *claim;
            arrive::to_sockets::<I>(skb, header, child, way, number, holds, bh);
        }
        Some(skb) => changed_by_helper::<I>(skb, claim.child, claim.way, holds, bh),
        None => {}
    }
    verdict
}

/// Tracking has made another packet of this one, as helpers do where an address is in what it says.
/// Takes of the claim what it needs, so that it is in memory for nobody else.
#[cold]
#[inline(never)]
fn changed_by_helper<I: Ip>(
    skb: SkBuff,
    child: &Device<End>,
    way: Way<'_>,
    holds: bool,
    bh: BottomHalf<'_>,
) {
    if let Some(header) = I::plain(&skb) {
        let number = SocketNumber::UNKNOWN;
        return arrive::to_sockets::<I>(skb, &header, child, way, number, holds, bh);
    }
    match child.driver().peer(bh.read_side()) {
        Some(port) => arrive::by_device(skb, port, Shortcut::Netfilter, holds, bh),
        None => skb.drop_with(DropReason::DEV_READY),
    }
}
