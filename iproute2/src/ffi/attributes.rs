// SPDX-License-Identifier: GPL-2.0

//! The kernel's answer.

use super::c::RTA_HEADER;
use crate::uapi::{passthru_attr, rtattr, IFLA_PASSTHRU_MAX};
use core::marker::PhantomData;
use core::mem::size_of;

/// The attributes that the kernel sent for a device, by number.
pub struct Attributes<'a> {
    table: *mut *mut rtattr,
    lifetime: PhantomData<&'a rtattr>,
}

impl Attributes<'_> {
    /// # Safety
    ///
    /// `table` must have an entry for each number up to `IFLA_PASSTHRU_MAX`, null or an attribute
    /// with as many bytes as its length says, that lives as long as the answer.
    pub(super) unsafe fn new(table: *mut *mut rtattr) -> Self {
        Self {
            table,
            lifetime: PhantomData,
        }
    }

    /// The attribute's number; `None` if it was not sent, or is too short for one.
    pub fn u32(&self, attribute: passthru_attr) -> Option<u32> {
        if attribute > IFLA_PASSTHRU_MAX {
            return None;
        }
        // SAFETY: by `new`; the number is not beyond the table, the payload not beyond its attribute.
        unsafe {
            let found = *self.table.add(attribute as usize);
            if found.is_null() || usize::from((*found).rta_len) < RTA_HEADER + size_of::<u32>() {
                return None;
            }
            Some(found.byte_add(RTA_HEADER).cast::<u32>().read_unaligned())
        }
    }
}
