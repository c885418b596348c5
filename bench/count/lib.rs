// SPDX-License-Identifier: GPL-2.0
//! A TCG plugin that counts the instructions a guest executes, by address.
//!
//! The guest ends a window with a mark (see [`mark`]); each window is written
//! to `PREFIX.N` (plugin argument `to=PREFIX`): one line for every block of
//! code that ran, "address instructions executions", the address in hex.
//! Counting is exact: nothing is sampled, interrupts and idle included.

mod mark;
mod qemu;

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{BufWriter, Result, Write};
use std::os::raw::{c_char, c_int, c_uint, c_void};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// Blocks of code that one run can tell apart.
const MOST_BLOCKS: usize = 1 << 21;

/// The plugin interface this is written for; QEMU reads it.
#[no_mangle]
#[used]
pub static qemu_plugin_version: c_int = 2;

/// A translated block.
struct Seen {
    address: u64,
    insns: u64,
}

struct State {
    score: *mut qemu::Scoreboard,
    prefix: String,
    blocks: Vec<Seen>,
    windows: u32,
    full: bool,
}

// SAFETY: the scoreboard is QEMU's and may be used by any of its threads.
unsafe impl Send for State {}

static STATE: OnceLock<Mutex<State>> = OnceLock::new();

fn state() -> Option<MutexGuard<'static, State>> {
    // A poisoned lock cannot be: panics abort.
    STATE
        .get()
        .map(|s| s.lock().unwrap_or_else(PoisonError::into_inner))
}

impl State {
    fn entry(&self, index: usize) -> qemu::Entry {
        qemu::Entry {
            score: self.score,
            offset: index * size_of::<u64>(),
        }
    }

    /// Makes room for a block; `None` when there is no more.
    fn add(&mut self, address: u64, insns: u64) -> Option<qemu::Entry> {
        if self.blocks.len() == MOST_BLOCKS {
            self.full = true;
            return None;
        }
        self.blocks.push(Seen { address, insns });
        Some(self.entry(self.blocks.len() - 1))
    }

    /// Writes what ran since the last mark, and starts anew.
    fn end_window(&mut self) -> Result<()> {
        let mut file = BufWriter::new(File::create(format!("{}.{}", self.prefix, self.windows))?);
        self.windows += 1;
        if self.full {
            writeln!(file, "full")?;
        }
        for (index, block) in self.blocks.iter().enumerate() {
            let entry = self.entry(index);
            // SAFETY: `index` is below MOST_BLOCKS, the scoreboard's size, and
            // the one virtual CPU of an icount run is number 0.
            let runs = unsafe { qemu::qemu_plugin_u64_get(entry, 0) };
            if runs > 0 {
                writeln!(file, "{:x} {} {}", block.address, block.insns, runs)?;
                // SAFETY: as above.
                unsafe { qemu::qemu_plugin_u64_set(entry, 0, 0) };
            }
        }
        file.flush()
    }
}

fn complain(text: String) {
    if let Ok(text) = CString::new(text) {
        // SAFETY: `text` is a live C string.
        unsafe { qemu::qemu_plugin_outs(text.as_ptr()) };
    }
}

/// The guest ran the mark: a window ends, and the next one begins.
///
/// # Safety
///
/// For QEMU to call, as a callback of an instruction.
unsafe extern "C" fn on_mark(_cpu: c_uint, _data: *mut c_void) {
    if let Some(mut state) = state() {
        if let Err(error) = state.end_window() {
            complain(format!("count: {}: {error}\n", state.prefix));
        }
    }
}

/// Whether an instruction of user space is the mark.
fn is_mark(insn: *const qemu::Insn) -> bool {
    let mut bytes = [0u8; mark::MARK.len()];
    // SAFETY: QEMU writes at most `bytes.len()` bytes.
    let length =
        unsafe { qemu::qemu_plugin_insn_data(insn, bytes.as_mut_ptr().cast(), bytes.len()) };
    length == bytes.len() && bytes == mark::MARK
}

/// Watches a block of user space for the mark.
fn watch_for_mark(block: *const qemu::Block) {
    // SAFETY: `block` and its instructions live as long as the callback that
    // got them; the indices are below the block's length.
    unsafe {
        for index in 0..qemu::qemu_plugin_tb_n_insns(block) {
            let insn = qemu::qemu_plugin_tb_get_insn(block, index);
            if is_mark(insn) {
                qemu::qemu_plugin_register_vcpu_insn_exec_cb(
                    insn,
                    on_mark,
                    qemu::NO_REGISTERS,
                    std::ptr::null_mut(),
                );
            }
        }
    }
}

/// QEMU translated a block: have its instructions counted, or watched for the mark.
///
/// # Safety
///
/// For QEMU to call; `block` lives for the call.
unsafe extern "C" fn on_translation(_id: qemu::Id, block: *mut qemu::Block) {
    // SAFETY: QEMU passes a block that lives for this call.
    let (address, insns) = unsafe {
        (
            qemu::qemu_plugin_tb_vaddr(block),
            qemu::qemu_plugin_tb_n_insns(block),
        )
    };
    if address >> 63 == 0 {
        watch_for_mark(block);
    }
    let entry = state().and_then(|mut s| s.add(address, insns as u64));
    if let Some(entry) = entry {
        // SAFETY: the entry lies inside the scoreboard.
        unsafe {
            qemu::qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(block, qemu::ADD_U64, entry, 1);
        }
    }
}

/// The value of argument `to=`.
///
/// # Safety
/// `argv` holds `argc` C strings.
unsafe fn prefix(argc: c_int, argv: *const *const c_char) -> Option<String> {
    (0..usize::try_from(argc).ok()?).find_map(|i| {
        // SAFETY: the caller's promise.
        let word = unsafe { CStr::from_ptr(*argv.add(i)) }.to_str().ok()?;
        word.strip_prefix("to=").map(str::to_owned)
    })
}

/// Called by QEMU when it loads the plugin.
///
/// # Safety
/// `argv` holds `argc` C strings; `info` is not read.
#[no_mangle]
pub unsafe extern "C" fn qemu_plugin_install(
    id: qemu::Id,
    _info: *const c_void,
    argc: c_int,
    argv: *const *const c_char,
) -> c_int {
    // SAFETY: QEMU passes the plugin's arguments.
    let Some(prefix) = (unsafe { prefix(argc, argv) }) else {
        complain("count: argument to=PREFIX is missing\n".into());
        return 1;
    };
    // SAFETY: takes a size; the memory lives as long as QEMU.
    let score = unsafe { qemu::qemu_plugin_scoreboard_new(MOST_BLOCKS * size_of::<u64>()) };
    let state = State {
        score,
        prefix,
        blocks: Vec::new(),
        windows: 0,
        full: false,
    };
    if STATE.set(Mutex::new(state)).is_err() {
        return 1;
    }
    // SAFETY: the callback stays valid as long as the plugin is loaded.
    unsafe { qemu::qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation) };
    0
}
