// SPDX-License-Identifier: GPL-2.0

//! The edge to `ip`: the table that it finds and calls the plugin by.
//!
//! `ip` has one thread, calls in with pointers that stay good until the call returns, and exports
//! the functions declared in [`c`]. Both ways the types are those of iproute2 since 5.10 at least.

mod args;
mod attributes;
mod c;
mod output;
mod request;

pub use self::args::Args;
pub use self::attributes::Attributes;
pub use self::output::{duplicate, incomplete, invalid, Console, File};
pub use self::request::Request;

use crate::link::{self, Refused};
use crate::uapi::{nlmsghdr, rtattr, IFLA_PASSTHRU_MAX};
use core::cell::UnsafeCell;
use core::ffi::{c_char, c_int, c_void};
use core::mem::{offset_of, size_of};
use core::ptr::{self, NonNull};

/// iproute2's `struct link_util`, its entries for statistics unused.
#[repr(C)]
struct LinkUtil {
    next: UnsafeCell<*mut LinkUtil>,
    id: *const c_char,
    maxattr: c_int,
    parse_opt: unsafe extern "C" fn(*mut Self, c_int, *mut *mut c_char, *mut nlmsghdr) -> c_int,
    print_opt: unsafe extern "C" fn(*mut Self, *mut c_void, *mut *mut rtattr),
    print_xstats: *const c_void,
    print_help: unsafe extern "C" fn(*mut Self, c_int, *mut *mut c_char, *mut c_void),
    parse_ifla_xstats: *const c_void,
    print_ifla_xstats: *const c_void,
}

// SAFETY: only `ip` writes it, only `next`, and it has one thread.
unsafe impl Sync for LinkUtil {}

#[export_name = "passthru_link_util"]
static LINK_UTIL: LinkUtil = LinkUtil {
    next: UnsafeCell::new(ptr::null_mut()),
    id: c"passthru".as_ptr(),
    maxattr: IFLA_PASSTHRU_MAX as c_int,
    parse_opt,
    print_opt,
    print_xstats: ptr::null(),
    print_help,
    parse_ifla_xstats: ptr::null(),
    print_ifla_xstats: ptr::null(),
};

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // SAFETY: it may be called at any time.
    unsafe { c::abort() }
}

/// # Safety
///
/// For `ip` to call, with its own command line and the request that it makes.
unsafe extern "C" fn parse_opt(
    _: *mut LinkUtil,
    argc: c_int,
    argv: *mut *mut c_char,
    header: *mut nlmsghdr,
) -> c_int {
    // SAFETY: `ip` gives `argc` strings, which are part of its own command line or batch file.
    let args = unsafe { Args::new(argc, argv) };
    let Some(header) = NonNull::new(header) else {
        return -1;
    };
    // SAFETY: `ip` calls with the header of its `struct iplink_req`, and waits.
    let mut request = unsafe { Request::new(header) };
    match link::parse_opt(args, &mut request) {
        Ok(()) => 0,
        Err(Refused) => -1,
    }
}

/// # Safety
///
/// For `ip` to call, with null or its table of the type's attributes.
unsafe extern "C" fn print_opt(_: *mut LinkUtil, _: *mut c_void, table: *mut *mut rtattr) {
    // Null: the kernel sent no attributes of the type.
    if !table.is_null() {
        // SAFETY: `ip` has filled a table of `maxattr` and one entries from the kernel's message.
        link::print_opt(unsafe { &Attributes::new(table) });
    }
}

/// # Safety
///
/// For `ip` to call, with a stream that it has open.
unsafe extern "C" fn print_help(
    _: *mut LinkUtil,
    _: c_int,
    _: *mut *mut c_char,
    file: *mut c_void,
) {
    // SAFETY: `ip` gives a stream that it has open.
    link::print_help(&mut unsafe { File::new(file) });
}

// The table as `ip` reads it.
const _: () = {
    assert!(offset_of!(LinkUtil, parse_opt) == 3 * size_of::<usize>());
    assert!(size_of::<LinkUtil>() == 9 * size_of::<usize>());
};
