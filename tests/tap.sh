# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# The Test Anything Protocol: results, and the checks that give them. It needs
# SCRATCH, a directory.

TAP_COUNT=0
TAP_FAILED=0

diag() {
	local line
	while IFS= read -r line; do printf '# %s\n' "$line"; done <<<"$*"
}

# result STATUS NAME: the one place where a result is counted and printed.
result() {
	TAP_COUNT=$((TAP_COUNT + 1))
	if [ "$1" -eq 0 ]; then
		printf 'ok %d - %s\n' "$TAP_COUNT" "$2"
	else
		TAP_FAILED=$((TAP_FAILED + 1))
		printf 'not ok %d - %s\n' "$TAP_COUNT" "$2"
	fi
	return "$1"
}

# What the stock kernel lacks, and what the machine may. Whatever else a test skips
# there has worked, so it is a failure: else nobody would hear that it broke.
LACKING='this kernel injects no faults|kernel has no kmemleak|this is not root'

may_skip() { # REASON
	# What the debug kernel is made for it must not lack.
	[ "${LAB:-stock}" != debug ] || ! [[ $1 =~ ^(this kernel injects no faults|kernel has no kmemleak)$ ]] || return 1
	[ "${LAB:-stock}" != stock ] || [ "${KIND:-passthru}" != passthru ] || [[ $1 =~ ^($LACKING)$ ]]
}

# skip REASON NAME: for what this kernel cannot do, never for what passthru cannot.
skip() {
	if ! may_skip "$1"; then
		result 1 "$2" || diag "skipped, but the $LAB kernel has it: $1"
		return
	fi
	TAP_COUNT=$((TAP_COUNT + 1))
	printf 'ok %d - %s # SKIP %s\n' "$TAP_COUNT" "$2" "$1"
}

skip_all() {
	if ! may_skip "$1"; then
		skip "$1" "the whole test"
		plan
		exit 1
	fi
	printf '1..0 # SKIP %s\n' "$1"
	TAP_COUNT=-1
	exit 0
}

is() { # GOT WANT NAME
	[ "$1" = "$2" ]
	result $? "$3" || diag "got:  $1" $'\n'"want: $2"
}

isnt() { # GOT UNWANTED NAME
	[ "$1" != "$2" ]
	result $? "$3" || diag "got: $1"
}

like() { # GOT REGEX NAME
	[[ $1 =~ $2 ]]
	result $? "$3" || diag "got:  $1" $'\n'"want: /$2/"
}

unlike() { # GOT REGEX NAME
	! [[ $1 =~ $2 ]]
	result $? "$3" || diag "got: $1" $'\n'"must not match: /$2/"
}

between() { # GOT LOW HIGH NAME
	[[ $1 =~ ^-?[0-9]+$ ]] && [ "$1" -ge "$2" ] && [ "$1" -le "$3" ]
	result $? "$4" || diag "got: $1" $'\n'"want: $2 to $3"
}

succeeds() { # NAME CMD...
	local name=$1 out
	shift
	out=$("$@" 2>&1)
	result $? "$name" || diag "command: $*" $'\n'"$out"
}

fails() { # NAME CMD...
	local name=$1 out
	shift
	! out=$("$@" 2>&1)
	result $? "$name" || diag "command must fail: $*" $'\n'"$out"
}

fails_like() { # NAME REGEX CMD...
	local name=$1 regex=$2 out
	shift 2
	if out=$("$@" 2>&1); then
		result 1 "$name" || diag "command must fail: $*"
	else
		like "$out" "$regex" "$name"
	fi
}

# must CMD...: a step that the checks after it stand on; it is heard of only
# when it goes wrong.
must() {
	local out
	out=$("$@" 2>&1) || { result 1 "set-up: $*" || diag "$out"; }
}

# from_tool PREFIX CMD...: takes over the results of a tool that prints
# "ok NAME", "not ok NAME" and "# ..." lines. A tool that dies, or that checks
# nothing, is a failure too.
from_tool() {
	local prefix=$1 line before=$TAP_COUNT
	shift
	while IFS= read -r line; do
		case $line in
		"ok "*" # SKIP "*) skip "${line##* # SKIP }" "$prefix${line%% # SKIP *}" ;;
		"ok "*) result 0 "$prefix${line#ok }" ;;
		"not ok "*) result 1 "$prefix${line#not ok }" ;;
		*) diag "${line#\# }" ;;
		esac
	done < <("$@" 2>&1; echo "# exit status $?" >"$SCRATCH/tool_status")
	grep -qx '# exit status 0' "$SCRATCH/tool_status" && [ "$TAP_COUNT" -gt "$before" ]
	result $? "${prefix}the tool ran to its end" || diag "$(cat "$SCRATCH/tool_status")"
}

# plan: the last line, and whether all was well.
plan() {
	printf '1..%d\n' "$TAP_COUNT"
	[ "$TAP_FAILED" -eq 0 ]
}
