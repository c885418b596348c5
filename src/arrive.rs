// SPDX-License-Identifier: GPL-2.0

//! Packets that take a shortcut, from the moment that it is clear whose they are: into the child.

use crate::{
    fib::Claim,
    net::{
        context::BottomHalf,
        dst::Dst,
        ipv4::Header,
        netfilter::Family,
        rehome::Hooked,
        skb::{DropReason, SkBuff},
    },
    passthru::Fall,
    shortcut::Shortcut,
};

/// Whether a packet is short enough for the child's device. Packets that stand for many are: who
/// takes them apart does so by the size that their sender chose.
#[inline]
pub(crate) fn fits(skb: &SkBuff, claim: &Claim<'_>, len: u32) -> bool {
    if len <= claim.child.mtu() || skb.is_gso() {
        return true;
    }
    claim.child.driver().arrivals().count_fall(Fall::TooLong);
    false
}

/// Gives an IPv4 packet to the child that claims it: hooks before routing, the route that was
/// found out before, and what lies on it. The packet begins with its header, which was checked.
#[inline]
pub(crate) fn ipv4(
    skb: SkBuff,
    header: &Header,
    claim: &Claim<'_>,
    place: Shortcut,
    bh: BottomHalf<'_>,
) {
    let Some(mut skb) = begin(skb, header.len.into(), claim, place) else {
        return;
    };
    let (child, rcu) = (claim.child, bh.read_side());
    skb.rehome(child, crate::net::ipv4::HEADER_LEN);
    if child.is_watched(rcu) {
        return receive_again(skb, claim, bh);
    }
    skb.count_ipv4_input(child, header.tos, bh);
    if child.has_hooks_before_routing(Family::Ipv4, rcu) {
        return hooked_ipv4(skb, header, claim, bh);
    }
    go_on_ipv4(skb, header, claim.route, claim, bh);
}

/// What is done to every packet before it is the child's.
#[inline(always)]
fn begin(skb: SkBuff, len: u32, claim: &Claim<'_>, place: Shortcut) -> Option<SkBuff> {
    let mut skb = skb.unshare()?;
    if skb.trim(len).is_err() {
        skb.drop_with(DropReason::NOMEM);
        return None;
    }
    let end = claim.child.driver();
    end.arrivals().count(place, len + end.framing_len());
    Some(skb)
}

/// The packet has its route: it goes on to the sockets, or to where the child sends it.
#[inline(always)]
fn go_on_ipv4(
    mut skb: SkBuff,
    header: &Header,
    route: Dst<'_>,
    claim: &Claim<'_>,
    bh: BottomHalf<'_>,
) {
    skb.set_ip_flags(claim.flags);
    skb.set_dst(route);
    if route.is_local_delivery() {
        skb.deliver_ipv4(claim.child, header.protocol, bh);
    } else {
        skb.follow_route(bh);
    }
}

/// The child has hooks before routing. What they do to the packet may make another route of it.
#[cold]
fn hooked_ipv4(skb: SkBuff, header: &Header, claim: &Claim<'_>, bh: BottomHalf<'_>) {
    let Hooked::Passed(mut skb) = skb.pass_hooks(Family::Ipv4, claim.child, bh) else {
        return;
    };
    let rcu = bh.read_side();
    let same = Header::plain(&skb).is_some_and(|now| now.routes_as(header));
    if skb.dst(rcu).is_none() {
        if same && skb.mark() == 0 {
            return go_on_ipv4(skb, header, claim.route, claim, bh);
        }
        if let Err(reason) = skb.route_ipv4_again(claim.child, bh) {
            return skb.drop_with(reason);
        }
    }
    skb.follow_route(bh);
}

/// Somebody looks at what the child's device receives, so it has to receive the packet itself.
#[cold]
fn receive_again(skb: SkBuff, claim: &Claim<'_>, bh: BottomHalf<'_>) {
    let rcu = bh.read_side();
    let end = claim.child.driver();
    let Some(port) = end.peer(rcu) else {
        return skb.drop_with(DropReason::DEV_READY);
    };
    // Where it fails the packet is dropped with its reason, and nothing is left to be done.
    let _ = skb.receive_again(claim.child, port, end.is_framed(), bh);
}
