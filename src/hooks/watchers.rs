// SPDX-License-Identifier: GPL-2.0

//! What is done with a packet at each place.

mod ingress;
mod routing;
mod sockets;

use crate::{
    arrive::{self, Ahead},
    fib::Claim,
    ip::Ip,
    net::{
        device::Device,
        netfilter::{Passing, Verdict},
    },
    passthru::{End, Fall},
    shortcut::{Set, Shortcut},
};

pub(super) use ingress::Ingress;
pub(super) use routing::BeforeRouting;
use routing::BEFORE_ROUTING;
pub(super) use sockets::BeforeSockets;

/// The packet goes on, for a reason that will be one at the next place too. It is counted once.
#[cold]
#[inline(never)]
fn fall_for_good<'a>(
    packet: Passing<'a>,
    child: &Device<End>,
    shortcuts: Set,
    place: Shortcut,
    reason: Fall,
) -> Verdict<'a> {
    let last = place != Shortcut::Device || !shortcuts.intersects(BEFORE_ROUTING);
    if last {
        return fall(packet, child, reason);
    }
    packet.pass()
}

/// As [`fall_for_good`], for a packet that cannot be judged by its header. Nothing is kept of those.
#[cold]
#[inline(never)]
fn fall_for_header<'a, I: Ip>(mut packet: Passing<'a>, place: Shortcut) -> Verdict<'a> {
    let Some((port, child)) = I::pair_of_extended(&mut packet) else {
        return packet.pass();
    };
    let shortcuts = port.driver().policy().shortcuts().inward();
    if place == Shortcut::Device && shortcuts.contains(place)
        || place != Shortcut::Device && shortcuts.intersects(BEFORE_ROUTING)
    {
        return fall_for_good(packet, child, shortcuts, place, Fall::Header);
    }
    packet.pass()
}

/// Whether a packet is for this host, and has no route, nor anything that IPsec or a bridge has
/// noted.
#[inline(always)]
fn is_for_here(packet: &Passing<'_>) -> bool {
    let skb = packet.skb();
    skb.is_for_host() && !skb.has_extensions() && skb.dst(packet.bh().read_side()).is_none()
}

#[inline(always)]
fn take<'a, I: Ip>(
    mut packet: Passing<'a>,
    header: &I::Header,
    claim: &Claim<'a>,
    place: Shortcut,
    ahead: Ahead<'a>,
) -> Verdict<'a> {
    let (bh, dev) = (packet.bh(), packet.dev());
    if !arrive::is_free(claim.child, bh.read_side()) {
        return fall_for_good(packet, claim.child, claim.shortcuts, place, Fall::PortTc);
    }
    if arrive::is_too_deep(packet.skb_mut(), dev) {
        return fall(packet, claim.child, Fall::Nested);
    }
    let (skb, verdict) = packet.take();
    arrive::by_route::<I>(skb, header, claim, place, ahead, bh);
    verdict
}

/// The packet goes on.
#[cold]
#[inline(never)]
fn fall<'a>(packet: Passing<'a>, child: &Device<End>, fall: Fall) -> Verdict<'a> {
    child.driver().arrivals().count_fall(fall);
    packet.pass()
}
