// SPDX-License-Identifier: GPL-2.0

//! Shortcuts: what there are, sets of them, and which of them a port allows.

use crate::{
    net::{context::Rtnl, module_param::Parameter, once::Once32},
    uapi,
};
use core::fmt;
use kernel::{
    prelude::*,
    str::BStr,
    sync::atomic::{Atomic, Relaxed},
};

/// A place where a packet may leave the full path: for the child, or from it.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Shortcut {
    /// Where it comes in, before the parent's IP layer.
    Device = uapi::PASSTHRU_SHORTCUT_DEVICE,
    /// At the parent's routing decision.
    Route = uapi::PASSTHRU_SHORTCUT_ROUTE,
    /// After the parent's INPUT rules.
    Netfilter = uapi::PASSTHRU_SHORTCUT_NETFILTER,
    /// Straight to the child's socket, for a connection of its.
    Socket = uapi::PASSTHRU_SHORTCUT_SOCKET,
    /// Where the child's packets leave it: on by the parent's output path.
    Output = uapi::PASSTHRU_SHORTCUT_OUTPUT,
}

/// How many shortcuts there are.
pub(crate) const COUNT: usize = 5;

/// All shortcuts that there are, and their names.
const NAMES: [(Shortcut, &str); COUNT] = [
    (Shortcut::Device, "device"),
    (Shortcut::Route, "route"),
    (Shortcut::Netfilter, "netfilter"),
    (Shortcut::Socket, "socket"),
    (Shortcut::Output, "output"),
];

/// A set of shortcuts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Set(u32);

impl Set {
    /// No shortcut: the full path only.
    pub(crate) const NONE: Self = Self(0);

    /// Each shortcut that there is.
    pub(crate) const ALL: Self = {
        let mut set = Self::NONE;
        let mut index = 0;
        while index < NAMES.len() {
            set = set.with(NAMES[index].0);
            index += 1;
        }
        set
    };

    /// This set and one more shortcut.
    pub(crate) const fn with(self, shortcut: Shortcut) -> Self {
        self.union(Self(shortcut as u32))
    }

    /// Whether the shortcut is in it.
    pub(crate) const fn contains(self, shortcut: Shortcut) -> bool {
        self.0 & shortcut as u32 != 0
    }

    /// The shortcuts in it that take packets to the child.
    pub(crate) const fn inward(self) -> Self {
        self.without(Self::NONE.with(Shortcut::Output))
    }

    /// Whether something of what the child sends may leave it early: all with `output`, and with
    /// `netfilter` what it sends from addresses that the parent holds for it, which the parent's own stack
    /// would take for forgeries (IPv4), or not send on unless it forwards.
    pub(crate) const fn lets_leave(self) -> bool {
        self.contains(Shortcut::Output) || self.contains(Shortcut::Netfilter)
    }

    /// Whether there is a shortcut that is in both.
    pub(crate) const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// What is in this set and not in `other`.
    pub(crate) const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The set in a few bits, to be kept in a note; see [`Self::from_note`].
    pub(crate) const fn to_note(self) -> u8 {
        const { assert!(Self::ALL.0 <= u8::MAX as u32) };
        self.0 as u8
    }

    /// The set in a note.
    pub(crate) const fn from_note(note: u8) -> Self {
        Self(note as u32 & Self::ALL.0)
    }

    /// All shortcuts in the set.
    pub(crate) fn iter(self) -> impl Iterator<Item = Shortcut> {
        NAMES
            .iter()
            .map(|(shortcut, _)| *shortcut)
            .filter(move |shortcut| self.contains(*shortcut))
    }

    /// The shortcut's number among all.
    pub(crate) const fn index(shortcut: Shortcut) -> usize {
        (shortcut as u32).trailing_zeros() as usize
    }

    /// Whether nothing is in it.
    pub(crate) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// What is in either.
    pub(crate) const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The set that a number in a request means. Fails with `EINVAL` where it has other bits.
    pub(crate) fn from_uapi(bits: u32) -> Result<Self> {
        if bits & !Self::ALL.0 == 0 {
            Ok(Self(bits))
        } else {
            Err(EINVAL)
        }
    }

    /// As in `IFLA_PASSTHRU_SHORTCUTS`.
    pub(crate) const fn to_uapi(self) -> u32 {
        self.0
    }

    /// Reads `none`, `all`, or names with commas between them. What is wrong goes to the kernel's
    /// log; the error is `EINVAL`.
    fn parse(text: &[u8]) -> Result<Self> {
        match text {
            b"none" => return Ok(Self::NONE),
            b"all" => return Ok(Self::ALL),
            _ => {}
        }
        let mut set = Self::NONE;
        for word in text.split(|byte| *byte == b',') {
            let shortcut = find(word)?;
            if set.contains(shortcut) {
                pr_err!("shortcut \"{}\" is named twice\n", BStr::from_bytes(word));
                return Err(EINVAL);
            }
            set = set.with(shortcut);
        }
        Ok(set)
    }

    /// Writes what [`Self::parse`] reads.
    fn show(self, out: &mut dyn fmt::Write) -> fmt::Result {
        if self.is_empty() {
            return out.write_str("none");
        }
        let mut separator = "";
        for (shortcut, name) in NAMES {
            if self.contains(shortcut) {
                out.write_str(separator)?;
                out.write_str(name)?;
                separator = ",";
            }
        }
        Ok(())
    }
}

/// The shortcut of a name.
fn find(word: &[u8]) -> Result<Shortcut> {
    match NAMES.iter().find(|(_, name)| name.as_bytes() == word) {
        Some((shortcut, _)) => Ok(*shortcut),
        None => {
            pr_err!("unknown shortcut \"{}\"\n", BStr::from_bytes(word));
            Err(EINVAL)
        }
    }
}

/// What the parent allows the packets of one of its ports.
pub(crate) struct Policy {
    shortcuts: Once32,
    checks_sources: Once32,
}

impl Policy {
    /// No shortcut, and sources are checked.
    pub(super) const fn new() -> Self {
        Self {
            shortcuts: Once32::new(Set::NONE.0),
            checks_sources: Once32::new(1),
        }
    }

    /// The shortcuts that are allowed now. For the path of packets: a single load, which orders
    /// nothing.
    pub(crate) fn shortcuts(&self) -> Set {
        Set(self.shortcuts.read())
    }

    /// Allows these shortcuts and no others from now on.
    pub(super) fn set(&self, set: Set, _rtnl: &Rtnl) {
        self.shortcuts.write(set.0);
    }
}

impl Policy {
    /// Whether what the child sends must come from an address for which the parent's routes name
    /// the port. For the path of packets: a single load, which orders nothing.
    pub(crate) fn checks_sources(&self) -> bool {
        self.checks_sources.read() != 0
    }

    /// Has sources checked, or not, from now on.
    pub(super) fn check_sources(&self, check: bool, _rtnl: &Rtnl) {
        self.checks_sources.write(check.into());
    }
}

/// The module's parameter `shortcuts`: what a new port allows where its request says nothing.
pub(crate) struct Default;

static OF_NEW_PORTS: Atomic<u32> = Atomic::new(Set::NONE.0);

/// The shortcuts of a port whose request says nothing of them.
pub(crate) fn of_new_ports() -> Set {
    Set(OF_NEW_PORTS.load(Relaxed))
}

impl Parameter for Default {
    fn set(text: &[u8]) -> Result {
        OF_NEW_PORTS.store(Set::parse(text)?.0, Relaxed);
        Ok(())
    }

    fn show(out: &mut dyn fmt::Write) -> fmt::Result {
        of_new_ports().show(out)
    }
}
