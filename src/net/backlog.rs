// SPDX-License-Identifier: GPL-2.0

//! Each CPU's backlog: packets that were handed to a device there and are yet to be received.
//!
//! C header: `include/linux/netdevice.h` (`struct softnet_data`).

use super::{
    context::BottomHalf,
    hint::{likely, unlikely},
    once::{full_barrier, Once32, Once64},
};
use crate::net::bindings;
#[cfg(not(all(CONFIG_PREEMPT_RT, CONFIG_RPS)))]
use crate::net::once::read_barrier;
use core::{array, mem::offset_of};

/// Kinds of packets that are told apart.
const KINDS: usize = 32;

/// From how many CPUs packets of one kind may be on their way at once, until one of them is not noted.
const WAYS: usize = 4;

/// Where in a note it says whose it is. What comes before is the mark in a backlog, whose upper
/// half is the number of a CPU.
const WHOSE: u32 = 46;

/// What packets of one flow have in common, and those of most others do not.
#[derive(Clone, Copy)]
pub(crate) struct Kind(u32);

impl Kind {
    /// Of both addresses, each in as many bits as there is room for.
    #[inline(always)]
    pub(crate) fn new(saddr: u32, daddr: u32) -> Self {
        // Odd numbers, by which the low bits, where neighbours differ, have a part in all others;
        // and two of them, because the way there is not the way back.
        const MIX: [u32; 2] = [0x9e37_79b1, 0x85eb_ca77];
        Self(saddr.wrapping_mul(MIX[0]) ^ daddr.wrapping_mul(MIX[1]))
    }

    /// Of a packet without a header.
    pub(crate) const NONE: Self = Self(0);

    /// Which note is kept of it.
    fn slot(self) -> usize {
        (self.0 >> 27) as usize % KINDS
    }

    /// What tells it from others of which the same note is kept; not zero.
    fn whose(self) -> u64 {
        u64::from((self.0 >> 10) & 0xffff | 1) << WHOSE
    }
}

/// Where the last packets of each kind are that were handed to one device by way of a backlog. Who
/// hands it a packet by a shorter way asks, so that none overtakes another of its flow.
///
/// A packet that RPS takes to another CPU is not followed there, nor one that GRO keeps.
pub(crate) struct InFlight {
    /// A bit for each kind of which there may be one. While there is none, that is all there is to
    /// ask.
    pending: Once32,
    /// A CPU has its own as long as there are not more of them than `WAYS`.
    notes: [[Once64; WAYS]; KINDS],
}

impl InFlight {
    /// None yet.
    pub(crate) fn new() -> Self {
        Self {
            pending: Once32::new(0),
            notes: array::from_fn(|_| array::from_fn(|_| Once64::new(0))),
        }
    }

    /// Notes that a packet of this kind was put into this CPU's backlog just now: for all who share
    /// the note, or for its own flow `alone`, as long as no other's is there.
    #[inline(always)]
    pub(crate) fn note(&self, kind: Kind, alone: bool, bh: BottomHalf<'_>) {
        let mark = here(bh);
        let note = &self.notes[kind.slot()][cpu_of(mark) as usize % WAYS];
        // The last one there was this CPU's as well, and all share it.
        if likely(!alone && cpu_of(note.read()) == cpu_of(mark)) {
            note.write(mark);
        } else {
            self.note_first(kind, alone, mark);
        }
        // Who finds out that there is none any more clears the bit and looks for notes once more: it
        // sees this one, or this sees no bit. Setting what is set would cost other CPUs their copy.
        full_barrier();
        let bit = 1 << kind.slot();
        if unlikely(self.pending.read() & bit == 0) {
            self.pending.set(bit);
        }
    }

    /// As [`Self::note`], where this CPU may have no note yet, or a flow may have one of its own.
    #[cold]
    #[inline(never)]
    fn note_first(&self, kind: Kind, alone: bool, mark: u64) {
        let (cpu, notes) = (cpu_of(mark), &self.notes[kind.slot()]);
        let may_have = |note: &&Once64| {
            let before = note.read();
            cpu_of(before) == cpu || !is_queued(before)
        };
        let mut ways = (0..WAYS).map(|way| &notes[(cpu as usize + way) % WAYS]);
        let note = ways.find(may_have).unwrap_or(&notes[cpu as usize % WAYS]);
        let alone = alone && {
            let before = note.read();
            before >> WHOSE << WHOSE == kind.whose() || !is_queued(before)
        };
        note.write(mark | if alone { kind.whose() } else { 0 });
    }

    /// Whether a packet of this kind is in a backlog, as far as can be told from here. Callable in
    /// any context.
    #[inline(always)]
    pub(crate) fn is_ahead(&self, kind: impl FnOnce() -> Kind) -> bool {
        self.pending.read() != 0 && self.is_noted(kind())
    }

    #[cold]
    #[inline(never)]
    fn is_noted(&self, kind: Kind) -> bool {
        // Nobody else may ever ask for the others, of which each costs everybody the way to here.
        self.settle(self.pending.read().trailing_zeros() as usize % KINDS);
        self.settle(kind.slot())
            && self.notes[kind.slot()].iter().any(|note| {
                // Read once: another CPU may write it meanwhile.
                let note = note.read();
                let whose = note >> WHOSE << WHOSE;
                (whose == 0 || whose == kind.whose()) && is_queued(note)
            })
    }

    /// Finds out whether a packet of a kind's notes is there still. If not, that need not be asked again.
    fn settle(&self, slot: usize) -> bool {
        let any = || self.notes[slot].iter().any(|note| is_queued(note.read()));
        if any() {
            return true;
        }
        self.pending.clear(1 << slot);
        // Who wrote another one before that has lost its bit. See `note()`.
        full_barrier();
        let queued = any();
        if queued {
            self.pending.set(1 << slot);
        }
        queued
    }
}

/// Whether the packet of a note is in the backlog still.
fn is_queued(note: u64) -> bool {
    let mark = note & ((1 << WHOSE) - 1);
    if mark == 0 {
        return false;
    }
    // SAFETY: marks that are not zero name CPUs that exist.
    let backlog = unsafe { Backlog::of(cpu_of(mark) - 1) };
    backlog.has(mark as u32)
}

/// The number that a mark has of its CPU, one more than the kernel's; zero if there is no mark.
fn cpu_of(note: u64) -> u32 {
    const MASK: u32 = (1 << (WHOSE - 32)) - 1;
    (note >> 32) as u32 & MASK
}

/// Where the backlog of this CPU ends: the number of the CPU, of which there is none with 0, and how
/// many packets there were until now. It is this CPU's as long as softirqs are disabled.
#[inline(always)]
fn here(_bh: BottomHalf<'_>) -> u64 {
    // SAFETY: only reads what this CPU has of its own, and it stays this one: softirqs are disabled, as
    // `_bh` shows.
    let (cpu, end) = unsafe {
        (
            bindings::passthru_helper_cpu(),
            bindings::passthru_helper_backlog_end(),
        )
    };
    u64::from(cpu.wrapping_add(1)) << 32 | u64::from(end)
}

// Parts of the structure are aligned by themselves, which bindgen has to make up for.
const _: () = {
    use bindings::softnet_data;
    let input = offset_of!(softnet_data, input_pkt_queue);
    let process = offset_of!(softnet_data, process_queue);
    assert!(input == bindings::PASSTHRU_INPUT_PKT_QUEUE as usize);
    assert!(process == bindings::PASSTHRU_PROCESS_QUEUE as usize);
};
#[cfg(CONFIG_RPS)]
const _: () = {
    use bindings::softnet_data;
    let head = offset_of!(softnet_data, input_queue_head);
    let tail = offset_of!(softnet_data, input_queue_tail);
    assert!(head == bindings::PASSTHRU_INPUT_QUEUE_HEAD as usize);
    assert!(tail == bindings::PASSTHRU_INPUT_QUEUE_TAIL as usize);
};

/// The backlog of one CPU.
///
/// # Invariants
///
/// Points to what belongs to a CPU, which is always there.
struct Backlog(*const bindings::softnet_data);

impl Backlog {
    /// # Safety
    ///
    /// There must be a CPU of this number.
    unsafe fn of(cpu: u32) -> Self {
        // SAFETY: by the caller; only computes an address.
        // INVARIANT: that of such a CPU.
        Self(unsafe { bindings::passthru_helper_softnet_data(cpu) })
    }

    /// How many packets were put there, ever.
    #[cfg(all(CONFIG_RPS, not(CONFIG_PREEMPT_RT)))]
    fn end(&self) -> u32 {
        // SAFETY: by the type's invariant; a single load.
        unsafe { (&raw const (*self.0).input_queue_tail).read_volatile() }
    }

    /// Without RPS nobody counts.
    #[cfg(not(CONFIG_RPS))]
    fn end(&self) -> u32 {
        0
    }

    /// Whether what was there when it ended at `mark` is there still, or was not received yet: where
    /// tasks receive, one of more urgency may come in between with the next packet of a flow.
    #[cfg(all(CONFIG_PREEMPT_RT, CONFIG_RPS))]
    fn has(&self, mark: u32) -> bool {
        // SAFETY: by the type's invariant; a single load.
        let begin = unsafe { (&raw const (*self.0).input_queue_head).read_volatile() };
        mark.wrapping_sub(begin) as i32 > 0
    }

    /// Whether what was there when it ended at `mark` is there still. Without an end: whether
    /// anything is.
    ///
    /// The count of what has left a backlog lags behind; its end and its lengths do not. They are read
    /// in the order in which packets come by, so that one that moves meanwhile counts twice rather
    /// than not at all.
    #[cfg(not(all(CONFIG_PREEMPT_RT, CONFIG_RPS)))]
    fn has(&self, mark: u32) -> bool {
        let end = self.end();
        read_barrier();
        // SAFETY: by the type's invariant; single loads. C: `skb_queue_len_lockless()`.
        let waiting = unsafe { Self::len(&raw const (*self.0).input_pkt_queue) };
        read_barrier();
        // SAFETY: as above.
        let len = waiting.wrapping_add(unsafe { Self::len(&raw const (*self.0).process_queue) });
        let begin = end.wrapping_sub(len);
        len != 0 && (cfg!(not(CONFIG_RPS)) || mark.wrapping_sub(begin) as i32 > 0)
    }

    /// # Safety
    ///
    /// `queue` must be valid.
    #[cfg(not(all(CONFIG_PREEMPT_RT, CONFIG_RPS)))]
    unsafe fn len(queue: *const bindings::sk_buff_head) -> u32 {
        // SAFETY: by the caller.
        unsafe { (&raw const (*queue).qlen).read_volatile() }
    }
}
