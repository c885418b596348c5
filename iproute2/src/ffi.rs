// SPDX-License-Identifier: GPL-2.0

//! The edge to `ip`: the table that it finds, and safe wrappers of the functions that it lends.
//!
//! `ip` has one thread, calls in with pointers that stay good until the call returns, and exports
//! the functions declared here. Both ways the types are those of iproute2 since 5.10 at least.

use crate::link::{self, Refused};
use crate::print::Output;
use crate::uapi::{ifinfomsg, nlmsghdr, passthru_attr, rtattr, IFLA_PASSTHRU_MAX, NLM_F_CREATE};
use core::cell::UnsafeCell;
use core::ffi::{c_char, c_int, c_uint, c_void, CStr};
use core::marker::PhantomData;
use core::mem::{offset_of, size_of};
use core::ptr::{self, NonNull};

/// iproute2's `struct link_util`, the entries for statistics left out of use.
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

/// `enum output_type`: text or JSON, whichever was asked for; text only.
const PRINT_ANY: c_int = 4;
const PRINT_FP: c_int = 1;
/// `enum color_attr`: as it comes.
const COLOR_NONE: c_int = 6;
/// The size of `struct iplink_req`: two headers, then room for attributes.
const REQUEST_SIZE: c_int = (size_of::<nlmsghdr>() + size_of::<ifinfomsg>() + 1024) as c_int;
/// `RTA_LENGTH(0)`: what comes before the payload of an attribute.
const RTA_HEADER: usize = size_of::<rtattr>();

extern "C" {
    fn addattr_l(n: *mut nlmsghdr, max: c_int, t: c_int, data: *const c_void, len: c_int) -> c_int;
    fn addattr_nest_end(n: *mut nlmsghdr, nest: *mut rtattr) -> c_int;
    fn iplink_parse(
        argc: c_int,
        argv: *mut *mut c_char,
        req: *mut nlmsghdr,
        kind: *mut *mut c_char,
    ) -> c_int;
    fn print_color_string(
        t: c_int,
        color: c_int,
        key: *const c_char,
        fmt: *const c_char,
        v: *const c_char,
    ) -> c_int;
    fn print_color_uint(
        t: c_int,
        color: c_int,
        key: *const c_char,
        fmt: *const c_char,
        v: c_uint,
    ) -> c_int;
    fn incomplete_command() -> !;
    fn duparg(key: *const c_char, value: *const c_char) -> !;
    fn invarg(message: *const c_char, value: *const c_char) -> !;
}

#[link(name = "c")]
extern "C" {
    static stderr: *mut c_void;
    fn fputs(text: *const c_char, file: *mut c_void) -> c_int;
    fn abort() -> !;
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // SAFETY: it may be called at any time.
    unsafe { abort() }
}

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
    let mut request = Request {
        header,
        lifetime: PhantomData,
    };
    match link::parse_opt(args, &mut request) {
        Ok(()) => 0,
        Err(Refused) => -1,
    }
}

unsafe extern "C" fn print_opt(_: *mut LinkUtil, _: *mut c_void, table: *mut *mut rtattr) {
    // Null: the kernel sent no attributes of the type.
    if !table.is_null() {
        link::print_opt(&Attributes {
            table,
            lifetime: PhantomData,
        });
    }
}

unsafe extern "C" fn print_help(
    _: *mut LinkUtil,
    _: c_int,
    _: *mut *mut c_char,
    file: *mut c_void,
) {
    link::print_help(&mut File(file));
}

/// Words of the command line.
pub struct Args<'a> {
    argv: *mut *mut c_char,
    left: c_int,
    lifetime: PhantomData<&'a CStr>,
}

impl Args<'_> {
    /// # Safety
    ///
    /// `argv` must have `argc` strings that live as long as the answer.
    unsafe fn new(argc: c_int, argv: *mut *mut c_char) -> Self {
        Self {
            argv,
            left: argc,
            lifetime: PhantomData,
        }
    }
}

impl<'a> Iterator for Args<'a> {
    type Item = &'a CStr;

    fn next(&mut self) -> Option<&'a CStr> {
        if self.left <= 0 {
            return None;
        }
        // SAFETY: by `new`, `left` strings are there, of which this takes one; the pointer gets to
        // the end of the array at most.
        let word = unsafe {
            let word = CStr::from_ptr(*self.argv);
            self.argv = self.argv.add(1);
            word
        };
        self.left -= 1;
        Some(word)
    }
}

/// The request in the making: iproute2's `struct iplink_req`, open at the attributes of the type.
pub struct Request<'a> {
    header: NonNull<nlmsghdr>,
    lifetime: PhantomData<&'a mut nlmsghdr>,
}

impl Request<'_> {
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

/// The attributes that the kernel sent for a device, by number.
pub struct Attributes<'a> {
    table: *mut *mut rtattr,
    lifetime: PhantomData<&'a rtattr>,
}

impl Attributes<'_> {
    /// The attribute's number; `None` if it was not sent, or is too short for one.
    pub fn u32(&self, attribute: passthru_attr) -> Option<u32> {
        if attribute > IFLA_PASSTHRU_MAX {
            return None;
        }
        // SAFETY: the table has `maxattr` entries after the first, each null or an attribute in the
        // kernel's message with as many bytes as its length says.
        unsafe {
            let found = *self.table.add(attribute as usize);
            if found.is_null() || usize::from((*found).rta_len) < RTA_HEADER + size_of::<u32>() {
                return None;
            }
            Some(found.byte_add(RTA_HEADER).cast::<u32>().read_unaligned())
        }
    }
}

/// A stream of the C library.
pub struct File(*mut c_void);

impl File {
    /// The standard error stream.
    pub fn stderr() -> Self {
        // SAFETY: the C library sets it before anything runs.
        Self(unsafe { stderr })
    }

    /// Writes a text. Like all of `ip`, it does not look whether that works.
    pub fn put(&mut self, text: &CStr) {
        // SAFETY: a file is made of a stream that is open, here or in `ip`.
        unsafe { fputs(text.as_ptr(), self.0) };
    }
}

/// What `ip` prints to: text or JSON, as its options say.
pub struct Console;

impl Output for Console {
    fn label(&mut self, label: &CStr) {
        // SAFETY: the format takes one string.
        unsafe {
            print_color_string(
                PRINT_FP,
                COLOR_NONE,
                ptr::null(),
                c"%s ".as_ptr(),
                label.as_ptr(),
            )
        };
    }

    fn word(&mut self, key: &CStr, value: &CStr) {
        // SAFETY: the format takes one string.
        unsafe {
            print_color_string(
                PRINT_ANY,
                COLOR_NONE,
                key.as_ptr(),
                c"%s ".as_ptr(),
                value.as_ptr(),
            )
        };
    }

    fn number(&mut self, key: &CStr, value: u32) {
        // SAFETY: the format takes one unsigned int.
        unsafe { print_color_uint(PRINT_ANY, COLOR_NONE, key.as_ptr(), c"%u ".as_ptr(), value) };
    }
}

/// Says that the line ends too early, and exits.
pub fn incomplete() -> ! {
    // SAFETY: it has no conditions.
    unsafe { incomplete_command() }
}

/// Says that an option was given twice, and exits.
pub fn duplicate(option: &CStr, value: &CStr) -> ! {
    // SAFETY: both are strings.
    unsafe { duparg(option.as_ptr(), value.as_ptr()) }
}

/// Says that a value is wrong, and exits.
pub fn invalid(message: &CStr, value: &CStr) -> ! {
    // SAFETY: both are strings.
    unsafe { invarg(message.as_ptr(), value.as_ptr()) }
}

// The table as `ip` reads it, and headers without padding between them.
const _: () = {
    assert!(offset_of!(LinkUtil, parse_opt) == 3 * size_of::<usize>());
    assert!(size_of::<LinkUtil>() == 9 * size_of::<usize>());
    assert!(size_of::<nlmsghdr>() == 16 && size_of::<ifinfomsg>() == 16 && RTA_HEADER == 4);
};
