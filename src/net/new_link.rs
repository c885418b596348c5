// SPDX-License-Identifier: GPL-2.0

//! Requests for new links: what they ask for, and making a second device for one.
//!
//! C header: `include/net/rtnetlink.h`.

use super::{
    context::Rtnl,
    device::NetDevice,
    driver::Driver,
    link::LinkType,
    namespace::Namespace,
    netlink::{Attribute, Attributes, ExtAck},
    registration::{NewDevice, Registered},
};
use crate::net::bindings;
use core::{
    ops::{Deref, DerefMut},
    ptr,
};
use kernel::{
    error::{from_err_ptr, to_result},
    prelude::*,
};

/// Length of a table of `IFLA_*` attributes.
pub(super) const LINK_ATTRIBUTES: usize = bindings::__IFLA_MAX as usize;

/// The attribute with a device's name.
pub(crate) const IFLA_IFNAME: u32 = bindings::IFLA_IFNAME;
/// The attribute with a device's link layer address.
pub(crate) const IFLA_ADDRESS: u32 = bindings::IFLA_ADDRESS;
/// The attribute with the address of all devices on a link.
pub(crate) const IFLA_BROADCAST: u32 = bindings::IFLA_BROADCAST;
/// The attribute with the number of a device's transmit queues.
pub(crate) const IFLA_NUM_TX_QUEUES: u32 = bindings::IFLA_NUM_TX_QUEUES;
/// The attribute with the number of a device's receive queues.
pub(crate) const IFLA_NUM_RX_QUEUES: u32 = bindings::IFLA_NUM_RX_QUEUES;

/// What `rtnl_create_link()` gives a device, and what names the namespace that it is made in. All
/// else that a link can have is left alone there.
const CREATED_WITH: [u32; 18] = [
    bindings::IFLA_ADDRESS,
    bindings::IFLA_BROADCAST,
    bindings::IFLA_IFNAME,
    bindings::IFLA_MTU,
    bindings::IFLA_TXQLEN,
    bindings::IFLA_OPERSTATE,
    bindings::IFLA_LINKMODE,
    bindings::IFLA_GROUP,
    bindings::IFLA_NUM_TX_QUEUES,
    bindings::IFLA_NUM_RX_QUEUES,
    bindings::IFLA_GSO_MAX_SIZE,
    bindings::IFLA_GSO_MAX_SEGS,
    bindings::IFLA_GRO_MAX_SIZE,
    bindings::IFLA_GSO_IPV4_MAX_SIZE,
    bindings::IFLA_GRO_IPV4_MAX_SIZE,
    bindings::IFLA_NET_NS_PID,
    bindings::IFLA_NET_NS_FD,
    // Room that aligns others, and nothing to be had.
    bindings::IFLA_PAD,
];

/// What comes before the attributes of a link: number, flags.
pub(crate) type LinkHeader = bindings::ifinfomsg;

/// A request for a new link.
pub(crate) struct NewLink<'a> {
    /// The attributes of the link.
    pub(crate) link: Attributes<'a>,
    /// The attributes in `IFLA_INFO_DATA`.
    pub(crate) data: Option<Attributes<'a>>,
    /// Where a second device is to be.
    pub(crate) peer_namespace: &'a Namespace,
}

/// The description of a second device within a request.
///
/// # Invariants
///
/// The entries of `table` are null or attributes of the request, which lives for `'a`.
pub(crate) struct PeerInfo<'a> {
    header: &'a LinkHeader,
    table: [*mut bindings::nlattr; LINK_ATTRIBUTES],
}

impl<'a> PeerInfo<'a> {
    /// Reads what is in `attr`. Fails with `EINVAL` and the like where it is malformed.
    /// C: `rtnl_nla_parse_ifinfomsg()`.
    pub(crate) fn parse(attr: Attribute<'a>, ack: ExtAck<'_>) -> Result<Self> {
        for inner in attr.nested(size_of::<LinkHeader>()) {
            let inner = inner
                .map_err(|error| ack.refuse_attribute(error, attr, c"peer info is malformed"))?;
            if !CREATED_WITH.contains(&inner.kind()) {
                return Err(ack.refuse_attribute(
                    EOPNOTSUPP,
                    inner,
                    c"peer info has an attribute that no device is made with; set it afterwards",
                ));
            }
        }
        let mut table = [ptr::null_mut(); LINK_ATTRIBUTES];
        // SAFETY: the attribute is whole and long enough for the header that the function skips;
        // the table has an entry for each type.
        to_result(unsafe {
            bindings::rtnl_nla_parse_ifinfomsg(table.as_mut_ptr(), attr.as_raw(), ack.as_raw())
        })?;
        Ok(Self {
            // SAFETY: long enough as checked, aligned as payloads of attributes are, and plain
            // numbers.
            header: unsafe { &*attr.payload().as_ptr().cast() },
            // INVARIANT: filled by the function, from within the attribute.
            table,
        })
    }

    /// What is asked of the device besides its header. C: `IFLA_*`.
    pub(crate) fn attributes(&self) -> Attributes<'_> {
        // SAFETY: by the type's invariant.
        unsafe { Attributes::from_table(&self.table) }
    }

    /// The number that the device is to have, or 0.
    pub(crate) fn ifindex(&self) -> i32 {
        self.header.ifi_index
    }

    /// What every message of the kind begins with. C: `struct ifinfomsg`.
    pub(crate) fn header(&self) -> &'a LinkHeader {
        self.header
    }
}

/// The name of a device, or a template with `%d` for the first free number.
pub(crate) struct LinkName {
    name: [c_char; bindings::IFNAMSIZ as usize],
    assigned: u32,
}

impl LinkName {
    /// The name in a request, as the kernel has checked it to be short enough.
    pub(crate) fn given(attr: Attribute<'_>) -> Self {
        Self::new(attr.payload(), bindings::NET_NAME_USER)
    }

    /// A template to make a name from.
    pub(crate) fn template(template: &CStr) -> Self {
        Self::new(template.to_bytes(), bindings::NET_NAME_ENUM)
    }

    fn new(from: &[u8], assigned: u32) -> Self {
        let mut name = [0; bindings::IFNAMSIZ as usize];
        let text = from.iter().take_while(|c| **c != 0);
        for (to, from) in name
            .iter_mut()
            .zip(text.take(bindings::IFNAMSIZ as usize - 1))
        {
            *to = *from;
        }
        Self { name, assigned }
    }
}

/// A device that was made for a request, and is freed where it is dropped.
pub(crate) struct CreatedLink<'a, D: Driver> {
    dev: NewDevice<'a, D>,
}

impl<'a, D: Driver> CreatedLink<'a, D> {
    /// Allocates a device of the type `T` and sets it up by `link`. C: `rtnl_create_link()`.
    pub(crate) fn create<T: LinkType<Driver = D>>(
        namespace: &Namespace,
        name: &LinkName,
        link: Attributes<'_>,
        ack: ExtAck<'_>,
        _rtnl: &'a Rtnl,
    ) -> Result<Self> {
        // SAFETY: all pointers are valid; the table of attributes has an entry for each type; the
        // operations are registered, because this runs in one of them.
        let dev = from_err_ptr(unsafe {
            bindings::rtnl_create_link(
                namespace.as_raw(),
                name.name.as_ptr(),
                name.assigned as u8,
                T::operations().as_raw(),
                link.as_raw(),
                ack.as_raw(),
            )
        })
        .map_err(|error| ack.explain(error, c"cannot make a second device"))?;
        Ok(Self {
            // SAFETY: just allocated, and set up by `LinkOperations::setup()`.
            dev: unsafe { NewDevice::from_raw(dev) },
        })
    }

    /// Registers the device with its data, or frees it. C: `register_netdevice()`.
    pub(crate) fn register(self, data: D, rtnl: &'a Rtnl) -> Result<Registered<'a, D>> {
        let raw = self.dev.as_raw();
        core::mem::forget(self);
        // SAFETY: the device is as it was; `self` is gone and will not free it.
        let dev = unsafe { NewDevice::from_raw(raw) };
        dev.register(data, rtnl).inspect_err(|_| {
            // SAFETY: it is not registered, and ours to free. Where it is still being dismantled
            // the kernel frees it afterwards.
            unsafe { bindings::free_netdev(raw) };
        })
    }
}

impl<'a, D: Driver> Deref for CreatedLink<'a, D> {
    type Target = NewDevice<'a, D>;

    fn deref(&self) -> &Self::Target {
        &self.dev
    }
}

impl<D: Driver> DerefMut for CreatedLink<'_, D> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.dev
    }
}

impl<D: Driver> Drop for CreatedLink<'_, D> {
    fn drop(&mut self) {
        // SAFETY: the device is not registered and ours to free.
        unsafe { bindings::free_netdev(self.dev.as_raw()) };
    }
}

/// Applies the flags in `header` to a device that was registered for a request, and announces it.
/// C: `rtnl_configure_link()`.
pub(crate) fn configure(dev: &NetDevice, header: Option<&LinkHeader>, _rtnl: &Rtnl) -> Result {
    let header = header.map_or(ptr::null(), ptr::from_ref);
    // SAFETY: the device is registered, and the RTNL is held. The header is read only, and
    // without a request there is nobody to answer.
    to_result(unsafe { bindings::rtnl_configure_link(dev.as_raw(), header, 0, ptr::null()) })
}
