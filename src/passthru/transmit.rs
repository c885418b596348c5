// SPDX-License-Identifier: GPL-2.0

//! The full path: from one end's transmit to the other end's receive.

use super::{device::End, drops::Drop, sources, Mode, Role};
use crate::{
    fib::established::Established,
    ip::{self, Ip, Ipv4, Ipv6},
    net::{
        context::BottomHalf,
        device::{Device, NetDevice},
        driver::Transmit,
        skb::{Framing, Protocol, SkBuff},
    },
    output,
};

/// Bytes that a VLAN tag may make a frame longer than the MTU and the Ethernet header.
const VLAN_TAG: u32 = 4;

/// Sends a packet to the other end of the pair. Each packet is counted once: as sent, or as
/// dropped for one reason.
pub(super) fn transmit(dev: &Device<End>, skb: SkBuff, bh: BottomHalf<'_>) -> Transmit {
    match output::at_device(dev, skb, bh) {
        Ok(transmit) => transmit,
        Err(skb) => cross(dev, skb, Next::MayLeave, bh),
    }
}

/// What the next packets of a flow may do while one that crosses the pair is on its way.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Leave early: they have to wait until this one has arrived, so it is noted.
    MayLeave,
    /// Cross the pair behind it: what is for the parent itself goes no other way for as long as it is.
    Crosses,
}

/// As [`transmit`], for a packet that is known not to leave early itself.
pub(crate) fn cross(
    dev: &Device<End>,
    mut skb: SkBuff,
    next: Next,
    bh: BottomHalf<'_>,
) -> Transmit {
    match prepare(dev, &mut skb, bh) {
        Ok(peer) => deliver(dev, peer, skb, next, bh),
        Err(drop) => {
            dev.driver().drops().count(drop);
            skb.drop_with(drop.reason());
            Transmit::Dropped
        }
    }
}

/// Finds the other end, and sees to it that the packet is fit for it.
fn prepare<'r>(
    dev: &Device<End>,
    skb: &mut SkBuff,
    bh: BottomHalf<'r>,
) -> Result<&'r Device<End>, Drop> {
    let end = dev.driver();
    let peer = end.peer(bh.read_side()).ok_or(Drop::NoPeer)?;
    if !peer.is_up() {
        return Err(Drop::PeerDown);
    }
    check_header(end.mode(), skb)?;
    check_length(end.mode(), peer, skb)?;
    if end.role() == Role::Child && !sources::are_own(peer, skb, end.mode(), bh) {
        return Err(Drop::Spoofed);
    }
    skb.orphan_frags().map_err(|_| Drop::NoMemory)?;
    Ok(peer)
}

/// The receiver must find the header that the mode says there is. The rest of the packet is the
/// business of its input path, which checks what comes from anywhere.
fn check_header(mode: Mode, skb: &mut SkBuff) -> Result<(), Drop> {
    let (len, version) = match mode {
        Mode::L2 => (Framing::Ethernet.header_len(), None),
        Mode::L3 => match skb.protocol() {
            Protocol::IPV4 => (20, Some(4)),
            Protocol::IPV6 => (40, Some(6)),
            _ => return Err(Drop::NotIp),
        },
    };
    if !skb.may_pull(len as u32) {
        return Err(Drop::TooShort);
    }
    match version {
        Some(version) if skb.linear().first().map(|byte| byte >> 4) != Some(version) => {
            Err(Drop::BadHeader)
        }
        _ => Ok(()),
    }
}

/// The MTU of the receiver holds, as on a wire. Packets that stand for many are exempt: who takes
/// them apart does so by the size that their sender chose. C: `is_skb_forwardable()`.
fn check_length(mode: Mode, peer: &NetDevice, skb: &SkBuff) -> Result<(), Drop> {
    let around = match mode {
        Mode::L2 => Framing::Ethernet.header_len() as u32 + VLAN_TAG,
        Mode::L3 => 0,
    };
    if skb.len() <= peer.mtu().saturating_add(around) || skb.is_gso() {
        Ok(())
    } else {
        Err(Drop::TooLong)
    }
}

/// A packet to a child has passed the rules of its parent: the next ones of its connection may do
/// without, where the port allows them to come by `device`.
#[cold]
#[inline(never)]
fn note_established(dev: &Device<End>, peer: &Device<End>, skb: &SkBuff, bh: BottomHalf<'_>) {
    let rcu = bh.read_side();
    let end = dev.driver();
    let Some(flows) = end.established(rcu) else {
        return;
    };
    if skb.has_vlan_tag() || !dev.sends_all(rcu) {
        return;
    }
    let Some(input) = dev.namespace(rcu).device(skb.input_ifindex(), rcu) else {
        return;
    };
    let packet = skb.linear().get(end.mode().framing().header_len()..);
    match (skb.protocol(), packet) {
        (Protocol::IPV4, Some(packet)) => note_flow::<Ipv4>(flows, skb, packet, input, peer, bh),
        (Protocol::IPV6, Some(packet)) => note_flow::<Ipv6>(flows, skb, packet, input, peer, bh),
        _ => {}
    }
}

fn note_flow<I: Ip>(
    flows: &Established,
    skb: &SkBuff,
    packet: &[u8],
    input: &NetDevice,
    child: &Device<End>,
    bh: BottomHalf<'_>,
) {
    if let Some(header) = I::plain_in(packet) {
        flows.note::<I>(skb, packet, &header, input, child, bh);
    }
}

/// Hands the packet to the receiver, as one that came from outside: with nothing of what the
/// sender's stack knew of it.
fn deliver(
    dev: &Device<End>,
    peer: &Device<End>,
    mut skb: SkBuff,
    next: Next,
    bh: BottomHalf<'_>,
) -> Transmit {
    let rcu = bh.read_side();
    let len = skb.len();
    skb.tx_timestamp();
    if skb.is_tracked() {
        note_established(dev, peer, &skb, bh);
    }
    let queue = peer.has_rx_queues().then(|| skb.queue());
    skb.scrub(dev.namespace(rcu) != peer.namespace(rcu));
    if let Some(queue) = queue {
        skb.record_rx_queue(peer, queue);
    }
    dev.count_tx(len, bh);
    let framing = dev.driver().mode().framing();
    let kind = ip::kind_of(skb.linear().get(framing.header_len()..));
    match skb.receive(peer, framing, bh) {
        Ok(()) => {
            peer.count_rx(len, bh);
            if next == Next::MayLeave {
                // As long as all that the child sends goes this way others may wait behind it. Later
                // they would meet rules that are not for them.
                let alone = dev.driver().exits(rcu).is_some();
                peer.driver().in_flight().note(kind, alone, bh);
            }
            Transmit::Sent
        }
        // It was sent; the kernel has counted it as dropped by the receiver.
        Err(_) => Transmit::Dropped,
    }
}
