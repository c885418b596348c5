// SPDX-License-Identifier: GPL-2.0

//! Where an IPv4 packet of a child goes on.

use super::{by_route, Exit, Exits};
use crate::{
    fib::pair,
    net::{
        context::{BottomHalf, ReadSide},
        device::Device,
        dst::HeldDst,
        flow_table::{FlowTable, Found, Key},
        ipv4::{Header, Kind},
        netfilter::Family,
        skb::SkBuff,
    },
    passthru::{End, Fall},
};

/// The flows: addresses, port and generation; generation of the parent's routes and DSCP; switches.
pub(super) type Flows = FlowTable<End, 4, 0>;

/// The key of a packet that `port` has from its child; none where the port has no IPv4.
#[inline(always)]
fn key(
    port: &Device<End>,
    header: &Header,
    generation: u32,
    rcu: ReadSide<'_>,
) -> Option<Key<4, 2>> {
    let namespace = port.namespace(rcu);
    let switches = port.ipv4_switches(namespace, 0, rcu)?;
    let others = u32::from(switches.others) << 8;
    Some(Key {
        words: [
            pair(header.daddr, header.saddr),
            pair(port.ifindex() as u32, generation),
            pair(
                namespace.ipv4_generation(),
                others | u32::from(header.dscp()),
            ),
            switches.numbers,
        ],
        rest: 0,
    })
}

impl Exits {
    /// Where the packet goes on, if that is remembered in the place where it is looked for first.
    /// If not, [`Self::find_out_ipv4`] is to be asked.
    #[inline(always)]
    pub(crate) fn recall_ipv4<'r>(
        &self,
        port: &'r Device<End>,
        header: &Header,
        rcu: ReadSide<'r>,
    ) -> Option<Exit<'r>> {
        let key = key(port, header, self.generation.read(), rcu)?;
        let flow = self.ipv4.find_first(&key, rcu)?;
        let exit = Exit::remembered(flow.dev, flow.dst, port);
        flow.dst.is_current().then_some(exit)
    }

    /// Where a packet that begins with its header goes on, or why it must go by the full path. The
    /// packet's own route and control block stay as they are.
    pub(crate) fn find_out_ipv4<'r>(
        &self,
        skb: &mut SkBuff,
        port: &'r Device<End>,
        header: &Header,
        bh: BottomHalf<'r>,
    ) -> Result<Exit<'r>, Fall> {
        let rcu = bh.read_side();
        let generation = self.generation.read();
        let key = key(port, header, generation, rcu).ok_or(Fall::Unrouted)?;
        if let Some(flow) = self.ipv4.find(&key, rcu) {
            if flow.dst.is_current() {
                return Ok(Exit::remembered(flow.dev, flow.dst, port));
            }
        }
        let namespace = port.namespace(rcu);
        // Changing the rules, or the policies of IPsec, changes the generation of routes.
        if namespace.ipv4_rules_look_deeper()
            || namespace.has_transform_policies()
            || port.is_in_vrf()
            || port.has_rx_handler()
            || header.is_to_many()
        {
            return Err(Fall::Unrouted);
        }
        let source = port.owns_ipv4(header.saddr, header.daddr, header.dscp(), rcu);
        if source.is_none() && port.driver().policy().checks_sources() {
            return Err(Fall::Unrouted);
        }
        let dst = match source {
            // The parent's stack would take its own address for a forgery, coming from a child.
            Some(source) if source.held => namespace
                .route_output_ipv4(header.daddr, header.saddr, header.dscp())
                .filter(|dst| dst.get(rcu).ipv4_kind() == Kind::Unicast)
                .ok_or(Fall::Unrouted)?,
            _ => route(skb, port, header, bh)?,
        };
        let exit = by_route(dst.get(rcu), port, Family::Ipv4, rcu)?;
        let found = Found {
            dev: exit.device(port),
            dst,
            near: None,
            notes: [],
        };
        let unchanged = || self.generation.read() == generation;
        self.ipv4.insert(&key, found, unchanged, bh);
        Ok(exit)
    }
}

/// The parent's route for a packet that came in by `port`, with nothing of the child's.
fn route<'r>(
    skb: &mut SkBuff,
    port: &'r Device<End>,
    header: &Header,
    bh: BottomHalf<'r>,
) -> Result<HeldDst, Fall> {
    let (kept, mark, flags) = (skb.take_dst(), skb.mark(), skb.ip_flags());
    skb.set_ip_flags(0);
    skb.set_mark(0);
    let route = skb.route_ipv4(header, port, bh);
    skb.put_dst(kept);
    skb.set_mark(mark);
    skb.set_ip_flags(flags);
    // What routing refuses is refused by the full path, which tells why.
    let route = route.map_err(|_| Fall::Unrouted)?;
    match route.kind {
        Kind::Unicast if !route.multipath && !route.classified => {
            route.dst.hold().ok_or(Fall::Unrouted)
        }
        Kind::Local => Err(Fall::Parents),
        _ => Err(Fall::Unrouted),
    }
}
