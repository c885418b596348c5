// SPDX-License-Identifier: GPL-2.0

//! The places where packets may take a shortcut: in a parent's namespace, and, for what leaves, in
//! a child's.
//!
//! A namespace has hooks for as long as a port in it asks for them. Packets of namespaces without
//! such ports pass nothing of ours.

mod outlets;
mod registry;
mod watchers;

pub(crate) use registry::{
    apply, changed, follow_tracking, listen, purge, tracking_changed, FollowingTracking, Listening,
};
