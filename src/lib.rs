// SPDX-License-Identifier: GPL-2.0

//! `passthru`: pairs of network devices between a parent's and a child's network namespace.

use kernel::prelude::*;

mod bindings;

module! {
    type: Passthru,
    name: "passthru",
    authors: ["The passthru authors"],
    description: "Pass-through network devices for network namespaces",
    license: "GPL",
    alias: ["rtnl-link-passthru"],
}

/// The loaded module.
struct Passthru;

impl kernel::Module for Passthru {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        Ok(Self)
    }
}
