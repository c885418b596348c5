// SPDX-License-Identifier: GPL-2.0

//! Netlink attributes: reading, checking, writing, and saying what was wrong.
//!
//! C headers: `include/net/netlink.h`, `include/linux/netlink.h`.

use crate::net::bindings;
use core::{marker::PhantomData, ptr::NonNull};
use kernel::{error::to_result, prelude::*};

/// Bytes that an attribute takes in a message. C: `nla_total_size()`.
pub(crate) const fn attribute_size(payload: usize) -> usize {
    const HEADER: usize = size_of::<bindings::nlattr>();
    (HEADER + payload).next_multiple_of(bindings::NLA_ALIGNTO as usize)
}

/// An attribute of a request.
///
/// # Invariants
///
/// `attr` is a whole attribute: `nla_len` bytes, of which the header is the first, exist for `'a`.
#[derive(Clone, Copy)]
pub(crate) struct Attribute<'a> {
    attr: NonNull<bindings::nlattr>,
    request: PhantomData<&'a [u8]>,
}

impl<'a> Attribute<'a> {
    /// The pointer to hand to C.
    pub(super) fn as_raw(self) -> *mut bindings::nlattr {
        self.attr.as_ptr()
    }

    /// What the attribute holds.
    pub(crate) fn payload(self) -> &'a [u8] {
        const HEADER: usize = size_of::<bindings::nlattr>();
        // SAFETY: by the type's invariant. What parsed the request refused attributes that are
        // shorter than their header.
        unsafe {
            let len = usize::from((*self.as_raw()).nla_len).saturating_sub(HEADER);
            core::slice::from_raw_parts(self.as_raw().cast::<u8>().add(HEADER), len)
        }
    }

    /// What the attribute is, without the flags beside that. C: `nla_type()`.
    pub(crate) fn kind(self) -> u32 {
        u32::from(self.marked_kind()) & !(bindings::NLA_F_NESTED | bindings::NLA_F_NET_BYTEORDER)
    }

    /// Whether it says of itself that what it holds is in network byte order.
    pub(crate) fn is_swapped(self) -> bool {
        u32::from(self.marked_kind()) & bindings::NLA_F_NET_BYTEORDER != 0
    }

    fn marked_kind(self) -> u16 {
        // SAFETY: by the type's invariant.
        unsafe { (*self.as_raw()).nla_type }
    }

    /// The attributes within, behind the first `header` bytes.
    pub(crate) fn nested(self, header: usize) -> Nested<'a> {
        Nested {
            rest: self.payload().get(header..),
        }
    }

    /// The number in the attribute. Fails with `EINVAL` where it holds something else.
    pub(crate) fn u32(self) -> Result<u32> {
        let bytes = self.payload().try_into().map_err(|_| EINVAL)?;
        Ok(u32::from_ne_bytes(bytes))
    }
}

/// Attributes one after the other, as they are in a message: each that is whole, and `EINVAL` in
/// place of what is not. The kernel's parsers put up with that where it comes last.
pub(crate) struct Nested<'a> {
    /// What is still to be read, from a multiple of four bytes on; none where not even that is
    /// there which comes before.
    rest: Option<&'a [u8]>,
}

impl<'a> Iterator for Nested<'a> {
    type Item = Result<Attribute<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        const HEADER: usize = size_of::<bindings::nlattr>();
        let Some(rest) = self.rest.replace(&[]) else {
            return Some(Err(EINVAL));
        };
        let len = match *rest {
            [] => return None,
            [low, high, ..] => usize::from(u16::from_ne_bytes([low, high])),
            _ => 0,
        };
        if len < HEADER || len > rest.len() {
            return Some(Err(EINVAL));
        }
        // The last one may lack its padding.
        self.rest = Some(rest.get(attribute_size(len - HEADER)..).unwrap_or(&[]));
        // INVARIANT: as many bytes as it says are there.
        Some(Ok(Attribute {
            attr: NonNull::from(rest).cast(),
            request: PhantomData,
        }))
    }
}

/// The attributes of a request by their type.
///
/// # Invariants
///
/// Each entry of `table` is null or an attribute that is whole for `'a`.
#[derive(Clone, Copy)]
pub(crate) struct Attributes<'a> {
    table: &'a [*mut bindings::nlattr],
}

impl<'a> Attributes<'a> {
    /// # Safety
    ///
    /// `table` must point to `len` entries, null or an attribute that was parsed, and all of it
    /// must stay for `'a`.
    pub(super) unsafe fn from_raw(table: *mut *mut bindings::nlattr, len: usize) -> Self {
        // SAFETY: by the caller's promise.
        // INVARIANT: by the caller's promise.
        let table = unsafe { core::slice::from_raw_parts(table, len) };
        Self { table }
    }

    /// The attributes in a table that was filled by a parser.
    ///
    /// # Safety
    ///
    /// Each entry of `table` must be null or an attribute that is whole for `'a`.
    pub(super) unsafe fn from_table(table: &'a [*mut bindings::nlattr]) -> Self {
        // INVARIANT: by the caller's promise.
        Self { table }
    }

    /// The table as C wants it. C reads it only.
    pub(super) fn as_raw(&self) -> *mut *mut bindings::nlattr {
        self.table.as_ptr().cast_mut()
    }

    /// The attribute of a type, if the request has it.
    pub(crate) fn get(&self, kind: u32) -> Option<Attribute<'a>> {
        let attr = NonNull::new(*self.table.get(kind as usize)?)?;
        // INVARIANT: by our own.
        Some(Attribute {
            attr,
            request: PhantomData,
        })
    }
}

/// What an attribute of a type has to be like. C: `struct nla_policy`.
#[repr(transparent)]
pub(crate) struct Policy(bindings::nla_policy);

// SAFETY: a policy is never written, and what it points to is static.
unsafe impl Sync for Policy {}

impl Policy {
    const fn of_kind(kind: u32) -> bindings::nla_policy {
        bindings::nla_policy {
            type_: kind as u8,
            ..pin_init::zeroed()
        }
    }

    /// For the type 0, which no attribute has: from type `first` on attributes must have exactly
    /// the length of their kind.
    pub(crate) const fn strict_from(first: u32) -> Self {
        let mut policy = Self::of_kind(bindings::NLA_UNSPEC);
        policy.__bindgen_anon_1.strict_start_type = first as u16;
        Self(policy)
    }

    /// Anything that begins with a `T`.
    pub(crate) const fn at_least<T>() -> Self {
        let mut policy = Self::of_kind(bindings::NLA_UNSPEC);
        policy.len = size_of::<T>() as u16;
        Self(policy)
    }

    /// Any number.
    pub(crate) const fn u32() -> Self {
        Self(Self::of_kind(bindings::NLA_U32))
    }

    /// Nothing: a request with it fails with `EINVAL` and `message`.
    pub(crate) const fn reject(message: &'static CStr) -> Self {
        let mut policy = Self::of_kind(bindings::NLA_REJECT);
        policy.__bindgen_anon_1.reject_message = kernel::str::as_char_ptr_in_const_context(message);
        Self(policy)
    }
}

/// Where to say in words what is wrong with a request. C: `struct netlink_ext_ack`.
#[derive(Clone, Copy)]
pub(crate) struct ExtAck<'a> {
    ack: Option<NonNull<bindings::netlink_ext_ack>>,
    request: PhantomData<&'a ()>,
}

impl ExtAck<'_> {
    /// # Safety
    ///
    /// `ack` must be null or the extended acknowledgement of a request that this thread handles
    /// for all of the lifetime.
    pub(super) unsafe fn from_raw(ack: *mut bindings::netlink_ext_ack) -> Self {
        Self {
            ack: NonNull::new(ack),
            request: PhantomData,
        }
    }

    /// The pointer to hand to C, which may be null.
    pub(super) fn as_raw(&self) -> *mut bindings::netlink_ext_ack {
        self.ack.map_or(core::ptr::null_mut(), NonNull::as_ptr)
    }

    /// The `error` that ends the request, with its reason. C: `NL_SET_ERR_MSG()`.
    pub(crate) fn refuse(&self, error: Error, message: &'static CStr) -> Error {
        if let Some(ack) = self.ack {
            // SAFETY: valid, and only this thread writes it. The message is static.
            unsafe { (*ack.as_ptr())._msg = message.as_char_ptr() };
        }
        error
    }

    /// As [`Self::refuse`], unless what failed has given a reason of its own.
    pub(crate) fn explain(&self, error: Error, message: &'static CStr) -> Error {
        let is_told = |ack: NonNull<bindings::netlink_ext_ack>| {
            // SAFETY: valid as `from_raw()` was promised, and only this thread writes it.
            unsafe { !(*ack.as_ptr())._msg.is_null() }
        };
        match self.ack {
            Some(ack) if is_told(ack) => error,
            _ => self.refuse(error, message),
        }
    }

    /// As [`Self::refuse`], and which attribute is to blame. C: `NL_SET_ERR_MSG_ATTR()`.
    pub(crate) fn refuse_attribute(
        &self,
        error: Error,
        attr: Attribute<'_>,
        message: &'static CStr,
    ) -> Error {
        if let Some(ack) = self.ack {
            // SAFETY: as above. The attribute is a part of the request that the acknowledgement
            // answers, and is only compared with it.
            unsafe { (*ack.as_ptr()).bad_attr = attr.as_raw() };
        }
        self.refuse(error, message)
    }
}

/// A message that is being written.
pub(crate) struct Message<'a> {
    skb: NonNull<bindings::sk_buff>,
    scope: PhantomData<&'a mut ()>,
}

impl Message<'_> {
    /// # Safety
    ///
    /// `skb` must be a netlink message that only this thread writes for all of the lifetime.
    pub(super) unsafe fn from_raw(skb: *mut bindings::sk_buff) -> Self {
        Self {
            // SAFETY: a valid pointer is not null.
            skb: unsafe { NonNull::new_unchecked(skb) },
            scope: PhantomData,
        }
    }

    /// Adds a number. Fails with `EMSGSIZE` where the message is full. C: `nla_put_u32()`.
    pub(crate) fn put_u32(&mut self, kind: u32, value: u32) -> Result {
        // SAFETY: the message is valid and ours, and `value` is read before this returns.
        to_result(unsafe {
            bindings::nla_put(
                self.skb.as_ptr(),
                kind as c_int,
                size_of::<u32>() as c_int,
                (&raw const value).cast(),
            )
        })
    }
}
