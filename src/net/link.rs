// SPDX-License-Identifier: GPL-2.0

//! Link types: what `ip link add ... type KIND` and its kin ask for.
//!
//! C header: `include/net/rtnetlink.h`.

use super::{
    context::Rtnl,
    device::{Device, NetDevice},
    driver::Driver,
    namespace::Namespace,
    netlink::{Attribute, Attributes, ExtAck, Message, Policy},
    new_link::{NewLink, LINK_ATTRIBUTES},
    only_once::OnlyOnce,
    percpu::possible_cpus,
    registration::{KillList, NewDevice},
};
use crate::net::bindings;
use core::marker::PhantomData;
use kernel::{
    error::{from_result, to_result},
    prelude::*,
    types::Opaque,
};

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

/// The operations of a link type, in the form that the kernel registers. To be a `static`.
pub(crate) struct LinkOperations<T> {
    ops: Opaque<bindings::rtnl_link_ops>,
    registered: OnlyOnce,
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
            registered: OnlyOnce::new(),
            link_type: PhantomData,
        }
    }

    /// The pointer to hand to C.
    pub(super) fn as_raw(&self) -> *mut bindings::rtnl_link_ops {
        self.ops.get()
    }

    /// Registers the link type, until the result is dropped. Fails with `EEXIST` where there is
    /// one of that name, and with `EBUSY` where it is this one. C: `rtnl_link_register()`.
    pub(crate) fn register(&'static self) -> Result<LinkRegistration<T>> {
        self.registered.register(|| {
            // SAFETY: the operations are static, complete, and not registered.
            to_result(unsafe { bindings::rtnl_link_register(self.as_raw()) })
        })?;
        Ok(LinkRegistration { operations: self })
    }

    /// The device as one of this type, if it is one.
    pub(crate) fn cast<'a>(&'static self, dev: &'a NetDevice) -> Option<&'a Device<T::Driver>> {
        // SAFETY: the device exists, and the field is set before others see it.
        let ops = unsafe { (*dev.as_raw()).rtnl_link_ops };
        // SAFETY: a device with these operations is of the driver `T::Driver`; whoever was given
        // a reference to it found it registered, or told of by the kernel, and by then it has its
        // data.
        core::ptr::eq(ops, self.as_raw()).then(|| unsafe { Device::from_raw(dev.as_raw()) })
    }

    /// What is in `IFLA_INFO_DATA`, if there is any.
    ///
    /// # Safety
    ///
    /// `data` must be null, or what the kernel parsed with `maxtype` and the policy, and that exist
    /// for `'a`.
    unsafe fn data<'a>(data: *mut *mut bindings::nlattr) -> Option<Attributes<'a>> {
        // SAFETY: by the caller's promise.
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
        let (link, data, ack) = unsafe {
            (
                Attributes::from_raw(link, LINK_ATTRIBUTES),
                Self::data(data),
                ExtAck::from_raw(ack),
            )
        };
        from_result(|| {
            check_form::<T>(link, ack)?;
            T::validate(link, data, ack)?;
            Ok(0)
        })
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
        // SAFETY: by the caller's promise.
        let (link, data) = unsafe {
            let link = Attributes::from_raw(params.tb, LINK_ATTRIBUTES);
            (link, Self::data(params.data))
        };
        let request = NewLink {
            link,
            data,
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
        // SAFETY: by the caller's promise.
        let (dev, data, rtnl, ack) = unsafe {
            (
                Device::<T::Driver>::from_raw(dev),
                Self::data(data),
                Rtnl::assume(),
                ExtAck::from_raw(ack),
            )
        };
        let Some(data) = data else {
            return 0;
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
        const MOST: usize = 4096;
        possible_cpus().take(MOST).count() as c_uint
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

/// Refuses link info that is not attributes from beginning to end, each of a kind that there is:
/// the kernel's parser leaves the rest alone, and whoever sent it would not be told.
fn check_form<T: LinkType>(link: Attributes<'_>, ack: ExtAck<'_>) -> Result {
    let Some(info) = link.get(bindings::IFLA_LINKINFO) else {
        return Ok(());
    };
    for attr in info.nested(0) {
        let attr =
            attr.map_err(|error| ack.refuse_attribute(error, info, c"link info is malformed"))?;
        if attr.kind() == bindings::IFLA_INFO_DATA {
            check_data::<T>(attr, ack)?;
        }
    }
    Ok(())
}

/// The same of what is for the type alone.
fn check_data<T: LinkType>(data: Attribute<'_>, ack: ExtAck<'_>) -> Result {
    for attr in data.nested(0) {
        let attr =
            attr.map_err(|error| ack.refuse_attribute(error, data, c"link data is malformed"))?;
        if attr.kind() == 0 || attr.kind() as usize >= T::POLICY.len() {
            return Err(ack.refuse_attribute(EINVAL, attr, c"unknown attribute in link data"));
        }
        if attr.is_swapped() {
            return Err(ack.refuse_attribute(EINVAL, attr, c"link data is in host byte order"));
        }
    }
    Ok(())
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
        self.operations.registered.unregistered();
    }
}
