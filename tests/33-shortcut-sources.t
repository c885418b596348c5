#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# A destination that is known is known to all sources: until something makes one
# of them unwelcome, and then the very next packet tells. In a kernel of its own,
# because one that ever had rules is not asked of destinations any more.

. "$(dirname "$0")/lib.sh"
. "$TESTS/shortcuts.sh"
load_module

world l3
tool shortcut_sources

done_testing
