# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Run a command in a fresh guest of a lab.

# The status of run.py when the emulator was to blame, and when PASSTHRU_END came before the
# command's end.
BREAKPOINT=95
NO_TIME=96

KVM=/dev/kvm

# Sets ACCEL. Whether KVM works is found by booting: where it can be opened, a
# guest may still die in it. The answer is kept per host kernel.
probe_kvm() {
	local answer
	ACCEL=tcg
	[ -w "$KVM" ] || return 0
	answer=$CACHE/kvm-$(uname -rnv | cat - /proc/sys/kernel/random/boot_id | sha256sum | cut -c1-12)
	if [ ! -e "$answer" ]; then
		if ACCEL=kvm TREE='' boot_guest --lab stock --timeout 20 --boot-timeout 20 -- true >"$CACHE/log/kvm.log" 2>&1; then
			echo kvm >"$answer"
		else
			echo tcg >"$answer"
		fi
		say "guests run on $(cat "$answer") here"
	fi
	ACCEL=$(cat "$answer")
}

# lab_of ARG... - which lab the options of a run name.
lab_of() {
	local lab=${LAB:-stock}
	while [ $# -gt 0 ] && [ "$1" != -- ]; do
		case $1 in
		--lab) lab=${2:-} ;;
		--lab=*) lab=${1#--lab=} ;;
		esac
		shift
	done
	echo "$lab"
}

run_guest() {
	local lab
	lab=$(lab_of "$@")
	guest_image
	tree "$lab"
	warn_if_old "$lab"
	case " $* " in
	*' --icount '*) ACCEL=tcg ;;
	*) probe_kvm ;;
	esac
	boot_guest "$@"
}

# A guest gets the module as it was built last.
warn_if_old() {
	local newer
	[ -e "$TOP/build/$1/passthru.ko" ] || return 0
	newer=$(newer_source "$TOP/build/$1")
	[ -z "$newer" ] || say "$newer is newer than build/$1/passthru.ko: 'scripts/lab build $1' builds it anew"
}

# boot_guest ARG... - IMAGE, TREE and ACCEL are known.
boot_guest() {
	in_toolchain python3 "$TOP/scripts/lib/run.py" --accel "$ACCEL" --boot "$BOOT" --image "$IMAGE" \
		--tree "$TREE" --top "$TOP" "$@"
}

# run_test FILE - one test in a guest of its own, which may ask for more of the
# guest by a line "# lab: OPTIONS"; "# lab: --host" asks for none. None begins
# after PASSTHRU_UNTIL, or goes on after PASSTHRU_END (seconds since 1970); prove
# names those. What a test says is kept until its end: it may have to be taken back.
run_test() {
	local options status=0 output late='1..0 # SKIP there was no time left for it'
	if [ -n "${PASSTHRU_UNTIL:-}" ] && [ "$(date +%s)" -gt "$PASSTHRU_UNTIL" ]; then
		echo "$late"
		return
	fi
	# A test that has begun may run tests of its own to their end.
	unset PASSTHRU_UNTIL
	read -ra options <<<"$(sed -n 's/^# lab: //p' "$1" | head -n 1)"
	output=$(mktemp)
	# Whoever reads the results shows what failed by number only, and of a failure
	# that comes once in a hundred runs there is nothing else to see.
	for _ in 1 2 3; do
		status=0
		(
			if [ "${options[*]}" = --host ]; then
				run_on_host "./$1"
			else
				run_guest "${options[@]}" -- "./$1"
			fi
		) >"$output" || status=$?
		# What had failed by then stays a failure.
		{ [ "$status" = "$BREAKPOINT" ] && ! grep -q '^not ok' "$output"; } || break
		say "${1##*/}: a breakpoint that only an emulated CPU meets; once more"
	done
	if [ "$status" = "$NO_TIME" ] && ! grep -q '^not ok' "$output"; then
		echo "$late" >"$output"
		status=0
	fi
	cat "$output"
	[ "$status" = 0 ] || show_failures "$1" "$output" >&2
	rm -f "$output"
	return "$status"
}

# run_on_host TEST - in the toolchain root, until PASSTHRU_END: that is not for guests of its own,
# of whose end it judges.
run_on_host() {
	local left status=0
	if [ -z "${PASSTHRU_END:-}" ]; then
		in_toolchain "$1"
		return
	fi
	left=$((PASSTHRU_END - $(date +%s)))
	in_toolchain env -u PASSTHRU_END timeout -k 30 $((left > 1 ? left : 1)) "$1" || status=$?
	[ "$status" = 0 ] || [ "$(date +%s)" -lt "$PASSTHRU_END" ] || return $NO_TIME
	return "$status"
}

# run_tests FILE... - all of them, and at the very end once more what failed: by then
# what a test of long ago said is far above, or nowhere to be seen.
run_tests() {
	local errors status=0
	errors=$(mktemp)
	{
		in_toolchain prove --timer -j "${JOBS:-$(nproc)}" --exec 'scripts/lab test' "$@" 2>&1 >&3 3>&- |
			tee "$errors" >&2
	} 3>&1 || status=$?
	if grep -q '^[^ ]*\.t: ' "$errors"; then
		printf '\nWhat failed:\n' >&2
		grep '^[^ ]*\.t: ' "$errors" >&2
	fi
	rm -f "$errors"
	return "$status"
}

# show_failures FILE OUTPUT - the failed checks of a test and what they say, each
# line with the test's name, as several tests run at once.
show_failures() {
	awk -v name="${1##*/}" '
		/^not ok/ { shown = 1 }
		/^ok/ { shown = 0 }
		shown && lines++ < 60 { printf "%s: %s\n", name, $0 }
	' "$2"
}
