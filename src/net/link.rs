// SPDX-License-Identifier: GPL-2.0

//! Link types: what `ip link add ... type KIND` and its kin ask for.
//!
//! C header: `include/net/rtnetlink.h`.

use super::{
    context::Rtnl,
    device::{Device, KillList, NetDevice, NewDevice, Registered},
    driver::Driver,
    namespace::Namespace,
    netlink::{is_well_formed, Attribute, Attributes, ExtAck, Message, Policy},
};
use crate::bindings;
use core::{
    marker::PhantomData,
    ops::{Deref, DerefMut},
    ptr,
};
use kernel::{
    error::{from_err_ptr, from_result, to_result},
    prelude::*,
    sync::atomic::{Atomic, Full, Release},
    types::Opaque,
};

/// Length of a table of `IFLA_*` attributes.
const LINK_ATTRIBUTES: usize = bindings::__IFLA_MAX as usize;

/// The attribute with a device's name.
pub(crate) const IFLA_IFNAME: u32 = bindings::IFLA_IFNAME;
/// The attribute with a device's link layer address.
pub(crate) const IFLA_ADDRESS: u32 = bindings::IFLA_ADDRESS;
/// The attribute with the number of a device's transmit queues.
pub(crate) const IFLA_NUM_TX_QUEUES: u32 = bindings::IFLA_NUM_TX_QUEUES;
/// The attribute with the number of a device's receive queues.
pub(crate) const IFLA_NUM_RX_QUEUES: u32 = bindings::IFLA_NUM_RX_QUEUES;

/// What comes before the attributes of a link: number, flags.
pub(crate) type LinkHeader = bindings::ifinfomsg;

/// A kind of link that can be made and changed by rtnetlink. C: `struct rtnl_link_ops`.
pub(crate) trait LinkType: Sized + 'static {
    /// The word after `type`.
    const KIND: &'static CStr;

    /// The driver of the devices.
    type Driver: Driver;

    /// What the attributes in `IFLA_INFO_DATA` have to be like, by their type.
    const POLICY: &'static [Policy];

    /// The attribute that describes a second device, which is made with the first; the kernel
    /// checks the right to make it in its namespace.
    const PEER: u32;

    /// Bytes that [`Self::fill_info`] adds to a message.
    const INFO_SIZE: usize;

    /// The registration of this type.
    fn operations() -> &'static LinkOperations<Self>;

    /// Checks a request before any lock is taken; `data` is missing where the request has none,
    /// and for the attributes in [`Self::PEER`].
    fn validate(link: Attributes<'_>, data: Option<Attributes<'_>>, ack: ExtAck<'_>) -> Result;

    /// Makes a link of `dev`, which the kernel has allocated and set up. On success it is
    /// registered.
    fn new_link<'a>(
        dev: NewDevice<'a, Self::Driver>,
        request: &NewLink<'a>,
        ack: ExtAck<'_>,
        rtnl: &'a Rtnl,
    ) -> Result;

    /// Changes a link by what is in `IFLA_INFO_DATA`.
    fn change_link(
        dev: &Device<Self::Driver>,
        data: Attributes<'_>,
        ack: ExtAck<'_>,
        rtnl: &Rtnl,
    ) -> Result;

    /// Ends a link.
    fn delete_link(dev: &Device<Self::Driver>, kill: KillList<'_>, rtnl: &Rtnl);

    /// Describes a link.
    fn fill_info(dev: &Device<Self::Driver>, message: &mut Message<'_>) -> Result;

    /// The device that a link leads to, for the namespace it is in.
    fn lower<'r>(dev: &'r Device<Self::Driver>, rtnl: &'r Rtnl) -> Option<&'r NetDevice>;
}

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
        let payload = attr.payload();
        if payload.len() < size_of::<LinkHeader>() {
            return Err(ack.refuse_attribute(EINVAL, attr, c"peer info is too short"));
        }
        if !is_well_formed(&payload[size_of::<LinkHeader>()..]) {
            return Err(ack.refuse_attribute(EINVAL, attr, c"peer info is malformed"));
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
            header: unsafe { &*payload.as_ptr().cast() },
            // INVARIANT: filled by the function, from within the attribute.
            table,
        })
    }

    /// The attributes.
    pub(crate) fn attributes(&self) -> Attributes<'_> {
        // SAFETY: by the type's invariant.
        unsafe { Attributes::from_table(&self.table) }
    }

    /// The number that the device is to have, or 0.
    pub(crate) fn ifindex(&self) -> i32 {
        self.header.ifi_index
    }

    /// The header.
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
        })?;
        Ok(Self {
            // SAFETY: just allocated, and set up by `Shim::setup()`.
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

/// The operations of a link type, in the form that the kernel registers. To be a `static`.
pub(crate) struct LinkOperations<T> {
    ops: Opaque<bindings::rtnl_link_ops>,
    registered: Atomic<i32>,
    link_type: PhantomData<fn() -> T>,
}

// SAFETY: what is modified in `ops` is modified by the kernel, with its own locks.
unsafe impl<T> Sync for LinkOperations<T> {}

impl<T: LinkType> LinkOperations<T> {
    /// The operations of `T`, not registered.
    pub(crate) const fn new() -> Self {
        let ops = bindings::rtnl_link_ops {
            kind: kernel::str::as_char_ptr_in_const_context(T::KIND),
            priv_size: Device::<T::Driver>::PRIVATE_SIZE,
            setup: Some(Self::setup),
            peer_type: T::PEER as u16,
            maxtype: T::POLICY.len() as c_uint - 1,
            policy: T::POLICY.as_ptr().cast(),
            validate: Some(Self::validate),
            newlink: Some(Self::newlink),
            changelink: Some(Self::changelink),
            dellink: Some(Self::dellink),
            get_size: Some(Self::get_size),
            fill_info: Some(Self::fill_info),
            get_num_tx_queues: Some(Self::get_num_queues),
            get_num_rx_queues: Some(Self::get_num_queues),
            get_link_net: Some(Self::get_link_net),
            ..pin_init::zeroed()
        };
        Self {
            ops: Opaque::new(ops),
            registered: Atomic::new(0),
            link_type: PhantomData,
        }
    }

    fn as_raw(&self) -> *mut bindings::rtnl_link_ops {
        self.ops.get()
    }

    /// Registers the link type, until the result is dropped. Fails with `EEXIST` where there is
    /// one of that name, and with `EBUSY` where it is this one. C: `rtnl_link_register()`.
    pub(crate) fn register(&'static self) -> Result<LinkRegistration<T>> {
        if self.registered.xchg(1, Full) != 0 {
            return Err(EBUSY);
        }
        // SAFETY: the operations are static, complete, and not registered.
        let result = to_result(unsafe { bindings::rtnl_link_register(self.as_raw()) });
        if let Err(error) = result {
            self.registered.store(0, Release);
            return Err(error);
        }
        Ok(LinkRegistration { operations: self })
    }

    fn data<'a>(data: *mut *mut bindings::nlattr) -> Option<Attributes<'a>> {
        // SAFETY: callers pass what the kernel parsed with `maxtype` and the policy, or null.
        (!data.is_null()).then(|| unsafe { Attributes::from_raw(data, T::POLICY.len()) })
    }

    /// # Safety
    ///
    /// `dev` must be just allocated, with a private area of `priv_size`.
    unsafe extern "C" fn setup(dev: *mut bindings::net_device) {
        // SAFETY: by the caller's promise.
        let mut dev = unsafe { NewDevice::<T::Driver>::from_raw(dev) };
        dev.set_up_operations();
        T::Driver::setup(&mut dev);
    }

    /// # Safety
    ///
    /// `link` and `data` must be tables that the kernel parsed, and `ack` the acknowledgement of
    /// their request, or null.
    unsafe extern "C" fn validate(
        link: *mut *mut bindings::nlattr,
        data: *mut *mut bindings::nlattr,
        ack: *mut bindings::netlink_ext_ack,
    ) -> c_int {
        // SAFETY: by the caller's promise.
        let (link, ack) = unsafe {
            (
                Attributes::from_raw(link, LINK_ATTRIBUTES),
                ExtAck::from_raw(ack),
            )
        };
        from_result(|| T::validate(link, Self::data(data), ack).map(|()| 0))
    }

    /// # Safety
    ///
    /// `dev` must be allocated with these operations and not registered, `params` be the request,
    /// `ack` its acknowledgement or null, and the RTNL be held.
    unsafe extern "C" fn newlink(
        dev: *mut bindings::net_device,
        params: *mut bindings::rtnl_newlink_params,
        ack: *mut bindings::netlink_ext_ack,
    ) -> c_int {
        // SAFETY: by the caller's promise. Without a namespace of its own a peer goes where the
        // link leads to, and without that where the request came from.
        let (dev, params, namespace, rtnl, ack) = unsafe {
            let params = &*params;
            let namespace = [params.peer_net, params.link_net, params.src_net]
                .into_iter()
                .find(|net| !net.is_null())
                .unwrap_or((*dev).nd_net.net);
            (
                NewDevice::<T::Driver>::from_raw(dev),
                params,
                Namespace::from_raw(namespace),
                Rtnl::assume(),
                ExtAck::from_raw(ack),
            )
        };
        let request = NewLink {
            // SAFETY: by the caller's promise.
            link: unsafe { Attributes::from_raw(params.tb, LINK_ATTRIBUTES) },
            data: Self::data(params.data),
            peer_namespace: namespace,
        };
        from_result(|| T::new_link(dev, &request, ack, &rtnl).map(|()| 0))
    }

    /// # Safety
    ///
    /// `dev` must be a registered device of this type, the tables and `ack` as for `validate()`,
    /// and the RTNL be held.
    unsafe extern "C" fn changelink(
        dev: *mut bindings::net_device,
        _link: *mut *mut bindings::nlattr,
        data: *mut *mut bindings::nlattr,
        ack: *mut bindings::netlink_ext_ack,
    ) -> c_int {
        let Some(data) = Self::data(data) else {
            return 0;
        };
        // SAFETY: by the caller's promise.
        let (dev, rtnl, ack) = unsafe {
            (
                Device::<T::Driver>::from_raw(dev),
                Rtnl::assume(),
                ExtAck::from_raw(ack),
            )
        };
        from_result(|| T::change_link(dev, data, ack, &rtnl).map(|()| 0))
    }

    /// # Safety
    ///
    /// `dev` must be a registered device of this type, `head` a list of devices to unregister, and
    /// the RTNL be held.
    unsafe extern "C" fn dellink(dev: *mut bindings::net_device, head: *mut bindings::list_head) {
        // SAFETY: by the caller's promise.
        let (dev, rtnl) = unsafe { (Device::<T::Driver>::from_raw(dev), Rtnl::assume()) };
        // SAFETY: by the caller's promise.
        T::delete_link(dev, unsafe { KillList::from_raw(head, &rtnl) }, &rtnl);
    }

    extern "C" fn get_size(_dev: *const bindings::net_device) -> usize {
        T::INFO_SIZE
    }

    /// # Safety
    ///
    /// `dev` must be a registered device of this type, and `skb` a message that the caller is
    /// writing.
    unsafe extern "C" fn fill_info(
        skb: *mut bindings::sk_buff,
        dev: *const bindings::net_device,
    ) -> c_int {
        // SAFETY: by the caller's promise.
        let (dev, mut message) =
            unsafe { (Device::<T::Driver>::from_raw(dev), Message::from_raw(skb)) };
        from_result(|| T::fill_info(dev, &mut message).map(|()| 0))
    }

    /// As many queues are allocated as there can be CPUs, so that `ethtool -L` has them to give.
    extern "C" fn get_num_queues() -> c_uint {
        // More are refused by `rtnl_create_link()`.
        const MOST: c_uint = 4096;
        // SAFETY: only reads a mask that is constant after boot.
        unsafe { bindings::passthru_helper_num_possible_cpus() }.min(MOST)
    }

    /// # Safety
    ///
    /// `dev` must be a registered device of this type, and the RTNL be held.
    unsafe extern "C" fn get_link_net(dev: *const bindings::net_device) -> *mut bindings::net {
        // SAFETY: by the caller's promise.
        let (dev, rtnl) = unsafe { (Device::<T::Driver>::from_raw(dev), Rtnl::assume()) };
        T::lower(dev, &rtnl)
            .unwrap_or(dev)
            .namespace_locked(&rtnl)
            .as_raw()
    }
}

/// A link type that is registered. Dropping this unregisters it and ends all its links, in all
/// namespaces. C: `rtnl_link_unregister()`.
pub(crate) struct LinkRegistration<T: LinkType> {
    operations: &'static LinkOperations<T>,
}

impl<T: LinkType> Drop for LinkRegistration<T> {
    fn drop(&mut self) {
        // SAFETY: registered, and only unregistered here.
        unsafe { bindings::rtnl_link_unregister(self.operations.as_raw()) };
        self.operations.registered.store(0, Release);
    }
}
