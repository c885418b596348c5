// SPDX-License-Identifier: GPL-2.0

//! The places in a parent's namespace where packets may take a shortcut.
//!
//! Nothing is at any of them yet: every packet takes the full path, whatever its port allows.

use crate::{
    net::{context::Rtnl, device::Device},
    passthru::End,
    shortcut::Set,
};
use kernel::prelude::*;

/// Prepares for the packets of `port` to take the shortcuts `new` instead of `old`. The caller
/// lets them do so only where this succeeds; where it fails `old` stays in force, and nothing is
/// left behind.
///
/// A port that is going away is not brought here once more: its end takes down what it had.
pub(crate) fn apply(_port: &Device<End>, _old: Set, _new: Set, _rtnl: &Rtnl) -> Result {
    Ok(())
}
