// SPDX-License-Identifier: GPL-2.0

//! Whose packets for an IPv4 destination are, whoever sends them.
//!
//! Routes without rules do not depend on the source; whether it may come in does. Where parent and
//! child check no more of it than that it is none of their own, that is all there is to ask for one
//! that was not seen before, and takes a fraction of two lookups of routes. The kernel goes the
//! same way. C: `fib_validate_source()`, `ip_route_use_hint()`.

use super::{destination, recall, Checks, Claim, Flows, Key, Kind, Parent, Question, ReadSide};
use crate::{
    net::{
        device::{Device, NetDevice},
        flow_table::Place,
        own_addresses::OwnAddresses,
    },
    passthru::End,
};

/// Destinations that are remembered of each namespace: half a MiB.
pub(in crate::fib) const SIZE: usize = 8192;

/// The destinations: as in [`Flows`], but for the source.
pub(in crate::fib) type Destinations = Flows;

fn key(question: &Question<'_>) -> Key<3, 2> {
    question.key.without_low_half(0)
}

/// Whether a source is one of those that are judged by where they lead: not of the first net, nor
/// loopback, nor multicast or beyond. C: `ip_route_input_slow()`.
fn is_ordinary(saddr: u32) -> bool {
    let [first, ..] = saddr.to_ne_bytes();
    (1..224).contains(&first) && first != 127
}

/// Whether all ordinary sources may come in by `dev`, and the packet's is none of its namespace's `own`
/// addresses. C: `fib_validate_source()`.
fn lets_in(dev: &NetDevice, own: &OwnAddresses, question: &Question<'_>) -> bool {
    let (bh, rcu) = (question.bh, question.bh.read_side());
    let (namespace, header) = (dev.namespace(rcu), &question.header);
    if !dev.ipv4_checks_nothing(namespace, rcu) {
        return false;
    }
    if !namespace.ipv4_has_custom_local_routes() {
        return !own.include(header.saddr, namespace, bh);
    }
    // Without rules the mark has no say.
    destination(&header.back(), 0, dev, rcu).is_none_or(|source| source.kind == Kind::Unicast)
}

impl Parent {
    /// The owner of a packet of a flow that is not known, if its destination is, and its source may
    /// come in. A flow that came by before is remembered, in its `place`.
    pub(super) fn recall_destination<'r>(
        &self,
        question: &Question<'r>,
        place: Place,
    ) -> Option<Claim<'r>> {
        let (rcu, saddr) = (question.bh.read_side(), question.header.saddr);
        if !is_ordinary(saddr) {
            return None;
        }
        let flow = self.ipv4_destinations.find(&key(question), rcu)?;
        let generation = (flow.notes[0] >> 32) as u32;
        let claim = recall(flow, question)?;
        let (child, own) = (claim.child, claim.child.driver().own_addresses());
        if !lets_in(question.dev, &self.ipv4_own, question) || !lets_in(child, own, question) {
            return None;
        }
        if self.ipv4.comes_again(place, question.bh) {
            self.remember_flow(question, &claim, generation, [Checks::NONE; 2]);
        }
        Some(claim)
    }

    /// Remembers what was found out about a packet for its destination, if that is all that it
    /// depends on; arguments are those of [`Self::remember_flow`].
    pub(super) fn remember_destination<'r>(
        &self,
        question: &Question<'r>,
        claim: &Claim<'r>,
        generation: u32,
        checks: [Checks; 2],
    ) {
        let rcu = question.bh.read_side();
        // Under a mark there is one switch more. What goes on from the child may be judged
        // by more.
        let plain = question.mark == 0
            && checks == [Checks::NONE; 2]
            && claim.way.is_plainly_local()
            && depends_on_destination(question, claim.child, rcu);
        let key = key(question);
        if plain && self.ipv4_destinations.wants(&key, question.bh) {
            let table = &self.ipv4_destinations;
            // The switches are asked anew each time.
            self.keep(table, &key, question, claim, generation, [Checks::ALL; 2]);
        }
    }
}

/// Whether neither parent nor child have anything by which the source has a say in routes.
fn depends_on_destination(question: &Question<'_>, child: &Device<End>, rcu: ReadSide<'_>) -> bool {
    [question.dev.namespace(rcu), child.namespace(rcu)]
        .into_iter()
        .all(|namespace| namespace.ipv4_goes_by_destination())
}
