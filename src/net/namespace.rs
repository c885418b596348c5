// SPDX-License-Identifier: GPL-2.0

//! Network namespaces.
//!
//! C header: `include/net/net_namespace.h`.

use super::{
    context::{ReadSide, Rtnl},
    device::NetDevice,
    TCP,
};
use crate::net::bindings;
use kernel::{container_of, types::Opaque};

/// A network namespace, `struct net`.
///
/// A reference to one says that it exists, not that it is alive: a namespace that is being taken
/// down can still be referred to.
#[repr(transparent)]
pub(crate) struct Namespace(Opaque<bindings::net>);

// SAFETY: a namespace is shared by all CPUs by its nature; nothing here modifies it.
unsafe impl Sync for Namespace {}

impl Namespace {
    /// Whether IP looks for the connection of a packet of TCP or UDP before it routes that.
    /// C: `ip_rcv_finish_core()`.
    #[inline(always)]
    pub(crate) fn demuxes_early(&self, protocol: u8) -> bool {
        // SAFETY: the namespace exists; single loads.
        unsafe {
            let switches = &raw const (*self.as_raw()).ipv4;
            let own = match protocol {
                TCP => &raw const (*switches).sysctl_tcp_early_demux,
                _ => &raw const (*switches).sysctl_udp_early_demux,
            };
            (&raw const (*switches).sysctl_ip_early_demux).read_volatile() != 0
                && own.read_volatile() != 0
        }
    }

    /// What tables that are everybody's mix into their hashes for this namespace.
    /// C: `net_hash_mix()`.
    #[inline(always)]
    pub(super) fn hash_mix(&self) -> u32 {
        // SAFETY: the namespace exists; this was set before anybody could see it.
        unsafe { (*self.as_raw()).hash_mix }
    }

    /// # Safety
    ///
    /// `net` must point to a namespace that exists for all of `'a`.
    pub(super) unsafe fn from_raw<'a>(net: *mut bindings::net) -> &'a Self {
        // SAFETY: by the caller's promise; `Self` is a transparent wrapper of `struct net`.
        unsafe { &*net.cast() }
    }

    /// What tells this namespace from others for as long as it exists.
    pub(crate) fn id(&self) -> NamespaceId {
        NamespaceId(self.as_raw() as usize)
    }

    /// The namespace, to be kept for as long as the caller knows of a device in it.
    ///
    /// What this returns must be dropped before the last such device leaves the namespace, which
    /// ends only after that, and under the RTNL.
    pub(crate) fn inhabited(&self) -> Inhabited {
        Inhabited(self.as_raw())
    }

    /// A number that no other namespace has or ever had.
    pub(crate) fn cookie(&self) -> u64 {
        // SAFETY: the namespace exists, and the field is set once.
        unsafe { (*self.as_raw()).net_cookie }
    }

    /// Whether routes may be by nexthops that are objects of their own. C: `ip nexthop`.
    #[inline]
    pub(crate) fn has_nexthops(&self) -> bool {
        // SAFETY: a field of a namespace that exists, by a single load.
        unsafe {
            !(&raw const (*self.as_raw()).nexthop.rb_root.rb_node)
                .read_volatile()
                .is_null()
        }
    }

    /// Has all routes looked up anew that somebody keeps, as after a change of them: what was found out
    /// by a device of the namespace is kept with the count of such changes. May take a while, where
    /// there are many. C: `rt_genid_bump_all()`.
    pub(crate) fn forget_routes(&self, _rtnl: &Rtnl) {
        // SAFETY: the namespace exists; of IPv4 a count in it is changed, and the tables of IPv6 last as
        // long as there are devices.
        unsafe { bindings::passthru_helper_rt_genid_bump_all(self.as_raw()) };
    }

    /// The device with this number, if there is one. C: `dev_get_by_index_rcu()`.
    pub(crate) fn device<'r>(&'r self, ifindex: i32, _rcu: ReadSide<'r>) -> Option<&'r NetDevice> {
        // SAFETY: the namespace exists, and what is found for the read-side critical section.
        unsafe {
            let dev = bindings::dev_get_by_index_rcu(self.as_raw(), ifindex);
            (!dev.is_null()).then(|| NetDevice::from_raw(dev))
        }
    }

    /// The devices in the namespace. C: `for_each_netdev()`.
    pub(crate) fn devices<'r>(&'r self, _rtnl: &'r Rtnl) -> impl Iterator<Item = &'r NetDevice> {
        // SAFETY: the namespace exists.
        let head = unsafe { &raw mut (*self.as_raw()).dev_base_head };
        let mut last = head;
        core::iter::from_fn(move || {
            // SAFETY: the list of the namespace's devices, which does not change under the RTNL, ends
            // where it begins.
            unsafe {
                last = (*last).next;
                (last != head).then(|| {
                    NetDevice::from_raw(container_of!(last, bindings::net_device, dev_list))
                })
            }
        })
    }

    /// As [`Self::devices`], where they may come and go meanwhile. C: `for_each_netdev_rcu()`.
    pub(super) fn devices_rcu<'r>(
        &self,
        _rcu: ReadSide<'r>,
    ) -> impl Iterator<Item = &'r NetDevice> {
        // SAFETY: the namespace exists.
        let head = unsafe { &raw mut (*self.as_raw()).dev_base_head };
        let mut last = head;
        core::iter::from_fn(move || {
            // SAFETY: the list of the namespace's devices ends where it begins. A device that leaves
            // it, or is freed, does so for good after a grace period.
            unsafe {
                last = (&raw const (*last).next).read_volatile();
                (last != head).then(|| {
                    NetDevice::from_raw(container_of!(last, bindings::net_device, dev_list))
                })
            }
        })
    }

    /// The pointer to hand to C.
    pub(super) fn as_raw(&self) -> *mut bindings::net {
        self.0.get()
    }
}

/// A namespace that is there because devices are in it; see [`Namespace::inhabited`].
pub(crate) struct Inhabited(*mut bindings::net);

// SAFETY: a namespace belongs to no thread.
unsafe impl Send for Inhabited {}

impl Inhabited {
    /// The namespace.
    pub(crate) fn get<'r>(&self, _rtnl: &'r Rtnl) -> &'r Namespace {
        // SAFETY: a device is in it, as `Namespace::inhabited()` asks for, and stays there while
        // the RTNL is held.
        unsafe { Namespace::from_raw(self.0) }
    }

    /// What tells this namespace from others.
    pub(crate) fn id(&self) -> NamespaceId {
        NamespaceId(self.0 as usize)
    }
}

/// Tells one namespace from another. A new one may have the number of one that has ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct NamespaceId(usize);

impl PartialEq for Namespace {
    /// Whether the two are one namespace, as `net_eq()` tells.
    fn eq(&self, other: &Self) -> bool {
        core::ptr::eq(self, other)
    }
}
