// SPDX-License-Identifier: GPL-2.0

//! The request to the kernel.

use super::c::{addattr_l, addattr_nest_end, iplink_parse, REQUEST_SIZE, RTA_HEADER};
use super::{duplicate, Args};
use crate::link::Refused;
use crate::uapi::{ifinfomsg, nlmsghdr, passthru_attr, rtattr, NLM_F_CREATE};
use core::ffi::{c_int, CStr};
use core::marker::PhantomData;
use core::mem::size_of;
use core::ptr::{self, NonNull};

/// The request in the making: iproute2's `struct iplink_req`, open at the attributes of the type.
pub struct Request<'a> {
    header: NonNull<nlmsghdr>,
    lifetime: PhantomData<&'a mut nlmsghdr>,
}

impl Request<'_> {
    /// # Safety
    ///
    /// `header` must be the head of a `struct iplink_req` that nothing else touches while the
    /// answer lives.
    pub(super) unsafe fn new(header: NonNull<nlmsghdr>) -> Self {
        Self {
            header,
            lifetime: PhantomData,
        }
    }

    /// Whether a device is to be made, and not changed.
    pub fn creates(&self) -> bool {
        // SAFETY: the header is `ip`'s and is there for this call.
        let flags = unsafe { self.header.as_ref() }.nlmsg_flags;
        u32::from(flags) & NLM_F_CREATE != 0
    }

    /// Appends an attribute with a number.
    pub fn put_u32(&mut self, attribute: passthru_attr, value: u32) -> Result<(), Refused> {
        self.put(attribute, &value)
    }

    /// Appends an attribute that describes another device by `args`, in the words of `ip link add`:
    /// a `struct ifinfomsg`, then attributes, as in a request of its own.
    pub fn put_link(&mut self, attribute: passthru_attr, args: Args<'_>) -> Result<(), Refused> {
        let nest = self.tail();
        self.put(attribute, &ifinfomsg::default())?;
        let described = self.parse_link(args)?;
        // SAFETY: `put` has made an attribute at `nest`, its payload of this size, and `ip` has only
        // appended since; all is aligned to four bytes, as netlink has it.
        unsafe {
            nest.byte_add(RTA_HEADER)
                .cast::<ifinfomsg>()
                .write(described);
            addattr_nest_end(self.header.as_ptr(), nest);
        }
        Ok(())
    }

    /// Appends the attributes that `args` ask for; answers what belongs in the device's header.
    ///
    /// `ip` writes that to the head of the request, which is the first device's, so what is there
    /// is put aside.
    fn parse_link(&mut self, args: Args<'_>) -> Result<ifinfomsg, Refused> {
        let header = self.header.as_ptr();
        let mut kind = ptr::null_mut();
        // SAFETY: a `struct ifinfomsg` follows the header in every request about links, aligned as
        // the header's size keeps it; `ip` takes the request back as it gave it, and `args` has as
        // many strings as it says.
        let (consumed, described) = unsafe {
            let head = header.add(1).cast::<ifinfomsg>();
            let first = head.read();
            head.write(ifinfomsg {
                ifi_index: 0,
                ifi_flags: 0,
                ifi_change: 0,
                ..first
            });
            let consumed = iplink_parse(args.left, args.argv, header, &mut kind);
            (consumed, head.replace(first))
        };
        if !kind.is_null() {
            // SAFETY: `ip` points it to one of the strings.
            duplicate(c"type", unsafe { CStr::from_ptr(kind) });
        }
        if consumed != args.left {
            return Err(Refused);
        }
        Ok(ifinfomsg {
            ifi_family: 0,
            ..described
        })
    }

    /// Where the next attribute will be.
    fn tail(&self) -> *mut rtattr {
        let header = self.header.as_ptr();
        // SAFETY: the length is that of what was written so far into a larger buffer, whose size
        // is a multiple of four.
        unsafe {
            header
                .byte_add((*header).nlmsg_len.next_multiple_of(4) as usize)
                .cast()
        }
    }

    /// Appends an attribute, or says that there is no room for it.
    fn put<T: Copy>(&mut self, attribute: passthru_attr, payload: &T) -> Result<(), Refused> {
        let data = ptr::from_ref(payload).cast();
        // SAFETY: the request has that size, and `data` points to as much as it says.
        let status = unsafe {
            addattr_l(
                self.header.as_ptr(),
                REQUEST_SIZE,
                attribute as c_int,
                data,
                size_of::<T>() as c_int,
            )
        };
        if status == 0 {
            Ok(())
        } else {
            Err(Refused)
        }
    }
}
