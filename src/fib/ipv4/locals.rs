// SPDX-License-Identifier: GPL-2.0

//! The routes of IPv4 packets for the parent's own sockets.
//!
//! A parent's own packets come by the hooks that its children's need. In return they need not be
//! routed: what the kernel found out about such a flow, by a lookup and by source validation, is
//! remembered like what is found out about a child's.

use super::{material, may_move, Checks, End, Header, Kind, Parent, Passing, Question};
use crate::net::{
    dst::Dst,
    flow_table::{Flow, Found, Place},
    skb::DropReason,
};

/// Flows that are remembered of each namespace: a quarter of a MiB.
pub(in crate::fib) const SIZE: usize = 4096;

impl Parent {
    /// The route of a packet for this namespace, if that is remembered; or its place, for [`Self::learn_local_ipv4`].
    #[inline(always)]
    pub(crate) fn recall_local_ipv4<'r>(
        &self,
        packet: &Passing<'r>,
        header: &Header,
        state: u32,
    ) -> Result<Dst<'r>, Option<Place>> {
        let question = Question::in_state(state, packet, header).ok_or(None)?;
        let (table, rcu) = (&self.ipv4_locals, question.bh.read_side());
        let place = table.place(&question.key);
        table
            .find_from(&question.key, place, rcu)
            .and_then(|flow| recall(flow, &question))
            .ok_or(Some(place))
    }

    /// Gives a packet that is about to be routed, and is for no child, its route, if that is to be
    /// remembered. Fails where routing refuses the packet.
    #[cold]
    #[inline(never)]
    pub(crate) fn learn_local_ipv4(
        &self,
        packet: &mut Passing<'_>,
        header: &Header,
        place: Option<Place>,
    ) -> Result<(), DropReason> {
        // Who makes up sources ends here.
        if !place.is_some_and(|place| self.ipv4_locals.invites(place, packet.bh())) {
            return Ok(());
        }
        let Some(question) = Question::new(self, packet, header) else {
            return Ok(());
        };
        self.remember_local(packet, &question)
    }

    /// Remembers the route of a packet for the parent itself that comes from an address which is held for a
    /// child: it was routed as what the parent sends, so nobody has to let it in. Rules may ask for more
    /// than is known here.
    pub(crate) fn note_local_ipv4(&self, packet: &Passing<'_>, header: &Header, state: u32) {
        let Some(question) = Question::in_state(state, packet, header) else {
            return;
        };
        let rcu = question.bh.read_side();
        let namespace = question.dev.namespace(rcu);
        let known = packet.skb().dst(rcu);
        let Some(dst) = known.filter(|dst| dst.ipv4_kind() == Kind::Local) else {
            return;
        };
        if !question.depends_on_key(rcu)
            || namespace.ipv4_has_rules()
            || !self.ipv4_locals.wants(&question.key, question.bh)
        {
            return;
        }
        let Some(dst) = dst.hold() else {
            return;
        };
        let found = Found {
            dev: None,
            dst,
            near: None,
            notes: [Checks::ALL.to_note().into()],
        };
        let unchanged = || self.ipv4_state(namespace) == state;
        self.ipv4_locals
            .insert(&question.key, found, unchanged, question.bh);
    }

    /// Routes the packet, and remembers that.
    fn remember_local(
        &self,
        packet: &mut Passing<'_>,
        question: &Question<'_>,
    ) -> Result<(), DropReason> {
        let (dev, bh) = (question.dev, question.bh);
        let rcu = bh.read_side();
        let namespace = dev.namespace(rcu);
        if !question.depends_on_key(rcu) || question.header.is_to_many() {
            return Ok(());
        }
        let Some(checks) = dev.ipv4_checks(namespace, question.mark, rcu) else {
            return Ok(());
        };
        let route = packet.skb_mut().route_ipv4(&question.header, dev, bh)?;
        if route.kind != Kind::Local {
            // Who has asked before did not ask for as much.
            self.remember_stranger_ipv4(question, &route, rcu);
            return Ok(());
        }
        if route.classified || may_move(dev, question, rcu) {
            return Ok(());
        }
        let Some(dst) = route.dst.hold() else {
            return Ok(());
        };
        let found = Found {
            dev: None,
            dst,
            near: None,
            notes: [material(dev, question, checks, rcu).to_note().into()],
        };
        let unchanged = || self.ipv4_state(namespace) == question.state;
        self.ipv4_locals.insert(&question.key, found, unchanged, bh);
        Ok(())
    }
}

/// What is remembered, if it still holds; what routes had to say is in the key.
#[inline(always)]
fn recall<'r>(flow: Flow<'r, End, 1>, question: &Question<'r>) -> Option<Dst<'r>> {
    let [noted] = flow.notes;
    let checks = Checks::from_note(noted as u32);
    let holds =
        flow.dst.is_current() && (checks == Checks::ALL || checks_are_the_same(checks, question));
    holds.then_some(flow.dst)
}

/// Whether the device that the packet came in by checks sources as it did.
#[inline(never)]
fn checks_are_the_same(checks: Checks, question: &Question<'_>) -> bool {
    let (dev, rcu) = (question.dev, question.bh.read_side());
    dev.ipv4_checks(dev.namespace(rcu), question.mark, rcu) == Some(checks)
}
