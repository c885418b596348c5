// SPDX-License-Identifier: GPL-2.0

//! Where an IPv6 packet of a child goes on.

use super::{by_route, is_narrow, narrowed, refuses, Exit, Exits};
use crate::{
    fib::{depends_on_key, ipv6::ANY, pair},
    ip::Ipv6,
    net::{
        context::{BottomHalf, ReadSide},
        device::Device,
        dst::HeldDst,
        flow_table::{Flow, FlowTable, Found, Key},
        ipv4::Kind,
        ipv6::Header,
        ipv6_cookie::Cookie,
        netfilter::Family,
        routes::Owned,
        skb::SkBuff,
    },
    passthru::{End, Fall},
};

/// The flows: addresses, port and switches, state and flow, which is [`ANY`] where the parent has no
/// rules. Noted are the cookies of the route and of that to the source, where the source has a say; and
/// whether the route [`is_narrow`].
pub(super) type Flows = FlowTable<End, 6, 2>;

/// The key of a packet that `port`, which forwards or not, has from its child.
///
/// Nothing but rules asks for the class and label of a packet, and a label is another one for each
/// connection.
#[inline(always)]
fn key(
    port: &Device<End>,
    header: &Header,
    state: u32,
    forwards: bool,
    rcu: ReadSide<'_>,
) -> Key<6, 6> {
    let [source, source_low] = header.saddr;
    let [destination, destination_low] = header.daddr;
    let flow = if port.namespace(rcu).ipv6_has_rules() {
        header.flow()
    } else {
        ANY
    };
    Key::counted([
        destination_low,
        destination,
        source_low,
        source,
        pair(port.ifindex() as u32, forwards.into()),
        pair(state, flow),
    ])
}

/// What is remembered, if it still holds.
#[inline(always)]
fn recall<'r>(flow: Flow<'r, End, 2>) -> Option<Exit<'r>> {
    let [cookies, narrow] = flow.notes;
    let route = Cookie((cookies >> 32) as u32);
    let source = Cookie(cookies as u32);
    let holds = flow.dst.still_has_ipv6_cookie(route)
        && (source == Cookie::STEADY
            || flow
                .near
                .is_none_or(|near| near.still_has_ipv6_cookie(source)));
    holds.then(|| narrowed(Exit::remembered(flow.dev, flow.dst), narrow != 0))
}

/// A packet whose way is sought, and what that would be kept under.
struct Question<'a, 'r> {
    port: &'r Device<End>,
    header: &'a Header,
    state: u32,
    key: Key<6, 6>,
    bh: BottomHalf<'r>,
}

impl Exits {
    /// The state of ports, children and routes; none where the port has no IPv6.
    #[inline(always)]
    fn ipv6_state(&self, port: &Device<End>, rcu: ReadSide<'_>) -> Option<u32> {
        let generation = self.generation.read();
        Some(port.ipv6_state(rcu)?.wrapping_add(generation))
    }

    /// As [`Self::recall_ipv4`], for IPv6.
    #[inline(always)]
    pub(crate) fn recall_ipv6<'r>(
        &self,
        port: &'r Device<End>,
        header: &Header,
        rcu: ReadSide<'r>,
    ) -> Option<Exit<'r>> {
        let state = self.ipv6_state(port, rcu)?;
        let key = key(port, header, state, port.ipv6_forwards(rcu), rcu);
        recall(self.ipv6.find(&key, rcu)?)
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
        // Once: what is found out is kept under what this says now.
        let forwards = port.ipv6_forwards(rcu);
        let state = self.ipv6_state(port, rcu).ok_or(Fall::Unrouted)?;
        let key = key(port, header, state, forwards, rcu);
        let namespace = port.namespace(rcu);
        // Before anything is asked.
        let settled = self.settling.is_done(namespace, namespace.ipv6_state(), bh)
            && self.ipv6_state(port, rcu) == Some(state);
        // Changing the rules, or the policies of IPsec, changes the state.
        if !depends_on_key::<Ipv6>(port, rcu) || port.has_rx_handler() {
            return Err(Fall::Unrouted);
        }
        let source = port.owns_ipv6(&header.saddr, &header.daddr, header.flow(), rcu);
        let held = source.as_ref().is_some_and(|source| source.held);
        // Rules of output may ask for more than is known here.
        if refuses(source.is_some(), held, port) || held && namespace.ipv6_has_rules() {
            return Err(Fall::Unrouted);
        }
        let dst = match &source {
            // As for IPv4; and what a namespace sends itself needs no leave to forward.
            Some(source) if source.held => namespace
                .route_output_ipv6(&header.daddr, &header.saddr)
                .ok_or(Fall::Unrouted)?,
            _ if forwards => route(skb, port, bh)?,
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
        let narrow = is_narrow(near, near.is_learned_ipv6(), port);
        let exit = narrowed(by_route(near, port, Family::Ipv6, rcu)?, narrow);
        if settled && self.ipv6.wants(&key, bh) {
            let question = Question {
                port,
                header,
                state,
                key,
                bh,
            };
            self.remember_ipv6(&question, dst, source, exit, narrow);
        }
        Ok(exit)
    }

    /// Remembers where a packet goes on by a route of the parent, which [`is_narrow`] or not, and whose its
    /// source is; or not, where that may change with nothing that tells.
    fn remember_ipv6(
        &self,
        question: &Question<'_, '_>,
        dst: HeldDst,
        source: Option<Owned<HeldDst>>,
        exit: Exit<'_>,
        narrow: bool,
    ) {
        let (port, header, rcu) = (question.port, question.header, question.bh.read_side());
        let (namespace, near) = (port.namespace(rcu), dst.get(rcu));
        let stays = |dst, address| namespace.ipv6_answer_stays(dst, address, rcu);
        let by = source.as_ref().and_then(|source| source.by.as_ref());
        if !stays(near, header.daddr) || by.is_some_and(|by| !stays(by.get(rcu), header.saddr)) {
            return;
        }
        // What has none is right for this packet, and asked for again for the next.
        let Some(route_cookie) = near.ipv6_cookie(rcu) else {
            return;
        };
        let checks = port.driver().policy().checks_sources();
        let source = source.filter(|source| checks || source.held);
        let is_asked = source.is_some();
        let source = source.and_then(|source| source.by);
        let source_cookie = match &source {
            Some(source) => source.get(rcu).ipv6_cookie(rcu),
            None => (!is_asked).then_some(Cookie::STEADY),
        };
        let Some(source_cookie) = source_cookie else {
            return;
        };
        let found = Found {
            dev: exit.sibling(),
            dst,
            near: source,
            notes: [pair(route_cookie.0, source_cookie.0), narrow.into()],
        };
        // As for IPv4.
        let unchanged = || self.ipv6_state(port, rcu) == Some(question.state) && port.is_up();
        let (key, bh) = (&question.key, question.bh);
        self.ipv6.insert(key, found, unchanged, bh);
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
