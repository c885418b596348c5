// SPDX-License-Identifier: GPL-2.0

//! Packets that take a shortcut, from the moment that it is clear whose they are: into the child.
//!
//! Functions that are seldom needed take what they work on in a few values: what is lent to a
//! function has to be in memory, for the packets that never need it as well.

use crate::{
    fib::{Claim, Way},
    ip::{Ip, TCP, UDP},
    net::{
        context::BottomHalf,
        device::Device,
        percpu::Traffic,
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
    let Some(mut skb) = prepare::<I>(skb, header) else {
        return;
    };
    let child = claim.child;
    let len = skb.len();
    let namespace = child.namespace(bh.read_side());
    if child.is_watched(namespace) {
        return receive_again(skb, child, place, len, bh);
    }
    I::enter(&mut skb, child, header, traffic(child, place, len), bh);
    if namespace.has_hooks_before_routing(I::FAMILY) {
        return hooked::<I>(skb, child, claim.way, connection, bh);
    }
    go_on::<I>(skb, I::protocol(header), child, claim.way, connection, bh);
}

/// Gives a packet that has passed the parent's hooks before its sockets to the child's sockets.
#[inline(always)]
pub(crate) fn to_sockets<I: Ip>(
    skb: SkBuff,
    header: &I::Header,
    claim: &Claim<'_>,
    bh: BottomHalf<'_>,
) {
    let Some(mut skb) = prepare::<I>(skb, header) else {
        return;
    };
    let (child, place, len) = (claim.child, Shortcut::Netfilter, skb.len());
    if !claim.way.is_local {
        // The child sends it on, so its own rules have to see it.
        return receive_again(skb, child, place, len, bh);
    }
    I::enter(&mut skb, child, header, traffic(child, place, len), bh);
    I::note(&mut skb, claim.way);
    skb.set_dst(claim.way.route);
    // What stands before the child's sockets is not asked: the parent's rules were.
    I::deliver(skb, I::protocol(header), true, bh);
}

/// Sees to it that the packet may be changed, and ends where it says.
#[inline(always)]
fn prepare<I: Ip>(skb: SkBuff, header: &I::Header) -> Option<SkBuff> {
    let mut skb = skb.unshare()?;
    if skb.trim(I::len(header)).is_err() {
        skb.drop_with(DropReason::NOMEM);
        return None;
    }
    Some(skb)
}

/// A packet of `len` bytes, to be counted.
#[inline(always)]
fn traffic(child: &Device<End>, place: Shortcut, len: u32) -> Traffic<'_> {
    let end = child.driver();
    end.arrivals().traffic(place, len + end.framing_len())
}

/// On to the sockets, or to where the child sends the packet.
#[inline(always)]
fn go_on<I: Ip>(
    mut skb: SkBuff,
    protocol: u8,
    child: &Device<End>,
    way: Way<'_>,
    connection: Option<Connection<'_>>,
    bh: BottomHalf<'_>,
) {
    if let Some(connection) = connection {
        connection.attach(&mut skb);
    }
    I::note(&mut skb, way);
    skb.set_dst(way.route);
    if way.is_local {
        // What else there is may have more to do before the sockets.
        let direct = matches!(protocol, TCP | UDP)
            && !child
                .namespace(bh.read_side())
                .has_hooks_before_sockets(I::FAMILY);
        I::deliver(skb, protocol, direct, bh);
    } else {
        skb.follow_route(bh);
    }
}

/// The child has hooks before routing. What they do to the packet may make another route of it,
/// and then it is for another socket too, if for any.
#[cold]
#[inline(never)]
fn hooked<I: Ip>(
    skb: SkBuff,
    child: &Device<End>,
    way: Way<'_>,
    connection: Option<Connection<'_>>,
    bh: BottomHalf<'_>,
) {
    let before = I::plain(&skb);
    let Hooked::Passed(mut skb) = skb.pass_hooks(I::FAMILY, child, bh) else {
        return;
    };
    if skb.dst(bh.read_side()).is_none() {
        let same = before
            .zip(I::plain(&skb))
            .filter(|(before, now)| I::routes_as(before, now));
        if let Some((_, now)) = same.filter(|_| skb.mark() == 0) {
            let connection = connection.filter(|_| !skb.has_assigned_socket());
            return go_on::<I>(skb, I::protocol(&now), child, way, connection, bh);
        }
        if let Err(reason) = I::route(&mut skb, child, bh) {
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
    let traffic = traffic(child, place, skb.len());
    skb.rehome(child, traffic);
    // Where it fails the packet is dropped with its reason, and nothing is left to be done.
    let _ = skb.receive_again(child, port, child.driver().is_framed(), bh);
}

/// Somebody looks at what the child's device receives, so it has to receive the packet itself.
#[cold]
#[inline(never)]
fn receive_again(
    mut skb: SkBuff,
    child: &Device<End>,
    place: Shortcut,
    len: u32,
    bh: BottomHalf<'_>,
) {
    skb.rehome(child, traffic(child, place, len));
    let end = child.driver();
    let Some(port) = end.peer(bh.read_side()) else {
        return skb.drop_with(DropReason::DEV_READY);
    };
    // Where it fails the packet is dropped with its reason, and nothing is left to be done.
    let _ = skb.receive_again(child, port, end.is_framed(), bh);
}

/// Has a child receive what another child sent it: the whole packet, which begins with its network
/// header, as long as its header says if that is checked.
pub(crate) fn from_sibling(skb: SkBuff, child: &Device<End>, bh: BottomHalf<'_>) {
    let len = skb.len();
    receive_again(skb, child, Shortcut::Output, len, bh);
}
