// SPDX-License-Identifier: GPL-2.0

//! Destinations that are no child's, so that packets for them are let go after one look, before
//! anything else is asked of them. Beside them, for IPv4, those that are a child's, so that what is
//! new is not asked that twice.
//!
//! Without rules of the parent's own the owner depends on the destination (and DSCP) alone. So
//! one entry answers for all sources, and whoever makes up sources cannot push others out.
//!
//! What is known holds in one state of the parent. A state is the sum of counters that only grow,
//! so that it changes with each of them. One that has passed is taken for the present one after 2^31
//! changes, and no sooner: a bit of it tells [`Stranger::Near`] from [`Stranger::Far`].

use super::ipv6::State;
use crate::net::{ipv6::Address, once::Words};
use kernel::prelude::*;

/// What is known of a destination that is no child's.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stranger {
    /// Packets for it may be for the parent's own sockets.
    Near,
    /// The parent sends them on, to where no child is.
    Far,
}

impl Stranger {
    /// By which of the two an entry differs.
    const FAR: u64 = 1 << 31;

    /// What is known, where that is all by which an entry differs from one that is looked for.
    #[inline(always)]
    fn from_difference(difference: u64) -> Option<Self> {
        match difference {
            0 => Some(Self::Near),
            Self::FAR => Some(Self::Far),
            _ => None,
        }
    }

    #[inline(always)]
    fn to_difference(self) -> u64 {
        match self {
            Self::Near => 0,
            Self::Far => Self::FAR,
        }
    }
}

/// Destinations that are remembered.
const SIZE: usize = 1024;
/// Bits of a number that is smaller.
const BITS: u32 = SIZE.trailing_zeros();

/// IPv4 destinations: each a word, of the address and the parent's state. Which of the entries it
/// is tells the DSCP.
pub(super) struct Ipv4Strangers(Words<SIZE>);

impl Ipv4Strangers {
    /// None yet. May sleep. Fails with `ENOMEM`.
    pub(super) fn new() -> Result<Self> {
        Ok(Self(Words::new()?))
    }

    /// Of one address each DSCP has an entry of its own.
    #[inline(always)]
    fn place(daddr: u32, dscp: u8) -> usize {
        const ODD: u32 = 0x9e37_79b1;
        const { assert!(SIZE >= 64) };
        (daddr.wrapping_mul(ODD) >> (32 - BITS)) as usize ^ usize::from(dscp >> 2)
    }

    #[inline(always)]
    fn entry(daddr: u32, state: u32) -> u64 {
        u64::from(daddr) << 32 | u64::from(state)
    }

    /// What is known of this destination, if that is that it is no child's.
    #[inline(always)]
    pub(super) fn find(&self, daddr: u32, dscp: u8, state: u32) -> Option<Stranger> {
        let entry = self.0.word(Self::place(daddr, dscp)).read();
        Stranger::from_difference(entry ^ Self::entry(daddr, state))
    }

    /// Forgets all.
    pub(super) fn clear(&self) {
        self.0.clear();
    }

    /// Remembers a destination.
    pub(super) fn insert(&self, daddr: u32, dscp: u8, state: u32, stranger: Stranger) {
        let word = self.0.word(Self::place(daddr, dscp));
        word.write(Self::entry(daddr, state) ^ stranger.to_difference());
    }

    /// Whether this destination was found to be a child's, as it seems: by an entry with a state
    /// that is not to come for long. Who believes it wrongly asks the routes in vain.
    pub(super) fn seems_ours(&self, daddr: u32, dscp: u8, state: u32) -> bool {
        self.find(daddr, dscp, !state) == Some(Stranger::Near)
    }

    /// Remembers that this destination is a child's.
    pub(super) fn insert_ours(&self, daddr: u32, dscp: u8, state: u32) {
        self.insert(daddr, dscp, !state, Stranger::Near);
    }
}

/// Words of an entry; the last one is left empty, so that an entry lies in one line.
const WORDS: usize = 4;

/// IPv6 destinations: each two words of the address, and one of the parent's state.
///
/// They are written one after the other, and by several CPUs at once. What a reader finds of some
/// entries together is none of them: with the count of the parent's changes stands a digest of the
/// address.
pub(super) struct Ipv6Strangers(Words<{ SIZE * WORDS }>);

impl Ipv6Strangers {
    /// None yet. May sleep. Fails with `ENOMEM`.
    pub(super) fn new() -> Result<Self> {
        Ok(Self(Words::new()?))
    }

    /// Where an address is looked for, and what stands there beside it in a state.
    #[inline(always)]
    fn place(state: State) -> (usize, u64) {
        let place = (state.mixed >> (64 - BITS)) as usize * WORDS;
        (place, state.mixed << 32 | u64::from(state.count))
    }

    /// What is known of this destination, of which the state is, if that is that it is no child's.
    #[inline(always)]
    pub(super) fn find(&self, daddr: Address, state: State) -> Option<Stranger> {
        let (place, digest) = Self::place(state);
        // The lower half tells nearly all others.
        let is_same =
            self.0.word(place + 1).read() == daddr[1] && self.0.word(place).read() == daddr[0];
        if !is_same {
            return None;
        }
        Stranger::from_difference(self.0.word(place + 2).read() ^ digest)
    }

    /// Forgets all.
    pub(super) fn clear(&self) {
        self.0.clear();
    }

    /// Remembers a destination.
    pub(super) fn insert(&self, daddr: Address, state: State, stranger: Stranger) {
        let (place, digest) = Self::place(state);
        self.0.word(place).write(daddr[0]);
        self.0.word(place + 1).write(daddr[1]);
        let difference = stranger.to_difference();
        self.0.word(place + 2).write(digest ^ difference);
    }
}
