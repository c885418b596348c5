#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Routes that flip between two children, and sets of shortcuts that change,
# while packets come: none goes astray. In User Mode Linux, where a packet costs
# little, more than a million packets and ten thousand flips.

. "$(dirname "$0")/lib.sh"
. "$TESTS/shortcuts.sh"
load_module

steady_code
world l3
case $LAB in
uml) amount=(--flips 2000 --packets 35000 --storm 100000) ;;
debug) amount=(--flips 100 --packets 500 --storm 1000) ;;
*) amount=(--flips 350 --packets 2000 --storm 6000) ;;
esac
tool shortcut_flips "${amount[@]}" none device route netfilter socket all

done_testing
