// SPDX-License-Identifier: GPL-2.0

//! The command line.

use core::ffi::{c_char, c_int, CStr};
use core::marker::PhantomData;

/// Words of the command line.
#[derive(Clone)]
pub struct Args<'a> {
    pub(super) argv: *mut *mut c_char,
    pub(super) left: c_int,
    lifetime: PhantomData<&'a CStr>,
}

impl Args<'_> {
    /// # Safety
    ///
    /// `argv` must have `argc` strings that live as long as the answer.
    pub(super) unsafe fn new(argc: c_int, argv: *mut *mut c_char) -> Self {
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
