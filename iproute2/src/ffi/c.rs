// SPDX-License-Identifier: GPL-2.0

//! What `ip` and the C library export, and the numbers that go with it.

use crate::uapi::{ifinfomsg, nlmsghdr, rtattr};
use core::ffi::{c_char, c_int, c_uint, c_void};
use core::mem::size_of;

/// `enum output_type`: text or JSON, whichever was asked for; text only; JSON only.
pub const PRINT_ANY: c_int = 4;
pub const PRINT_FP: c_int = 1;
pub const PRINT_JSON: c_int = 2;
/// `enum color_attr`: as it comes.
pub const COLOR_NONE: c_int = 6;
/// The size of `struct iplink_req`: two headers, then room for attributes.
pub const REQUEST_SIZE: c_int = (size_of::<nlmsghdr>() + size_of::<ifinfomsg>() + 1024) as c_int;
/// `RTA_LENGTH(0)`: what comes before the payload of an attribute.
pub const RTA_HEADER: usize = size_of::<rtattr>();

extern "C" {
    pub fn addattr_l(
        n: *mut nlmsghdr,
        max: c_int,
        t: c_int,
        data: *const c_void,
        len: c_int,
    ) -> c_int;
    pub fn addattr_nest_end(n: *mut nlmsghdr, nest: *mut rtattr) -> c_int;
    pub fn iplink_parse(
        argc: c_int,
        argv: *mut *mut c_char,
        req: *mut nlmsghdr,
        kind: *mut *mut c_char,
    ) -> c_int;
    pub fn print_color_string(
        t: c_int,
        color: c_int,
        key: *const c_char,
        fmt: *const c_char,
        v: *const c_char,
    ) -> c_int;
    pub fn print_color_uint(
        t: c_int,
        color: c_int,
        key: *const c_char,
        fmt: *const c_char,
        v: c_uint,
    ) -> c_int;
    pub fn open_json_array(t: c_int, key: *const c_char);
    pub fn close_json_array(t: c_int, text: *const c_char);
    pub fn incomplete_command() -> !;
    pub fn duparg(key: *const c_char, value: *const c_char) -> !;
    pub fn invarg(message: *const c_char, value: *const c_char) -> !;
}

#[link(name = "c")]
extern "C" {
    pub static stderr: *mut c_void;
    pub fn fputs(text: *const c_char, file: *mut c_void) -> c_int;
    pub fn abort() -> !;
}

// Headers with no padding between them.
const _: () = {
    assert!(size_of::<nlmsghdr>() == 16 && size_of::<ifinfomsg>() == 16 && RTA_HEADER == 4);
};
