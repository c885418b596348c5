// SPDX-License-Identifier: GPL-2.0

//! Where an IPv4 packet of a child goes on.

use super::{by_route, is_kept, is_narrow, lets_all_leave, narrowed, refuses, Exit, Exits};
use crate::{
    fib::{depends_on_key, pair},
    ip::Ipv4,
    net::{
        context::{BottomHalf, ReadSide},
        device::Device,
        dst::HeldDst,
        flow_table::{Flow, FlowTable, Found, Key},
        ipv4::{Checks, Header, Kind},
        namespace::Namespace,
        netfilter::Family,
        skb::SkBuff,
    },
    passthru::{holds_ipv4, End, Fall},
};

/// The flows: addresses; port and generation; generation of the parent's routes and DSCP. Noted is
/// what of the port's switches has a say.
pub(super) type Flows = FlowTable<End, 3, 1>;

/// The key of a packet that `port` has from its child.
#[inline(always)]
fn key(port: &Device<End>, header: &Header, generation: u32, rcu: ReadSide<'_>) -> Key<3, 2> {
    let routes = port.namespace(rcu).ipv4_generation();
    Key::counted([
        pair(header.daddr, header.saddr),
        pair(port.ifindex() as u32, generation),
        pair(routes, header.dscp().into()),
    ])
}

/// Whether the parent need not forward: it sends the packet as its own, or the packet is for itself.
const OWN: u64 = 1 << 8;
/// Whether the port's checks have a say in where the packet may come from; they are noted too.
const CHECKED: u64 = 1 << 9;
/// Whether the route leads out, and [`is_narrow`].
const NARROW: u64 = 1 << 10;
/// Whether the route leads to the parent itself. Its checks are made there.
const PARENTS: u64 = 1 << 11;

/// What is noted of an exit; of none that the packet is for the parent itself.
fn note(is_own: bool, checks: Checks, exit: Option<Exit<'_>>) -> u64 {
    let own = if is_own { OWN } else { 0 };
    let checked = if checks == Checks::ALL { 0 } else { CHECKED };
    let note = own | checked | u64::from(checks.to_note());
    match exit {
        Some(Exit::Uplink(_) | Exit::Sibling(_)) => note,
        Some(Exit::Narrow(_)) => note | NARROW,
        None => OWN | PARENTS,
    }
}

/// What is remembered, if it still holds.
#[inline(always)]
fn recall<'r>(
    flow: Flow<'r, End, 1>,
    port: &Device<End>,
    rcu: ReadSide<'r>,
) -> Option<Result<Exit<'r>, Fall>> {
    let [noted] = flow.notes;
    if !flow.dst.is_current() || !(port.ipv4_forwards(rcu)? || noted & OWN != 0) {
        return None;
    }
    // All at once: most flows have none.
    if noted & (CHECKED | NARROW | PARENTS) != 0 {
        if noted & PARENTS != 0 {
            return Some(Err(Fall::Parents));
        }
        if noted & CHECKED != 0 && !checks_are_the_same(noted as u32, port, rcu) {
            return None;
        }
        if noted & NARROW != 0 {
            return Some(Ok(Exit::Narrow(flow.dst)));
        }
    }
    Some(Ok(Exit::remembered(flow.dev, flow.dst)))
}

/// Whether the port checks sources as when the note was made.
#[inline(never)]
fn checks_are_the_same(noted: u32, port: &Device<End>, rcu: ReadSide<'_>) -> bool {
    port.ipv4_checks(port.namespace(rcu), 0, rcu) == Some(Checks::from_note(noted))
}

impl Exits {
    /// Where the packet goes on, or that it is for the parent, if that is remembered. If not, [`Self::find_out_ipv4`] is to be asked.
    #[inline(always)]
    pub(crate) fn recall_ipv4<'r>(
        &self,
        port: &'r Device<End>,
        header: &Header,
        rcu: ReadSide<'r>,
    ) -> Option<Result<Exit<'r>, Fall>> {
        let key = key(port, header, self.generation.read(), rcu);
        recall(self.ipv4.find(&key, rcu)?, port, rcu)
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
        if !lets_all_leave(port) && holds_ipv4(port, header, rcu) == Some(false) {
            return Err(Fall::Unrouted);
        }
        let generation = self.generation.read();
        let key = key(port, header, generation, rcu);
        let namespace = port.namespace(rcu);
        // Changing the rules, or the policies of IPsec, changes the generation of routes.
        if !depends_on_key::<Ipv4>(port, rcu) || port.has_rx_handler() || header.is_to_many() {
            return Err(Fall::Unrouted);
        }
        let source = port.owns_ipv4(header.saddr, header.daddr, header.dscp(), rcu);
        let held = source.as_ref().is_some_and(|source| source.held);
        let ruled = namespace.ipv4_has_rules();
        // Rules of output may ask for more than is known here.
        if refuses(source.is_some(), held, port) || held && ruled {
            return Err(Fall::Unrouted);
        }
        // Of a group of nexthops nothing is remembered. Which route that rules lead to is by one is not
        // told.
        let may_be_group = ruled && namespace.has_nexthops();
        let lasts = !may_be_group && source.as_ref().is_none_or(|source| source.by.is_some());
        let checks = port.ipv4_checks(namespace, 0, rcu).ok_or(Fall::Unrouted)?;
        // Rules may ask for the device that an answer comes in by, and lead elsewhere.
        let (is_own, checks) = match &source {
            Some(source) if source.held || !ruled => (source.held, Checks::ALL),
            _ => (false, checks),
        };
        let dst = match source {
            // The parent's stack would take its own address for a forgery, coming from a child.
            Some(source) if source.held => route_own(namespace, header, rcu)?,
            _ => route(skb, port, header, bh)?,
        };
        let near = dst.get(rcu);
        let narrow = is_narrow(near, near.is_learned_ipv4(), port);
        let exit = by_route(near, port, Family::Ipv4, rcu).map(|exit| narrowed(exit, narrow));
        if !lasts || !is_kept(&exit) || !self.ipv4.wants(&key, bh) {
            return exit;
        }
        let way = exit.as_ref().ok().copied();
        let found = Found {
            dev: way.and_then(Exit::sibling),
            dst,
            near: None,
            notes: [note(is_own, checks, way)],
        };
        // Who saw the port up may have come late: what is counted when it goes down is counted then.
        let unchanged = || self.generation.read() == generation && port.is_up();
        self.ipv4.insert(&key, found, unchanged, bh);
        exit
    }
}

/// The route of a packet that the parent sends as its own.
fn route_own(namespace: &Namespace, header: &Header, rcu: ReadSide<'_>) -> Result<HeldDst, Fall> {
    let (daddr, saddr, dscp) = (header.daddr, header.saddr, header.dscp());
    if namespace.output_varies_ipv4(daddr, saddr, dscp, rcu) {
        return Err(Fall::Unrouted);
    }
    namespace
        .route_output_ipv4(daddr, saddr, dscp)
        .filter(|dst| matches!(dst.get(rcu).ipv4_kind(), Kind::Unicast | Kind::Local))
        .ok_or(Fall::Unrouted)
}

/// The parent's route for a packet that came in by `port`, with nothing of the child's.
fn route<'r>(
    skb: &mut SkBuff,
    port: &'r Device<End>,
    header: &Header,
    bh: BottomHalf<'r>,
) -> Result<HeldDst, Fall> {
    let (kept, mark, flags) = (skb.take_dst(bh.read_side()), skb.mark(), skb.ip_flags());
    skb.set_ip_flags(0);
    skb.set_mark(0);
    let route = skb.route_ipv4(header, port, bh);
    skb.put_dst(kept);
    skb.set_mark(mark);
    skb.set_ip_flags(flags);
    // What routing refuses is refused by the full path, which tells why.
    let route = route.map_err(|_| Fall::Unrouted)?;
    match route.kind {
        Kind::Unicast | Kind::Local if !route.multipath && !route.classified => {
            route.dst.hold().ok_or(Fall::Unrouted)
        }
        Kind::Local => Err(Fall::Parents),
        _ => Err(Fall::Unrouted),
    }
}
