// SPDX-License-Identifier: GPL-2.0

//! Whether what a child sends comes from an address of its own (`spoofchk`).
//!
//! An address is the child's if the parent's routes name its port for it. What is not of IP has no
//! such source, and what a bridge has in place of the parent's stack is the bridge's to judge.

use super::{device::End, Mode};
use crate::{
    ip::{Ip, Ipv4, Ipv6},
    net::{
        context::{BottomHalf, ReadSide, Rtnl},
        device::{Device, NetDevice},
        flow_table::{FlowTable, Found, Key},
        ipv4, ipv6,
        ipv6_cookie::Cookie,
        namespace::Namespace,
        once::{Once64, Sequence},
        skb::{Framing, Protocol, SkBuff},
    },
};
use kernel::prelude::*;

/// Addresses that are remembered of each child. Most have one.
const SIZE: usize = 4;
/// Tags that say nothing but a priority, one in the other, that are looked behind.
const MOST_TAGS: usize = 4;

/// Sources of a child that were found to be its own.
pub(crate) struct Sources {
    ipv4: [Entry; SIZE],
    /// By the routes that lead to them; noted are the generation of routes and the cookie, and whether
    /// the parent holds the address.
    ipv6: FlowTable<End, 2, 2>,
}

struct Entry {
    sequence: Sequence,
    words: [Once64; 2],
}

/// An address with the generation of the routes; the namespace with the DSCP, which leaves two bits.
type Words = [u64; 2];

/// One of these bits: whether the parent holds the address.
const HELD: u64 = 1;

impl Sources {
    /// Nothing is known yet. May sleep. Fails with `ENOMEM`.
    pub(super) fn new() -> Result<Self> {
        Ok(Self {
            ipv4: core::array::from_fn(|_| Entry {
                sequence: Sequence::new(),
                words: [Once64::new(0), Once64::new(0)],
            }),
            ipv6: FlowTable::new(SIZE)?,
        })
    }

    /// Lets go of all that refers to devices.
    pub(crate) fn purge(&self, rtnl: &Rtnl) {
        self.ipv6.purge(rtnl);
    }

    fn entry(&self, source: u32) -> &Entry {
        &self.ipv4[u32::from_be(source) as usize % SIZE]
    }

    /// Whether the address is held, where it is known to be the child's.
    fn find(&self, source: u32, key: &Words) -> Option<bool> {
        let entry = self.entry(source);
        let begin = entry.sequence.begin();
        let [first, second] = [0, 1].map(|at| entry.words[at].read() ^ key[at]);
        let same = first | second & !HELD == 0 && entry.sequence.unchanged_since(begin);
        same.then_some(second == HELD)
    }

    fn insert(&self, source: u32, key: &Words) {
        let entry = self.entry(source);
        if entry.sequence.try_write() {
            for (ours, theirs) in entry.words.iter().zip(key) {
                ours.write(*theirs);
            }
            entry.sequence.end_write();
        }
    }
}

/// Whether a packet that the child of `port` sends comes from an address of its own, or has no
/// source that could be another's. It begins as the mode says.
pub(super) fn are_own(
    port: &Device<End>,
    skb: &mut SkBuff,
    mode: Mode,
    bh: BottomHalf<'_>,
) -> bool {
    if !port.driver().policy().checks_sources() {
        return true;
    }
    let judged = match port.has_rx_handler() {
        true => judged_beside_others(port, skb, mode),
        false => Judged::Whole,
    };
    if let Judged::Nothing = judged {
        return true;
    }
    let (protocol, at) = match mode {
        Mode::L3 => (skb.protocol(), 0),
        // What the sender says that the frame is, the receiver does not believe.
        Mode::L2 => match inside(skb) {
            Some(inside) => inside,
            None => return false,
        },
    };
    let header_len = match protocol {
        Protocol::IPV4 => Ipv4::HEADER_LEN,
        Protocol::IPV6 => Ipv6::HEADER_LEN,
        _ => return true,
    };
    // A checksum that is yet to be written could become a part of an address.
    if skb.writes_sum_before(at as u32 + header_len) {
        return false;
    }
    match (protocol, judged) {
        (Protocol::IPV4, Judged::Whole) => is_own_ipv4(port, skb, at, bh.read_side()),
        (Protocol::IPV6, Judged::Whole) => is_own_ipv6(port, skb, at, bh),
        (Protocol::IPV6, _) => makes_no_routes(skb, at),
        _ => true,
    }
}

/// What of a packet is judged.
enum Judged {
    Nothing,
    /// Whether it would make routes, as the parent's say whose an address is.
    Routes,
    Whole,
}

/// What of a packet may be for the parent's own stack, where others share the port. To a group they
/// all get it, and those may be who the source is no lie to.
#[cold]
fn judged_beside_others(port: &NetDevice, skb: &SkBuff, mode: Mode) -> Judged {
    if port.gives_all_away() {
        return Judged::Nothing;
    }
    match mode {
        Mode::L2 if skb.is_frame_for(port) => Judged::Whole,
        Mode::L2 if skb.is_frame_for_group() => Judged::Routes,
        Mode::L2 => Judged::Nothing,
        Mode::L3 => Judged::Whole,
    }
}

/// Whether an IPv6 packet says nothing of routes to whoever gets it.
#[cold]
fn makes_no_routes(skb: &mut SkBuff, at: usize) -> bool {
    let end = at + Ipv6::HEADER_LEN as usize;
    if !skb.may_pull(end as u32) {
        return is_no_packet(skb, end);
    }
    !ipv6::is_routers(skb, at)
}

/// What a frame carries for the parent's own stack, and where that begins. A tag of a VLAN makes it
/// that of another device; one of priority alone does not. None of what cannot be told.
fn inside(skb: &mut SkBuff) -> Option<(Protocol, usize)> {
    const TAG: usize = 4;
    const VLAN_ID: u16 = 0xfff;
    let mut at = Framing::Ethernet.header_len();
    // A tag beside the packet is the outermost.
    if let Some((protocol, tag)) = skb.vlan_tag() {
        if tag & VLAN_ID != 0 {
            return Some((protocol, at));
        }
    }
    for _ in 0..MOST_TAGS {
        let protocol = Protocol::from_wire(read(skb, at - 2)?);
        if !protocol.is_vlan() {
            return Some((protocol, at));
        }
        let tag = u16::from_be_bytes(read(skb, at)?);
        if tag & VLAN_ID != 0 {
            return Some((protocol, at));
        }
        at += TAG;
    }
    None
}

/// `N` bytes of the packet.
fn read<const N: usize>(skb: &mut SkBuff, at: usize) -> Option<[u8; N]> {
    if !skb.may_pull((at + N) as u32) {
        return None;
    }
    skb.linear().get(at..)?.first_chunk().copied()
}

/// Whether what could not be read to `end` is so short that no stack takes it for a packet. If not,
/// memory was short.
fn is_no_packet(skb: &SkBuff, end: usize) -> bool {
    (skb.len() as usize) < end
}

fn is_own_ipv4(port: &Device<End>, skb: &mut SkBuff, at: usize, rcu: ReadSide<'_>) -> bool {
    let Some(header) = read::<20>(skb, at) else {
        return is_no_packet(skb, at + 20);
    };
    let word = |at: usize| {
        header[at..]
            .first_chunk()
            .map_or(0, |word| u32::from_ne_bytes(*word))
    };
    let (source, destination, dscp) = (word(12), word(16), header[1] & 0xfc);
    // Who has no address yet asks for one.
    if source == 0 {
        return true;
    }
    let namespace = port.namespace(rcu);
    let key = key_ipv4(namespace, source, dscp);
    if port.driver().sources().find(source, &key).is_some() {
        return true;
    }
    let Some(owned) = port.owns_ipv4(source, destination, dscp, rcu) else {
        return false;
    };
    // Under rules it may depend on more; adding the first one changes the generation.
    if owned.by.is_some() && !namespace.ipv4_has_rules() {
        let [address, namespace] = key;
        let held = if owned.held { HELD } else { 0 };
        let found = [address, namespace | held];
        port.driver().sources().insert(source, &found);
    }
    true
}

fn key_ipv4(namespace: &Namespace, source: u32, dscp: u8) -> Words {
    let generation = namespace.ipv4_generation();
    [
        u64::from(source) << 32 | u64::from(generation),
        namespace.cookie() << 8 | u64::from(dscp),
    ]
}

/// Whether the parent holds the address that a packet of the child of `port` comes from, where it was
/// found to be the child's own.
pub(crate) fn holds_ipv4(
    port: &Device<End>,
    header: &ipv4::Header,
    rcu: ReadSide<'_>,
) -> Option<bool> {
    let key = key_ipv4(port.namespace(rcu), header.saddr, header.dscp());
    port.driver().sources().find(header.saddr, &key)
}

fn is_own_ipv6(port: &Device<End>, skb: &mut SkBuff, at: usize, bh: BottomHalf<'_>) -> bool {
    let Some(header) = read::<40>(skb, at) else {
        return is_no_packet(skb, at + 40);
    };
    let half = |at: usize| {
        header[at..]
            .first_chunk()
            .map_or(0, |half| u64::from_ne_bytes(*half))
    };
    let source = [half(8), half(16)];
    // Neighbours speak from addresses of the link, and who looks for a duplicate has none yet. But
    // what routers say there would make routes in the parent, which says whose an address is.
    if ipv6::is_of_link(source) || source == [0, 0] {
        return !ipv6::is_routers(skb, at);
    }
    let rcu = bh.read_side();
    let namespace = port.namespace(rcu);
    let state = u64::from(namespace.ipv6_state()) << 32;
    let sources = &port.driver().sources().ipv6;
    let key = Key::new(source);
    if find_ipv6(port, &key, state, rcu).is_some() {
        return true;
    }
    let settling = port.driver().settling();
    let settled = settling.is_done(namespace, namespace.ipv6_state(), bh)
        && u64::from(namespace.ipv6_state()) << 32 == state;
    let (destination, flow) = ([half(24), half(32)], ipv6::flow_of(&header));
    let Some(owned) = port.owns_ipv6(&source, &destination, flow, rcu) else {
        return false;
    };
    let Some(dst) = owned.by else {
        return true;
    };
    // Under rules, and with routes for some sources, it may depend on more; adding the first one changes
    // the state.
    let lasts = settled
        && !namespace.ipv6_has_rules()
        && !namespace.ipv6_has_source_routes()
        && namespace.ipv6_answer_stays(dst.get(rcu), source, rcu);
    let cookie = dst.get(rcu).ipv6_cookie(rcu);
    if let Some(cookie) = cookie.filter(|_| lasts) {
        let found = Found {
            dev: None,
            dst,
            near: None,
            notes: [state | u64::from(cookie.0), owned.held.into()],
        };
        // It is emptied when the port goes, by when nobody finds that up any more.
        sources.insert::<2>(&key, found, || port.is_up(), bh);
    }
    true
}

/// Whether an address is held, where it is known to be the child's in this `state` of the parent's routes,
/// which begins at bit 32.
fn find_ipv6(port: &Device<End>, key: &Key<2, 2>, state: u64, rcu: ReadSide<'_>) -> Option<bool> {
    let flow = port.driver().sources().ipv6.find::<2>(key, rcu)?;
    let [noted, held] = flow.notes;
    let cookie = noted ^ state;
    let holds = cookie >> 32 == 0 && flow.dst.still_has_ipv6_cookie(Cookie(cookie as u32));
    holds.then_some(held != 0)
}

/// As [`holds_ipv4`], for IPv6.
pub(crate) fn holds_ipv6(
    port: &Device<End>,
    header: &ipv6::Header,
    rcu: ReadSide<'_>,
) -> Option<bool> {
    let state = u64::from(port.namespace(rcu).ipv6_state()) << 32;
    find_ipv6(port, &Key::new(header.saddr), state, rcu)
}
