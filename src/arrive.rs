// SPDX-License-Identifier: GPL-2.0

//! Packets that take a shortcut, from the moment that it is clear whose they are: into the child.

use crate::{
    fib::Claim,
    ip::Ip,
    net::{
        context::BottomHalf,
        device::Device,
        rehome::Hooked,
        skb::{DropReason, SkBuff},
        socket::Connection,
    },
    passthru::{End, Fall},
    shortcut::Shortcut,
};

/// Whether a packet is short enough for the child's device. Packets that stand for many are: who
/// takes them apart does so by the size that their sender chose.
#[inline(always)]
pub(crate) fn fits<I: Ip>(skb: &SkBuff, claim: &Claim<'_>, header: &I::Header) -> bool {
    if I::len(header) <= claim.child.mtu() || skb.is_gso() {
        return true;
    }
    claim.child.driver().arrivals().count_fall(Fall::TooLong);
    false
}

/// Gives a packet to the child that claims it: hooks before routing, the route that was found out
/// before, and what lies on it. The packet begins with its header, which was checked; where its
/// socket is known already it is given to that.
#[inline(always)]
pub(crate) fn by_route<I: Ip>(
    skb: SkBuff,
    header: &I::Header,
    claim: &Claim<'_>,
    place: Shortcut,
    connection: Option<Connection<'_>>,
    bh: BottomHalf<'_>,
) {
    let Some(mut skb) = begin::<I>(skb, header, claim, place) else {
        return;
    };
    let (child, rcu) = (claim.child, bh.read_side());
    if child.is_watched(rcu) {
        return receive_again(skb, claim, bh);
    }
    I::begin_input(&mut skb, child, header, bh);
    if child.has_hooks_before_routing(I::FAMILY, rcu) {
        return hooked::<I>(skb, header, claim, connection, bh);
    }
    go_on::<I>(skb, header, claim, connection, bh);
}

/// Gives a packet that has passed the parent's hooks before its sockets to the child's sockets.
#[inline(always)]
pub(crate) fn to_sockets<I: Ip>(
    skb: SkBuff,
    header: &I::Header,
    claim: &Claim<'_>,
    bh: BottomHalf<'_>,
) {
    let Some(mut skb) = begin::<I>(skb, header, claim, Shortcut::Netfilter) else {
        return;
    };
    if !claim.route.is_local_delivery() {
        // The child sends it on, so its own rules have to see it.
        return receive_again(skb, claim, bh);
    }
    I::begin_input(&mut skb, claim.child, header, bh);
    I::note(&mut skb, claim);
    skb.set_dst(claim.route);
    I::deliver(skb, claim.child, header, false, bh);
}

/// What is done to every packet: here it becomes the child's.
#[inline(always)]
fn begin<I: Ip>(
    skb: SkBuff,
    header: &I::Header,
    claim: &Claim<'_>,
    place: Shortcut,
) -> Option<SkBuff> {
    let mut skb = skb.unshare()?;
    if skb.trim(I::len(header)).is_err() {
        skb.drop_with(DropReason::NOMEM);
        return None;
    }
    let end = claim.child.driver();
    end.arrivals()
        .count(place, I::len(header) + end.framing_len());
    skb.rehome(claim.child, I::HEADER_LEN);
    Some(skb)
}

/// On to the sockets, or to where the child sends the packet.
#[inline(always)]
fn go_on<I: Ip>(
    mut skb: SkBuff,
    header: &I::Header,
    claim: &Claim<'_>,
    connection: Option<Connection<'_>>,
    bh: BottomHalf<'_>,
) {
    if let Some(connection) = connection {
        connection.attach(&mut skb);
    }
    I::note(&mut skb, claim);
    skb.set_dst(claim.route);
    if claim.route.is_local_delivery() {
        I::deliver(skb, claim.child, header, true, bh);
    } else {
        skb.follow_route(bh);
    }
}

/// The child has hooks before routing. What they do to the packet may make another route of it,
/// and then it is for another socket too, if for any.
#[cold]
fn hooked<I: Ip>(
    skb: SkBuff,
    header: &I::Header,
    claim: &Claim<'_>,
    connection: Option<Connection<'_>>,
    bh: BottomHalf<'_>,
) {
    let Hooked::Passed(mut skb) = skb.pass_hooks(I::FAMILY, claim.child, bh) else {
        return;
    };
    let same = I::plain(&skb).is_some_and(|now| I::routes_as(&now, header));
    if skb.dst(bh.read_side()).is_none() {
        if same && skb.mark() == 0 {
            let connection = connection.filter(|_| !skb.has_assigned_socket());
            return go_on::<I>(skb, header, claim, connection, bh);
        }
        if let Err(reason) = I::route(&mut skb, claim.child, bh) {
            return skb.drop_refused(reason);
        }
    }
    skb.follow_route(bh);
}

/// Has the child of `port` receive a packet that begins with its network header, whatever it is.
#[cold]
pub(crate) fn by_device(mut skb: SkBuff, port: &Device<End>, place: Shortcut, bh: BottomHalf<'_>) {
    let child = port.driver().peer(bh.read_side());
    let Some(child) = child.filter(|child| child.is_up()) else {
        return skb.drop_with(DropReason::DEV_READY);
    };
    let end = child.driver();
    end.arrivals().count(place, skb.len() + end.framing_len());
    skb.rehome(child, 0);
    // Where it fails the packet is dropped with its reason, and nothing is left to be done.
    let _ = skb.receive_again(child, port, end.is_framed(), bh);
}

/// Somebody looks at what the child's device receives, so it has to receive the packet itself.
#[cold]
pub(crate) fn receive_again(skb: SkBuff, claim: &Claim<'_>, bh: BottomHalf<'_>) {
    let end = claim.child.driver();
    let Some(port) = end.peer(bh.read_side()) else {
        return skb.drop_with(DropReason::DEV_READY);
    };
    // Where it fails the packet is dropped with its reason, and nothing is left to be done.
    let _ = skb.receive_again(claim.child, port, end.is_framed(), bh);
}
