// SPDX-License-Identifier: GPL-2.0

//! Where an IPv6 packet of a child goes on.

use super::{by_route, Exit, Exits};
use crate::{
    fib::pair,
    net::{
        context::{BottomHalf, ReadSide},
        device::Device,
        dst::HeldDst,
        flow_table::{Flow, FlowTable, Found, Key},
        ipv4::Kind,
        ipv6::{forwards, Cookie, Header},
        netfilter::Family,
        skb::SkBuff,
    },
    passthru::{End, Fall},
};

/// The flows: addresses, port and generation, flow; switches. Noted are the cookies of the route
/// and of that to the source, where the source was checked.
pub(super) type Flows = FlowTable<End, 6, 1>;

/// The key of a packet that `port` has from its child, with the port's switches; none where the
/// port has no IPv6.
#[inline(always)]
fn key(
    port: &Device<End>,
    header: &Header,
    generation: u32,
    rcu: ReadSide<'_>,
) -> Option<Key<6, 6>> {
    let switches = port.ipv6_switches(rcu)?;
    let [source, source_low] = header.saddr;
    let [destination, destination_low] = header.daddr;
    Some(Key {
        words: [
            source,
            source_low,
            destination,
            destination_low,
            pair(port.ifindex() as u32, generation),
            pair(0, header.flow),
        ],
        rest: switches,
    })
}

/// What is remembered, if it still holds.
#[inline(always)]
fn recall<'r>(flow: Flow<'r, End, 1>, port: &Device<End>) -> Option<Exit<'r>> {
    let [cookies] = flow.notes;
    let route = Cookie((cookies >> 32) as u32);
    let source = Cookie(cookies as u32);
    let holds = flow.dst.still_has_ipv6_cookie(route)
        && flow
            .near
            .is_none_or(|near| near.still_has_ipv6_cookie(source));
    holds.then_some(Exit::remembered(flow.dev, flow.dst, port))
}

impl Exits {
    /// As [`Self::recall_ipv4`], for IPv6.
    #[inline(always)]
    pub(crate) fn recall_ipv6<'r>(
        &self,
        port: &'r Device<End>,
        header: &Header,
        rcu: ReadSide<'r>,
    ) -> Option<Exit<'r>> {
        let key = key(port, header, self.generation.read(), rcu)?;
        recall(self.ipv6.find_first(&key, rcu)?, port)
    }

    /// As [`Self::find_out_ipv4`], for IPv6.
    pub(crate) fn find_out_ipv6<'r>(
        &self,
        skb: &mut SkBuff,
        port: &'r Device<End>,
        header: &Header,
        bh: BottomHalf<'r>,
    ) -> Result<Exit<'r>, Fall> {
        let rcu = bh.read_side();
        // What depends on the link is between the two ends of it.
        if !header.is_global() {
            return Err(Fall::Unrouted);
        }
        let generation = self.generation.read();
        let key = key(port, header, generation, rcu).ok_or(Fall::Unrouted)?;
        let known = self.ipv6.find(&key, rcu);
        if let Some(exit) = known.and_then(|flow| recall(flow, port)) {
            return Ok(exit);
        }
        let namespace = port.namespace(rcu);
        // Changing the rules, or the policies of IPsec, makes all cookies worthless.
        if namespace.ipv6_rules_look_deeper()
            || namespace.has_transform_policies()
            || port.is_in_vrf()
            || port.has_rx_handler()
        {
            return Err(Fall::Unrouted);
        }
        let checks = port.driver().policy().checks_sources();
        let source = port.owns_ipv6(&header.saddr, rcu);
        if source.is_none() && checks {
            return Err(Fall::Unrouted);
        }
        let dst = match &source {
            // As for IPv4; and what a namespace sends itself needs no leave to forward.
            Some(source) if source.held => namespace
                .route_output_ipv6(&header.daddr, &header.saddr)
                .ok_or(Fall::Unrouted)?,
            _ if forwards(key.rest) => route(skb, port, bh)?,
            _ => return Err(Fall::Unrouted),
        };
        let near = dst.get(rcu);
        let destination = near.ipv6_destination(rcu);
        if !destination.is_plain() {
            return Err(Fall::Unrouted);
        }
        if destination.kind == Kind::Local {
            return Err(Fall::Parents);
        }
        let exit = by_route(near, port, Family::Ipv6, rcu)?;
        let route_cookie = near.ipv6_cookie().ok_or(Fall::Unrouted)?;
        let source = source.filter(|_| checks).map(|source| source.by);
        let source_cookie = match &source {
            Some(source) => source.get(rcu).ipv6_cookie().ok_or(Fall::Unrouted)?,
            None => Cookie(0),
        };
        let found = Found {
            dev: exit.device(port),
            dst,
            near: source,
            notes: [pair(route_cookie.0, source_cookie.0)],
        };
        let unchanged = || self.generation.read() == generation;
        self.ipv6.insert(&key, found, unchanged, bh);
        Ok(exit)
    }
}

/// The parent's route for a packet that came in by `port`, with nothing of the child's.
fn route<'r>(skb: &mut SkBuff, port: &'r Device<End>, bh: BottomHalf<'r>) -> Result<HeldDst, Fall> {
    let (kept, mark) = (skb.take_dst(), skb.mark());
    skb.set_mark(0);
    let dst = skb.route_ipv6_by(port, bh).and_then(|dst| dst.hold());
    skb.put_dst(kept);
    skb.set_mark(mark);
    dst.ok_or(Fall::Unrouted)
}
