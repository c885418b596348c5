// SPDX-License-Identifier: GPL-2.0

//! A number that a packet carries from one namespace into the next.
//!
//! C header: `include/linux/skbuff.h` (`sk_buff::cb`).

use super::skb::SkBuff;

/// Says that a note of [`SkBuff::levels`] is one. All bits but those of the number.
const LEVELS: u64 = u64::from_be_bytes(*b"passthr\0");
/// The bits of the number.
const NUMBER: u64 = 0xff;

impl SkBuff {
    /// How many namespaces the packet has gone through from one into the next, by shortcuts, since
    /// somebody counted a hop. Zero where nobody has noted that.
    #[inline(always)]
    pub(crate) fn levels(&self) -> u32 {
        let note = self.level_note();
        // SAFETY: the skb is valid and ours, and any bytes make a number.
        let note = unsafe { note.read_unaligned() };
        // What is no note differs in more than the number, which is zero in `LEVELS`.
        let number = note ^ LEVELS;
        if number <= NUMBER {
            number as u32
        } else {
            0
        }
    }

    /// Whether it has gone through any.
    #[inline(always)]
    pub(crate) fn has_levels(&self) -> bool {
        // SAFETY: as above.
        let note = unsafe { self.level_note().read_unaligned() };
        // One comparison: zero, which stands for none, becomes the greatest number there is.
        (note ^ LEVELS).wrapping_sub(1) < NUMBER
    }

    /// Notes that. The note lives where neither IP nor traffic control, nor a queue of received
    /// packets, keeps anything: who has a packet for longer forgets it, and with it the note.
    #[inline(always)]
    pub(crate) fn note_levels(&mut self, levels: u32) {
        let note = LEVELS | (u64::from(levels) & NUMBER);
        // SAFETY: the skb is valid and ours.
        unsafe { self.level_note().write_unaligned(note) };
    }

    /// The end of the control block.
    #[inline(always)]
    fn level_note(&self) -> *mut u64 {
        // SAFETY: the skb is valid.
        let cb = unsafe { &raw mut (*self.as_raw()).cb };
        // SAFETY: within the array, whose elements are bytes.
        unsafe { cb.add(1).cast::<u64>().sub(1) }
    }
}
