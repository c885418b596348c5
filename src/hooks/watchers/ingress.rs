// SPDX-License-Identifier: GPL-2.0

//! What is done with a packet on its device, before the protocols.

use super::{fall, fall_for_good, fall_for_header, is_for_here, routing::BeforeRouting, take};
use crate::{
    arrive::{self, Ahead},
    fib::{Answer, At, Claim, Parent},
    ip::{Ip, Ipv4, Ipv6},
    net::{
        device::Device,
        netfilter::{Passing, Verdict, Watcher},
        skb::Protocol,
    },
    passthru::{End, Fall},
    shortcut::{Set, Shortcut},
};
use kernel::sync::Arc;

/// On each device, before the protocols.
pub(in crate::hooks) struct Ingress(pub(in crate::hooks) Arc<Parent>);

impl Watcher for Ingress {
    /// Here as at the other places, who lets a stranger's packet go saves no registers for what
    /// it does not do: all else is in a function of its own.
    #[inline(always)]
    fn packet<'a>(&self, packet: Passing<'a>) -> Verdict<'a> {
        match packet.skb().protocol() {
            Protocol::IPV4 => from_device::<Ipv4>(&self.0, packet),
            Protocol::IPV6 => from_device::<Ipv6>(&self.0, packet),
            _ => packet.pass(),
        }
    }
}

#[inline(always)]
fn from_device<'a, I: Ip>(parent: &Parent, packet: Passing<'a>) -> Verdict<'a> {
    let (state, stranger) = I::meet(parent, &packet);
    if stranger.is_some() {
        return packet.pass();
    }
    at_device::<I>(parent, packet, state)
}

/// The packet comes from the device, and nothing of it was checked.
#[inline(never)]
fn at_device<'a, I: Ip>(parent: &Parent, packet: Passing<'a>, state: I::State) -> Verdict<'a> {
    if !is_for_ip(&packet) || !I::is_on(packet.dev(), packet.bh()) {
        return packet.pass();
    }
    let Some(header) = I::checked(packet.skb()) else {
        return fall_for_header::<I>(packet, Shortcut::Device);
    };
    if I::is_by_flow(&packet, &header) {
        return by_flow_at_device::<I>(parent, packet, header, state);
    }
    match I::recall(parent, &packet, &header, state) {
        Some(claim) => take_at_device::<I>(parent, packet, &header, &claim),
        None => new_at_device::<I>(parent, packet, header),
    }
}

/// As [`at_device`], for a packet that is looked for by its flow. Takes the header by value: what is
/// lent has to be in memory, for all others as well.
#[inline(never)]
fn by_flow_at_device<'a, I: Ip>(
    parent: &Parent,
    packet: Passing<'a>,
    header: I::Header,
    state: I::State,
) -> Verdict<'a> {
    match I::recall_flow(parent, &packet, &header, state) {
        Some(claim) => take_at_device::<I>(parent, packet, &header, &claim),
        None => new_at_device::<I>(parent, packet, header),
    }
}

#[inline(always)]
fn take_at_device<'a, I: Ip>(
    parent: &Parent,
    mut packet: Passing<'a>,
    header: &I::Header,
    claim: &Claim<'a>,
) -> Verdict<'a> {
    if !claim.shortcuts.contains(Shortcut::Device) {
        return packet.pass();
    }
    if is_still_tracked::<I>(parent, &packet, header, claim.child) {
        return fall(packet, claim.child, Fall::Tracked);
    }
    let (place, rcu) = (Shortcut::Device, packet.bh().read_side());
    match arrive::fits::<I>(packet.skb_mut(), claim, header, rcu) {
        Ok(()) => take::<I>(packet, header, claim, place, Ahead::Unknown),
        Err(reason) => fall_for_good(packet, claim.child, claim.shortcuts, place, reason),
    }
}

/// Whether the parent tracks connections, and does not know that of the packet yet. What the child
/// answers goes by the parent's rules, which would take it for a stranger's: there connections have
/// to be known from their first packet on.
#[inline(always)]
fn is_still_tracked<I: Ip>(
    parent: &Parent,
    packet: &Passing<'_>,
    header: &I::Header,
    child: &Device<End>,
) -> bool {
    let rcu = packet.bh().read_side();
    let namespace = packet.dev().namespace(rcu);
    // Whether one of the hooks is tracking's takes longer to tell than whether this is known.
    namespace.has_before_routing_besides::<BeforeRouting<I>>(I::FAMILY, rcu)
        && !is_established::<I>(parent, packet, header, child)
        && namespace.tracks(I::FAMILY, rcu)
}

/// Whether a packet is of a connection that tracking knows already.
#[inline(never)]
fn is_established<I: Ip>(
    parent: &Parent,
    packet: &Passing<'_>,
    header: &I::Header,
    child: &Device<End>,
) -> bool {
    let (ifindex, bh) = (packet.dev().ifindex(), packet.bh());
    parent
        .established()
        .has::<I>(packet.skb(), header, ifindex, child, bh)
}

/// As [`at_device`], for a packet of which nothing is remembered.
#[cold]
#[inline(never)]
fn new_at_device<'a, I: Ip>(
    parent: &Parent,
    mut packet: Passing<'a>,
    header: I::Header,
) -> Verdict<'a> {
    const OFFERS: Set = Set::NONE.with(Shortcut::Device);
    match I::find_out(parent, &mut packet, &header, OFFERS, At::Device) {
        Answer::Claimed(claim) => take_at_device::<I>(parent, packet, &header, &claim),
        // What routing refuses here it may let in when the parent's hooks have seen the packet.
        _ => packet.pass(),
    }
}

/// Whether a packet is one that only IP has to do with, and no more below it.
#[inline(always)]
fn is_for_ip(packet: &Passing<'_>) -> bool {
    let skb = packet.skb();
    !skb.has_vlan_tag()
        && !packet.dev().has_rx_handler()
        && is_for_here(packet)
        && !skb.has_prefetched_socket()
}
