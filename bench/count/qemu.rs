// SPDX-License-Identifier: GPL-2.0
//! The part of QEMU's plugin interface that is used here (version 2 and on).

use std::os::raw::{c_char, c_int, c_uint, c_void};

/// A plugin's handle.
pub type Id = u64;

/// A block of guest code that is being translated.
#[repr(C)]
pub struct Block {
    _opaque: [u8; 0],
}

/// One instruction of a block.
#[repr(C)]
pub struct Insn {
    _opaque: [u8; 0],
}

/// Memory with one element for each virtual CPU.
#[repr(C)]
pub struct Scoreboard {
    _opaque: [u8; 0],
}

/// One 64-bit number in a scoreboard's element.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Entry {
    pub score: *mut Scoreboard,
    pub offset: usize,
}

pub type BlockCallback = unsafe extern "C" fn(Id, *mut Block);
pub type ExecCallback = unsafe extern "C" fn(c_uint, *mut c_void);

/// Adds a constant to a number.
pub const ADD_U64: c_int = 0;
/// The callback reads no register.
pub const NO_REGISTERS: c_int = 0;

extern "C" {
    pub fn qemu_plugin_register_vcpu_tb_trans_cb(id: Id, callback: BlockCallback);
    pub fn qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(
        block: *mut Block,
        operation: c_int,
        entry: Entry,
        value: u64,
    );
    pub fn qemu_plugin_register_vcpu_insn_exec_cb(
        insn: *mut Insn,
        callback: ExecCallback,
        flags: c_int,
        data: *mut c_void,
    );
    pub fn qemu_plugin_tb_n_insns(block: *const Block) -> usize;
    pub fn qemu_plugin_tb_get_insn(block: *const Block, index: usize) -> *mut Insn;
    pub fn qemu_plugin_tb_vaddr(block: *const Block) -> u64;
    pub fn qemu_plugin_insn_data(insn: *const Insn, to: *mut c_void, length: usize) -> usize;
    pub fn qemu_plugin_scoreboard_new(element_size: usize) -> *mut Scoreboard;
    pub fn qemu_plugin_u64_get(entry: Entry, cpu: c_uint) -> u64;
    pub fn qemu_plugin_u64_set(entry: Entry, cpu: c_uint, value: u64);
    pub fn qemu_plugin_outs(text: *const c_char);
}
