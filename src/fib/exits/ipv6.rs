// SPDX-License-Identifier: GPL-2.0

//! Where an IPv6 packet of a child goes on.

use super::{by_route, is_kept, is_narrow, lets_all_leave, narrowed, refuses, Exit, Exits};
use crate::{
    fib::{depends_on_key, ipv6::ANY, pair},
    ip::Ipv6,
    net::{
        context::{BottomHalf, ReadSide},
        device::Device,
        dst::HeldDst,
        flow_table::{Flow, FlowTable, Found, Key},
        hint::unlikely,
        ipv4::Kind,
        ipv6::Header,
        ipv6_cookie::Cookie,
        netfilter::Family,
        routes::Owned,
        skb::SkBuff,
    },
    passthru::{holds_ipv6, End, Fall},
};

/// The flows: addresses, port and switches, state and flow, which is [`ANY`] where the parent has no
/// rules. Noted are the cookies of the route and of that to the source, where the source has a say; and
/// which exit it is, where that is not to be told from the rest.
pub(super) type Flows = FlowTable<End, 6, 2>;

/// Words that a flow is found by where the parent has no rules: its addresses are one child's, if
/// sources are checked.
const ADDRESSES: usize = 4;
/// And where it has some.
const ALL: usize = 6;

/// Noted of an exit that is narrow.
const NARROW: u64 = 1;
/// Noted of one that leads to the parent itself.
const PARENTS: u64 = 2;

/// How things are where what a port's child sends goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
struct State {
    /// Counts what happens to ports, children and routes.
    count: u32,
    /// Whether the port forwards.
    forwards: bool,
    /// Whether the parent has rules, or had some. To add the first one is counted.
    ruled: bool,
}

/// The key of a packet that `port` has from its child.
///
/// Nothing but rules asks for the class and label of a packet, and a label is another one for each
/// connection.
#[inline(always)]
fn key<const HASHED: usize>(port: &Device<End>, header: &Header, state: State) -> Key<6, HASHED> {
    let [source, source_low] = header.saddr;
    let [destination, destination_low] = header.daddr;
    let flow = if HASHED == ALL { header.flow() } else { ANY };
    Key::counted([
        destination_low,
        destination,
        source_low,
        source,
        pair(port.ifindex() as u32, state.forwards.into()),
        pair(state.count, flow),
    ])
}

/// What is remembered, if it still holds.
#[inline(always)]
fn recall<'r>(flow: Flow<'r, End, 2>) -> Option<Result<Exit<'r>, Fall>> {
    let [cookies, which] = flow.notes;
    let route = Cookie((cookies >> 32) as u32);
    let source = Cookie(cookies as u32);
    let holds = flow.dst.still_has_ipv6_cookie(route)
        && (source == Cookie::STEADY
            || flow
                .near
                .is_some_and(|near| near.still_has_ipv6_cookie(source)));
    if !holds {
        return None;
    }
    if which != 0 {
        return Some(match which {
            NARROW => Ok(Exit::Narrow(flow.dst)),
            _ => Err(Fall::Parents),
        });
    }
    Some(Ok(Exit::remembered(flow.dev, flow.dst)))
}

/// A packet whose way is sought, and how things were by then.
struct Question<'a, 'r> {
    port: &'r Device<End>,
    header: &'a Header,
    state: State,
    bh: BottomHalf<'r>,
}

impl Exits {
    /// How things are; none where the port has no IPv6.
    #[inline(always)]
    fn ipv6_state(&self, port: &Device<End>, rcu: ReadSide<'_>) -> Option<State> {
        let generation = self.generation.read();
        let ports = port.ipv6(rcu)?;
        Some(State {
            count: ports.state().wrapping_add(generation),
            forwards: ports.forwards(),
            ruled: ports.namespace().ipv6_has_rules(),
        })
    }

    /// As [`Self::recall_ipv4`], for IPv6.
    #[inline(always)]
    pub(crate) fn recall_ipv6<'r>(
        &self,
        port: &'r Device<End>,
        header: &Header,
        rcu: ReadSide<'r>,
    ) -> Option<Result<Exit<'r>, Fall>> {
        let state = self.ipv6_state(port, rcu)?;
        if unlikely(state.ruled) {
            return self.recall_under_rules(key(port, header, state), rcu);
        }
        let key = key::<ADDRESSES>(port, header, state);
        recall(self.ipv6.find(&key, rcu)?)
    }

    /// As [`Self::recall_ipv6`], where rules of the parent have a say. Takes the key, so that the header
    /// is in memory for nobody else.
    #[inline(never)]
    fn recall_under_rules<'r>(
        &self,
        key: Key<6, ALL>,
        rcu: ReadSide<'r>,
    ) -> Option<Result<Exit<'r>, Fall>> {
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
        if !lets_all_leave(port) && holds_ipv6(port, header, rcu) == Some(false) {
            return Err(Fall::Unrouted);
        }
        // Once: what is found out is kept under what this says now.
        let state = self.ipv6_state(port, rcu).ok_or(Fall::Unrouted)?;
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
        if refuses(source.is_some(), held, port) || held && state.ruled {
            return Err(Fall::Unrouted);
        }
        let dst = match &source {
            // As for IPv4.
            Some(source) if source.held => namespace
                .route_output_ipv6(&header.daddr, &header.saddr)
                .ok_or(Fall::Unrouted)?,
            _ => route(skb, port, bh)?,
        };
        let near = dst.get(rcu);
        let destination = near.ipv6_destination(rcu);
        if !destination.is_plain() {
            return Err(Fall::Unrouted);
        }
        let exit = if destination.kind == Kind::Local {
            Err(Fall::Parents)
        } else if !held && !state.forwards {
            // What a namespace sends itself needs no leave to forward.
            return Err(Fall::Unrouted);
        } else {
            let narrow = is_narrow(near, near.is_learned_ipv6(), port);
            by_route(near, port, Family::Ipv6, rcu).map(|exit| narrowed(exit, narrow))
        };
        if settled && is_kept(&exit) {
            let way = exit.as_ref().ok().copied();
            let question = Question {
                port,
                header,
                state,
                bh,
            };
            if state.ruled {
                self.remember_ipv6::<ALL>(&question, dst, source, way);
            } else {
                self.remember_ipv6::<ADDRESSES>(&question, dst, source, way);
            }
        }
        exit
    }

    /// Remembers where a packet goes on by a route of the parent, if not to the parent itself, and whose its
    /// source is, if that is worth it.
    fn remember_ipv6<const HASHED: usize>(
        &self,
        question: &Question<'_, '_>,
        dst: HeldDst,
        source: Option<Owned<HeldDst>>,
        exit: Option<Exit<'_>>,
    ) {
        let Question {
            port, state, bh, ..
        } = *question;
        let key = key::<HASHED>(port, question.header, state);
        if !self.ipv6.wants(&key, bh) {
            return;
        }
        let Some(found) = found(question, dst, source, exit) else {
            return;
        };
        // As for IPv4.
        let unchanged = || self.ipv6_state(port, bh.read_side()) == Some(state) && port.is_up();
        self.ipv6.insert(&key, found, unchanged, bh);
    }
}

/// What is to be remembered; nothing where that may change with nothing that tells.
fn found<'a>(
    question: &Question<'_, '_>,
    dst: HeldDst,
    source: Option<Owned<HeldDst>>,
    exit: Option<Exit<'a>>,
) -> Option<Found<'a, End, 2>> {
    let (port, header, rcu) = (question.port, question.header, question.bh.read_side());
    let (namespace, near) = (port.namespace(rcu), dst.get(rcu));
    let stays = |dst, address| namespace.ipv6_answer_stays(dst, address, rcu);
    let by = source.as_ref().and_then(|source| source.by.as_ref());
    if !stays(near, header.daddr) || by.is_some_and(|by| !stays(by.get(rcu), header.saddr)) {
        return None;
    }
    // What has none is right for this packet, and asked for again for the next.
    let route_cookie = near.ipv6_cookie(rcu)?;
    let checks = port.driver().policy().checks_sources();
    let source = source.filter(|source| checks || source.held);
    let is_asked = source.is_some();
    let source = source.and_then(|source| source.by);
    let source_cookie = match &source {
        Some(source) => source.get(rcu).ipv6_cookie(rcu)?,
        None if is_asked => return None,
        None => Cookie::STEADY,
    };
    let which = match exit {
        Some(Exit::Uplink(_) | Exit::Sibling(_)) => 0,
        Some(Exit::Narrow(_)) => NARROW,
        None => PARENTS,
    };
    Some(Found {
        dev: exit.and_then(Exit::sibling),
        dst,
        near: source,
        notes: [pair(route_cookie.0, source_cookie.0), which],
    })
}

/// The parent's route for a packet that came in by `port`, with nothing of the child's.
fn route<'r>(skb: &mut SkBuff, port: &'r Device<End>, bh: BottomHalf<'r>) -> Result<HeldDst, Fall> {
    let (kept, mark) = (skb.take_dst(bh.read_side()), skb.mark());
    skb.set_mark(0);
    let dst = skb.route_ipv6_by(port, bh).and_then(|dst| dst.hold());
    skb.put_dst(kept);
    skb.set_mark(mark);
    dst.ok_or(Fall::Unrouted)
}
