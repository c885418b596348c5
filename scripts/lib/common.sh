# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2034 # the variables are for the other parts
# What every part of the lab needs: messages, the cache, and building a part
# of the cache once.

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
CACHE=${PASSTHRU_CACHE:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/passthru}
# From wherever it was named, it is one and the same.
[ "${CACHE#/}" != "$CACHE" ] || CACHE=$(realpath -m "$CACHE")
# For what runs in the toolchain root, where the home is another one.
export PASSTHRU_CACHE=$CACHE
KERNEL_SUITE=${KERNEL_SUITE:-trixie-backports}
SUITE=${KERNEL_SUITE%-backports}
KERNEL_FLAVOUR=${KERNEL_FLAVOUR:-cloud-amd64}

# On a terminal a ticker may stand in the line.
say() {
	[ ! -t 2 ] || printf '\r\033[K' >&2
	printf 'lab: %s\n' "$*" >&2
}

die() {
	say "error: $*"
	exit 1
}

# Neither make nor the kernel's build system takes white space in a path; and of what
# is in the checkout each guest gets a copy.
check_paths() {
	local path
	for path in "$TOP" "$CACHE"; do
		[[ $path != *[[:space:]]* ]] ||
			die "there is white space in '$path', which the kernel's build system does not take (PASSTHRU_CACHE is where the cache is)"
	done
	[[ $(realpath -m "$CACHE") != "$TOP"/* ]] ||
		die "$CACHE is in the checkout, of which guests get a copy (set PASSTHRU_CACHE to a directory elsewhere)"
}

# The kernels, and all that is made for them, are of one architecture.
check_machine() {
	local machine
	machine=$(dpkg --print-architecture 2>/dev/null || uname -m)
	case $machine in
	amd64 | x86_64) ;;
	*) die "this machine is $machine: passthru is built for amd64 only" ;;
	esac
}

make_cache() {
	check_machine
	check_paths
	mkdir -p "$CACHE/log" 2>/dev/null ||
		die "cannot write to $CACHE (set PASSTHRU_CACHE to a directory where you can)"
}

# need_space GIB WHAT - refuse to begin what the disk cannot hold.
need_space() {
	local free
	free=$(($(stat -f -c '%a * %S' "$CACHE") / 1024 / 1024 / 1024))
	[ "$free" -ge "$1" ] ||
		die "$2 needs $1 GiB in $CACHE, only $free GiB are free (set PASSTHRU_CACHE to a larger disk)"
}

# recipe_hash FUNCTION... FILE... - a key that changes when a recipe does.
recipe_hash() {
	local item
	for item in "$@"; do
		declare -f "$item" || cat "$item"
	done | sha256sum | cut -c1-12
}

# elapsed_ticker WHAT ESTIMATE - on a terminal, show that time goes by. Of several
# parts that are made at once one has the line, whose ticker got the lock first.
elapsed_ticker() {
	local start=$SECONDS
	[ -w /proc/self/fd/2 ] || return 0
	exec 8>>/proc/self/fd/2
	while sleep 1 8>&-; do
		flock -n 8 || continue
		printf '\r\033[Klab: %s: %d s of about %d s ' "$1" $((SECONDS - start)) "$2" >&2
	done
}

# remove DIR... - what a user namespace made can only be removed from within one.
remove() {
	local enter=()
	[ "$(id -u)" = 0 ] || enter=(unshare --user --map-auto --map-root-user)
	rm -rf --one-file-system "$@" 2>/dev/null || "${enter[@]}" rm -rf --one-file-system "$@"
}

# part NAME DIR SECONDS GIB FUNCTION [ARG...] - make sure that DIR is there,
# by FUNCTION DIR ARG... where it is not. Trees of kernels remember where they
# were made, so a part is made in place: the file .complete, written last, is
# what makes it count, and a half one left by a stopped build is begun anew.
# A lock keeps two runs from making the same part.
part() {
	local name=$1 dir=$2 seconds=$3 gib=$4
	shift 4
	[ -e "$dir/.complete" ] && return
	make_cache
	mkdir -p "$(dirname "$dir")"
	(
		flock 9
		# Not `||`, nor behind the parentheses, nor `&&` in a caller: there set -e
		# would not hold within, and a recipe go on after what failed.
		if [ ! -e "$dir/.complete" ]; then
			make_part "$name" "$dir" "$seconds" "$gib" "$@"
		fi
	) 9>"$dir.lock"
}

make_part() {
	local name=$1 dir=$2 seconds=$3 gib=$4 start=$SECONDS log ticker='' status=0
	shift 4
	log=$CACHE/log/$name.log
	need_space "$gib" "$name"
	[ ! -e "$dir" ] || remove "$dir"
	mkdir -p "$dir"
	say "$name: making it, once (about $seconds s; log: $log)"
	if [ -t 2 ]; then
		elapsed_ticker "$name" "$seconds" 9>&- &
		ticker=$!
	fi
	# A subshell of its own, so that set -e holds inside the recipe.
	set +e
	(set -e; "$1" "$dir" "${@:2}") >"$log" 2>&1 9>&-
	status=$?
	set -e
	if [ -n "$ticker" ]; then
		kill "$ticker"
		wait "$ticker" 2>/dev/null || true
		printf '\r\033[K' >&2
	fi
	if [ $status -ne 0 ]; then
		tail -n 25 "$log" >&2
		die "$name: failed; the whole log is $log"
	fi
	touch "$dir/.complete"
	say "$name: done in $((SECONDS - start)) s"
}
