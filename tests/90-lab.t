#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# lab: --host
#
# The lab itself: what it says when something is missing, what a guest that
# fails comes to, and that half a build never counts. It runs beside the guests.

set -u
cd "$(dirname "$0")/.." || exit
SCRATCH=$(mktemp -d)
trap 'rm -rf "$SCRATCH"' EXIT
. tests/tap.sh
if [ "${LAB:-stock}" != stock ]; then skip_all "it is the same in every lab"; fi

# one_line NAME REGEX CMD...: it fails, and says why in one line and no more.
one_line() {
	local name=$1 regex=$2 out
	shift 2
	if out=$("$@" 2>&1); then
		result 1 "$name" || diag "must fail: $*"
		return
	fi
	out=$(grep -v '^make: \*\*\*' <<<"$out")
	like "$out" "$regex" "$name"
	is "$(wc -l <<<"$out")" 1 "$name: in one line" || diag "$out"
}

# --- What there is to do ------------------------------------------------------
is "$(make help | awk 'length($0) > 79')" "" "make help: no line is too long for a screen"
between "$(make help | wc -l)" 10 24 "make help: one screen"
for target in all demo test lint bench profile install uninstall module fmt clean distclean; do
	like "$(make help)" "make ${target/#all/ *the}" "make help names $target"
done

# --- What is missing ----------------------------------------------------------
mkdir -p "$SCRATCH/tree/include/config"
echo 6.12.1 >"$SCRATCH/tree/include/config/kernel.release"
one_line "no such build tree" "no .config" make KDIR="$SCRATCH/none"
echo '# CONFIG_RUST is not set' >"$SCRATCH/tree/.config"
one_line "a kernel without Rust" "6.12.1 was built without CONFIG_RUST" make KDIR="$SCRATCH/tree"
printf '%s\n' CONFIG_RUST=y 'CONFIG_RUSTC_VERSION_TEXT="rustc 1.2.3"' >"$SCRATCH/tree/.config"
one_line "a tree without Rust's metadata" "no compiled Rust crates" make KDIR="$SCRATCH/tree"
mkdir "$SCRATCH/tree/rust"
touch "$SCRATCH/tree/rust/libkernel.rmeta"
one_line "a kernel of another rustc" "built by rustc 1.2.3, but here is rustc 1" make KDIR="$SCRATCH/tree"
rm "$SCRATCH/tree/include/config/kernel.release"
one_line "a tree that is not prepared" "modules_prepare" make KDIR="$SCRATCH/tree"
one_line "no configuration of a kernel" "install linux-headers-6.0.0" make KREL=6.0.0
one_line "no such suite" "KERNEL_SUITE=none is not known" env KERNEL_SUITE=none scripts/lab where stock
one_line "no such lab" "no lab 'none'" make module LAB=none
one_line "a cache that cannot be written" "cannot write to /proc/none" env PASSTHRU_CACHE=/proc/none scripts/lab build
export PASSTHRU_CACHE=${PASSTHRU_CACHE:-}
one_line "no disk" "needs 99999999 GiB in .* GiB are free" env PASSTHRU_CACHE="$SCRATCH" \
	bash -c '. scripts/lib/common.sh; need_space 99999999 everything'
if [ "$(id -u)" = 0 ]; then
	one_line "no root and no user namespaces" "not root, and user namespaces|apt-get install uidmap" \
		setpriv --reuid 65534 --regid 65534 --clear-groups env -u PASSTHRU_IN_TOOLCHAIN \
		bash -c '. scripts/lib/common.sh; . scripts/lib/suite.sh; . scripts/lib/toolchain.sh; need_privilege'
else
	skip "this is not root" "no root and no user namespaces"
fi

# --- Half a build -------------------------------------------------------------
# shellcheck disable=SC2016 # the inner shell expands
slow='. scripts/lib/common.sh
recipe() { echo half >"$1/made"; [ -z "$WAIT" ] || sleep 60; echo whole >"$1/made"; }
part test "$CACHE/part" 1 0 recipe'
PASSTHRU_CACHE=$SCRATCH WAIT=1 setsid bash -euc "$slow" 2>"$SCRATCH/first" &
builder=$!
for ((i = 0; i < 400; i++)); do
	[ -s "$SCRATCH/part/made" ] && break
	sleep 0.05
done
kill -KILL -- "-$builder"
wait "$builder" 2>/dev/null
is "$(cat "$SCRATCH/part/made")" half "a build that is stopped leaves a half"
succeeds "the next one makes it" env PASSTHRU_CACHE="$SCRATCH" WAIT= bash -euc "$slow"
is "$(cat "$SCRATCH/part/made")" whole "and makes it whole"
is "$(PASSTHRU_CACHE=$SCRATCH WAIT='' bash -euc "$slow" 2>&1)" "" "and once"
# shellcheck disable=SC2016 # the inner shell expands
fails_like "a recipe that fails says so" "lab: error: test: failed; the whole log is" env PASSTHRU_CACHE="$SCRATCH" \
	bash -euc '. scripts/lib/common.sh; part test "$CACHE/bad" 1 0 false'
fails "and does not count" test -e "$SCRATCH/bad/.complete"
# shellcheck disable=SC2016 # the inner shell expands
fails_like "nor does one go on that fails half way" "lab: error: test: failed" env PASSTHRU_CACHE="$SCRATCH" \
	bash -euc '. scripts/lib/common.sh; recipe() { false; true; }; part test "$CACHE/half" 1 0 recipe'
fails "or count" test -e "$SCRATCH/half/.complete"

# --- Guests -------------------------------------------------------------------
# guest STATUS NAME REGEX ARG...: a guest's end, and what is said of it.
guest() {
	local want=$1 name=$2 regex=$3 out status
	shift 3
	out=$(scripts/lab run "$@" 2>&1)
	status=$?
	is "$status" "$want" "$name: the status" || diag "$out"
	like "$out" "$regex" "$name: what is said"
}

echo question >"$SCRATCH/ask"
# shellcheck disable=SC2016 # the guest expands
guest 7 "a command that fails" "here it is: question" --in "$SCRATCH/ask" --out "$SCRATCH/out" -- \
	bash -c 'echo "here it is: $(cat ask)"; mkdir "$OUT/deep"; echo answer >"$OUT/deep/file"; exit 7'
is "$(cat "$SCRATCH/out/deep/file")" answer "files come back"
guest 97 "a guest that hangs" "still running after 25 s.*its console ends:.*last words" --timeout 25 -- \
	bash -c 'echo last words >/dev/kmsg; sleep 1000'
# Paused from its first instruction on.
guest 97 "a guest that does not boot" "stood still before the command began; once more.*did not come as far as its command" \
	--timeout 4 --qemu=-S -- true
guest 97 "a guest that dies" "the guest died; its console ends:" -- bash -c 'echo o >/proc/sysrq-trigger; sleep 100'
guest 98 "a kernel that complains" "the kernel complained:.*WARNING: a fake" -- \
	bash -c 'echo "WARNING: a fake one" >/dev/kmsg'

# What a test says of its failures goes beside the results, for prove shows but numbers.
mkdir "$SCRATCH/tests"
cat >"$SCRATCH/tests/fails.t" <<-'END'
	#!/bin/bash
	# lab: --host
	printf '%s\n' "ok 1 - fine" "# of it" "not ok 2 - broken" "# got:  1" "ok 3 - fine" 1..3
	exit 1
END
chmod +x "$SCRATCH/tests/fails.t"
# shellcheck disable=SC2016 # the inner shell expands
said=$(bash -c 'set -euo pipefail; . scripts/lib/guest.sh
	in_toolchain() { "$@"; }
	cd "$1" && run_test tests/fails.t' - "$SCRATCH" 2>&1 >/dev/null)
is "$?" 1 "a test that fails: the status"
is "$said" $'fails.t: not ok 2 - broken\nfails.t: # got:  1' "a test that fails: what is said"

plan
