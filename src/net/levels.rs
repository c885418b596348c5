// SPDX-License-Identifier: GPL-2.0

//! A number that a packet carries from one namespace into the next.
//!
//! C header: `include/linux/skbuff.h` (`sk_buff::cb`).

use super::skb::SkBuff;

/// Says that a note of [`SkBuff::levels`] is one. What another has left there may say so by chance:
/// then a packet goes by the full path that could have taken a shortcut.
const NOTE: u32 = u32::from_ne_bytes(*b"pass");

impl SkBuff {
    /// How many namespaces the packet has gone through from one into the next, by shortcuts, since
    /// somebody counted a hop. Zero where nobody has noted that.
    #[inline(always)]
    pub(crate) fn levels(&self) -> u32 {
        if self.has_levels() {
            // SAFETY: the skb is valid and ours, and any bytes make a number.
            unsafe { self.level_note().read_unaligned()[1] }
        } else {
            0
        }
    }

    /// Whether anybody has noted that.
    #[inline(always)]
    pub(crate) fn has_levels(&self) -> bool {
        // SAFETY: as above.
        unsafe { self.level_note().read_unaligned()[0] == NOTE }
    }

    /// Notes that. The note lives where neither IP nor traffic control, nor a queue of received
    /// packets, keeps anything: who has a packet for longer forgets it, and with it the note.
    #[inline(always)]
    pub(crate) fn note_levels(&mut self, levels: u32) {
        // SAFETY: the skb is valid and ours.
        unsafe { self.level_note().write_unaligned([NOTE, levels]) };
    }

    /// The end of the control block: what says that it is one, and the number.
    #[inline(always)]
    fn level_note(&self) -> *mut [u32; 2] {
        // SAFETY: the skb is valid.
        let cb = unsafe { &raw mut (*self.as_raw()).cb };
        // SAFETY: within the array, whose elements are bytes.
        unsafe { cb.add(1).cast::<[u32; 2]>().sub(1) }
    }
}
