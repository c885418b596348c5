// SPDX-License-Identifier: GPL-2.0

//! Parameters of the module that are more than a number.
//!
//! C header: `include/linux/moduleparam.h`.

use crate::net::bindings;
use core::fmt;
use kernel::{error::from_result, prelude::*};

/// A parameter as text: what `insmod` was given, and what `/sys/module/*/parameters` shows and
/// takes later. The kernel makes no two calls at once.
pub(crate) trait Parameter {
    /// Takes a new value. Called before the module's `init` too, and not at all without a value.
    fn set(text: &[u8]) -> Result;

    /// Writes the value that is in force.
    fn show(out: &mut dyn fmt::Write) -> fmt::Result;
}

/// How the kernel calls a [`Parameter`]. C: `struct kernel_param_ops`.
pub(crate) const fn operations<P: Parameter>() -> bindings::kernel_param_ops {
    bindings::kernel_param_ops {
        flags: 0,
        set: Some(set::<P>),
        get: Some(get::<P>),
        free: None,
    }
}

/// # Safety
///
/// `value` must be a string.
unsafe extern "C" fn set<P: Parameter>(
    value: *const c_char,
    _param: *const bindings::kernel_param,
) -> c_int {
    // SAFETY: by the caller's promise. It is never null: without the flag for it, the kernel
    // refuses a parameter that has no value.
    let text = unsafe { CStr::from_char_ptr(value) }.to_bytes();
    // `echo` ends what it writes with one.
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    from_result(|| P::set(text).map(|()| 0))
}

/// # Safety
///
/// `buffer` must be a page that only the caller knows.
unsafe extern "C" fn get<P: Parameter>(
    buffer: *mut c_char,
    _param: *const bindings::kernel_param,
) -> c_int {
    // SAFETY: by the caller's promise; C strings are bytes.
    let buffer = unsafe { core::slice::from_raw_parts_mut(buffer.cast::<u8>(), PAGE) };
    let mut text = Text { buffer, len: 0 };
    match P::show(&mut text).and_then(|()| fmt::Write::write_str(&mut text, "\n")) {
        Ok(()) => text.len as c_int,
        Err(fmt::Error) => ENOSPC.to_errno(),
    }
}

/// The smallest page of any architecture.
const PAGE: usize = 4096;

/// Text in a buffer of fixed size.
struct Text<'a> {
    buffer: &'a mut [u8],
    len: usize,
}

impl fmt::Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.buffer.get_mut(self.len..).ok_or(fmt::Error)?;
        let room = room.get_mut(..text.len()).ok_or(fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.len += text.len();
        Ok(())
    }
}

/// An entry of the table that the kernel finds parameters in. C: `struct kernel_param`.
#[repr(transparent)]
pub(crate) struct Entry(#[allow(dead_code)] bindings::kernel_param);

// SAFETY: nobody but the kernel uses it, and the kernel only reads it.
unsafe impl Sync for Entry {}

impl Entry {
    /// The parameter `name`, readable by all and writable by root.
    pub(crate) const fn new(
        name: &'static CStr,
        module: *mut bindings::module,
        operations: &'static bindings::kernel_param_ops,
    ) -> Self {
        Self(bindings::kernel_param {
            name: kernel::str::as_char_ptr_in_const_context(name),
            mod_: module,
            ops: operations,
            perm: 0o644,
            level: -1,
            ..pin_init::zeroed()
        })
    }
}

extern "C" {
    /// What the module's loader knows of this module, for its address only.
    pub(crate) static __this_module: kernel::types::Opaque<u8>;
}

/// Gives the module a parameter: an entry in the kernel's table, and a line in `modinfo`. As C's
/// `module_param_cb()` and `MODULE_PARM_DESC()`.
macro_rules! module_parameter {
    (type: $type:ty, name: $name:literal, description: $description:literal $(,)?) => {
        const _: () = {
            use $crate::net::{bindings, module_param};

            static OPERATIONS: bindings::kernel_param_ops = module_param::operations::<$type>();

            #[link_section = "__param"]
            #[used]
            static ENTRY: module_param::Entry = module_param::Entry::new(
                match core::ffi::CStr::from_bytes_with_nul(concat!($name, "\0").as_bytes()) {
                    Ok(name) => name,
                    Err(_) => panic!("a parameter's name has no zero in it"),
                },
                // SAFETY: only its address is taken.
                unsafe { module_param::__this_module.get() }.cast(),
                &OPERATIONS,
            );

            const TEXT: &str = concat!("parm=", $name, ":", $description, "\0");

            #[link_section = ".modinfo"]
            #[used]
            static MODINFO: [u8; TEXT.len()] = match TEXT.as_bytes().first_chunk() {
                Some(bytes) => *bytes,
                None => panic!("a text is as long as it is"),
            };
        };
    };
}

pub(crate) use module_parameter;
