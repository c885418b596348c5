// SPDX-License-Identifier: GPL-2.0

//! `passthru`: pairs of network devices between a parent's and a child's network namespace.
//!
//! The parts are brought up in order when the module is loaded, and taken down in reverse when it
//! is unloaded. Code outside of [`net`] says no `unsafe`.

use kernel::prelude::*;

// `net` reads words and packets as they are there, and `Kbuild` names no target for others.
const _: () = assert!(
    cfg!(CONFIG_64BIT),
    "passthru needs a kernel with words of 64 bits"
);

#[forbid(unsafe_code)]
mod arrive;
#[forbid(unsafe_code)]
mod fib;
#[forbid(unsafe_code)]
mod hooks;
#[forbid(unsafe_code)]
mod ip;
mod net;
#[forbid(unsafe_code)]
mod output;
#[forbid(unsafe_code)]
mod passthru;
#[forbid(unsafe_code)]
mod shortcut;
#[forbid(unsafe_code)]
mod uapi;

module! {
    type: Module,
    name: "passthru",
    authors: ["The passthru authors"],
    description: "Pass-through network devices for network namespaces",
    license: "GPL",
    alias: ["rtnl-link-passthru"],
}

net::module_param::module_parameter! {
    type: shortcut::Default,
    name: "shortcuts",
    description: "Shortcuts of new ports: none, all, or a list of device,route,netfilter,socket,output",
}

/// The loaded module. Fields are dropped, and so taken down, from first to last.
struct Module {
    _link_type: passthru::Registration,
    _listening: hooks::Listening,
    _following_tracking: hooks::FollowingTracking,
    _delays: net::netfilter::Delays,
}

impl kernel::Module for Module {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        let following_tracking = hooks::follow_tracking()?;
        let listening = hooks::listen()?;
        Ok(Self {
            _link_type: passthru::register()?,
            _listening: listening,
            _following_tracking: following_tracking,
            _delays: net::netfilter::Delays::begin(),
        })
    }
}
