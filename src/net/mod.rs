// SPDX-License-Identifier: GPL-2.0

//! Safe abstractions over the kernel's networking interfaces, one concept a file.
//!
//! Nothing here knows what a driver does with them, and nothing outside says `unsafe`. Three
//! things carry the safety of all the rest:
//!
//! - What is owned is a value ([`skb::SkBuff`], [`new_link::CreatedLink`],
//!   [`registration::Registered`]): it is consumed once, and released where it is dropped.
//! - What needs a lock or a context asks for evidence of it ([`context::Rtnl`],
//!   [`context::ReadSide`], [`context::BottomHalf`]). Who makes that knows why it holds: a
//!   callback of the kernel's by how it is called, others by what they have locked or disabled.
//! - What a driver keeps beside its device is a Rust value with a lifetime of its own
//!   ([`device::Device::driver`]): there before any callback that sees it, dropped after the last.

pub(crate) mod address_hashes;
pub(crate) mod backlog;
pub(crate) mod bindings;
pub(crate) mod bypass;
pub(crate) mod conntrack;
pub(crate) mod context;
pub(crate) mod delivery;
pub(crate) mod departure;
pub(crate) mod device;
pub(crate) mod driver;
pub(crate) mod dst;
pub(crate) mod ethtool;
pub(crate) mod features;
pub(crate) mod flow_table;
mod gro;
mod handover;
pub(crate) mod hint;
pub(crate) mod ipv4;
pub(crate) mod ipv6;
pub(crate) mod ipv6_cookie;
mod ipv6_tree;
pub(crate) mod jiffies;
pub(crate) mod levels;
pub(crate) mod link;
pub(crate) mod module_param;
pub(crate) mod namespace;
mod neighbour;
pub(crate) mod netfilter;
pub(crate) mod netlink;
pub(crate) mod new_link;
pub(crate) mod notifier;
pub(crate) mod once;
mod only_once;
pub(crate) mod own_addresses;
mod passed_over;
pub(crate) mod percpu;
pub(crate) mod rcu_arc;
pub(crate) mod rcu_device;
pub(crate) mod recent;
pub(crate) mod registration;
pub(crate) mod rehome;
pub(crate) mod routes;
pub(crate) mod rtnl_cell;
pub(crate) mod settling;
pub(crate) mod setup;
pub(crate) mod skb;
pub(crate) mod socket;
mod source_routes;
pub(crate) mod work;

/// The number of TCP. C: `IPPROTO_TCP`.
pub(crate) const TCP: u8 = 6;
/// The number of UDP. C: `IPPROTO_UDP`.
pub(crate) const UDP: u8 = 17;
