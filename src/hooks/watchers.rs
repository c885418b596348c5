// SPDX-License-Identifier: GPL-2.0

//! What is done with a packet at each place.

use crate::{
    arrive,
    fib::{ipv4::BEFORE_ROUTING, Answer, Claim, Parent},
    net::{
        conntrack::Tracking,
        ipv4::Header,
        netfilter::{Passing, Verdict, Watcher},
        skb::Protocol,
    },
    passthru::Fall,
    shortcut::{Set, Shortcut},
};
use kernel::sync::Arc;

/// On each device, before the protocols.
pub(super) struct Ingress(pub(super) Arc<Parent>);

/// In IPv4, before routing.
pub(super) struct Ipv4BeforeRouting(pub(super) Arc<Parent>);

impl Watcher for Ingress {
    fn packet<'a>(&self, packet: Passing<'a>) -> Verdict<'a> {
        match packet.skb().protocol() {
            Protocol::IPV4 => ipv4_at_device(&self.0, packet),
            _ => packet.pass(),
        }
    }
}

impl Watcher for Ipv4BeforeRouting {
    fn packet<'a>(&self, packet: Passing<'a>) -> Verdict<'a> {
        ipv4_before_routing(&self.0, packet)
    }
}

/// Whether a packet is one that only IP has to do with: for this host, with no more below it.
#[inline(always)]
fn is_for_ip(packet: &Passing<'_>) -> bool {
    let skb = packet.skb();
    skb.is_for_host()
        && !skb.has_vlan_tag()
        && !skb.has_extensions()
        && !packet.dev().has_rx_handler()
        && skb.dst(packet.bh().read_side()).is_none()
}

/// The packet comes from the device, and nothing of it was checked.
#[inline(always)]
fn ipv4_at_device<'a>(parent: &Parent, mut packet: Passing<'a>) -> Verdict<'a> {
    const OFFERS: Set = Set::NONE.with(Shortcut::Device);
    if !is_for_ip(&packet) {
        return packet.pass();
    }
    let Some(header) = Header::checked(packet.skb()) else {
        return packet.pass();
    };
    match parent.claim_ipv4(&mut packet, &header, OFFERS, false) {
        Answer::Claimed(claim) if arrive::fits(packet.skb(), &claim, header.len.into()) => {
            take_ipv4(packet, &header, &claim, Shortcut::Device)
        }
        Answer::Refused(reason) => packet.refuse(reason),
        _ => packet.pass(),
    }
}

/// The packet has passed all hooks before routing, which is next.
#[inline(always)]
fn ipv4_before_routing<'a>(parent: &Parent, mut packet: Passing<'a>) -> Verdict<'a> {
    let rcu = packet.bh().read_side();
    if packet.skb().has_extensions() || packet.skb().dst(rcu).is_some() {
        return packet.pass();
    }
    let Some(header) = Header::plain(packet.skb()) else {
        return packet.pass();
    };
    match parent.claim_ipv4(&mut packet, &header, BEFORE_ROUTING, true) {
        Answer::Claimed(claim) => choose_ipv4(packet, &header, &claim),
        Answer::Refused(reason) => packet.refuse(reason),
        Answer::Pass => packet.pass(),
    }
}

/// Which of the shortcuts that the port allows is right for the packet.
#[inline(always)]
fn choose_ipv4<'a>(packet: Passing<'a>, header: &Header, claim: &Claim<'a>) -> Verdict<'a> {
    if !arrive::fits(packet.skb(), claim, header.len.into()) {
        return packet.pass();
    }
    if claim.near.is_some() || !claim.shortcuts.contains(Shortcut::Route) {
        return packet.pass();
    }
    match packet.skb().tracking() {
        Tracking::Untracked | Tracking::Settled => {
            take_ipv4(packet, header, claim, Shortcut::Route)
        }
        Tracking::Unconfirmed => fall(packet, claim, Fall::Unconfirmed),
        Tracking::Unsettled => fall(packet, claim, Fall::Unsettled),
    }
}

#[inline(always)]
fn take_ipv4<'a>(
    packet: Passing<'a>,
    header: &Header,
    claim: &Claim<'a>,
    place: Shortcut,
) -> Verdict<'a> {
    let bh = packet.bh();
    let (skb, verdict) = packet.take();
    arrive::ipv4(skb, header, claim, place, bh);
    verdict
}

#[cold]
fn fall<'a>(packet: Passing<'a>, claim: &Claim<'a>, fall: Fall) -> Verdict<'a> {
    claim.child.driver().arrivals().count_fall(fall);
    packet.pass()
}
