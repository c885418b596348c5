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
LAB=${LAB:-stock}

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
what_there_is() {
	is "$(make help | awk 'length($0) > 79')" "" "make help: no line is too long for a screen"
	between "$(make help | wc -l)" 10 24 "make help: one screen"
	for target in all demo test lint bench profile install uninstall module fmt clean clean-cache distclean; do
		like "$(make help)" "make ${target/#all/ *the}" "make help names $target"
	done
}

# --- What is missing ----------------------------------------------------------
what_is_missing() {
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
	one_line "a cache with white space" "white space in '.*/a b'" env PASSTHRU_CACHE="$SCRATCH/a b" scripts/lab build
	one_line "a cache in the checkout" "build/cache is in the checkout" env PASSTHRU_CACHE=build/cache scripts/lab build
	mkdir "$SCRATCH/arm"
	printf '#!/bin/bash\necho arm64\n' >"$SCRATCH/arm/dpkg"
	chmod +x "$SCRATCH/arm/dpkg"
	one_line "another architecture" "this machine is arm64" env PATH="$SCRATCH/arm:$PATH" scripts/lab build
	export PASSTHRU_CACHE=${PASSTHRU_CACHE:-}
	one_line "no disk" "needs 99999999 GiB in .* GiB are free" env PASSTHRU_CACHE="$SCRATCH" \
		bash -c '. scripts/lib/common.sh; need_space 99999999 everything'
	if [ "$(id -u)" = 0 ]; then
		one_line "no root and no user namespaces" "not root, and user namespaces|apt-get install uidmap" \
			setpriv --reuid 65534 --regid 65534 --clear-groups env -u PASSTHRU_IN_TOOLCHAIN \
			bash -c '. scripts/lib/common.sh; . scripts/lib/suite.sh; . scripts/lib/toolchain.sh; need_privilege'
		one_line "root of a container" "takes CAP_SYS_ADMIN" setpriv --bounding-set -sys_admin env -u PASSTHRU_IN_TOOLCHAIN \
			bash -c '. scripts/lib/common.sh; . scripts/lib/suite.sh; . scripts/lib/toolchain.sh; need_privilege'
		chmod 711 "$SCRATCH"
		mkdir -p "$SCRATCH/ours/build"
		chown 65534 "$SCRATCH/ours"
		# shellcheck disable=SC2016 # the inner shell expands
		one_line "a build of root's" "build belongs to root: sudo rm -rf build" \
			setpriv --reuid 65534 --regid 65534 --clear-groups \
			bash -c '. scripts/lib/common.sh; . scripts/lib/build.sh; TOP=$1; need_build' - "$SCRATCH/ours"
	else
		skip "this is not root" "no root and no user namespaces"
	fi
}

# --- Half a build -------------------------------------------------------------
half_a_build() {
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
}

# A guest starts while others build in the same checkout: it is given what is whole,
# and does not mind what is taken away.
half_a_checkout() {
	local top=$SCRATCH/checkout
	mkdir -p "$top"/{scripts/guest,build/{stock,iproute2,bench}}
	touch "$top"/scripts/guest/start "$top"/build/{stock/passthru.ko,bench/{load,load.0.rcgu.o}}
	git -c init.defaultBranch=main init -q "$top"
	cat >"$SCRATCH/pack.py" <<-'END'
		import os, sys, tarfile, types
		sys.path.insert(0, "scripts/lib")
		import run
		top = sys.argv[1]
		args = types.SimpleNamespace(top=top, lab="stock", files=[], command=["true"], leaks=False)
		listed = run.checkout_files
		run.checkout_files = lambda top: [*listed(top), "gone"]     # since it was listed
		run.make_input(args, f"{top}/in.tar")
		print(*sorted(n.removeprefix("passthru/build/") for n in tarfile.open(f"{top}/in.tar").getnames() if "build/" in n))
	END
	echo /build/ >"$top/.gitignore"
	is "$(python3 -B "$SCRATCH/pack.py" "$top" 2>&1)" "bench/load stock/passthru.ko" \
		"a guest is given what is built, and not what is being built"
}

# What a person at a terminal is told meanwhile, and a log is not.
what_is_said_meanwhile() {
	# shellcheck disable=SC2016 # the inner shell expands
	local slow='. scripts/lib/common.sh; recipe() { sleep 3; }; part test "$CACHE/part" 7 0 recipe' said
	said=$(PASSTHRU_CACHE=$SCRATCH/seen SHELL=/bin/bash script -qefc "bash -euc '$slow'" /dev/null)
	like "$said" "lab: test: making it, once \(about 7 s; log: .*/log/test\.log\)" "what is made is said, how long it takes, and where to look"
	like "$said" "lab: test: [1-9][0-9]* s of about 7 s" "on a terminal: how far it is"
	like "$said" "lab: test: done in [1-9][0-9]* s" "and when it is done"
	said=$(PASSTHRU_CACHE=$SCRATCH/logged bash -euc "$slow" 2>&1)
	is "$(wc -l <<<"$said")" 2 "in a log: two lines"
}

# --- The cache ----------------------------------------------------------------
# lab_parts CODE ARG... - in a shell with the parts of the lab.
lab_parts() {
	local code=$1
	shift
	# shellcheck disable=SC2016 # the inner shell expands
	bash -euc 'for lib in common suite toolchain kernel image build guest native clean; do . "scripts/lib/$lib.sh"; done
		'"$code" - "$@"
}

# fake_part DIR: as the lab leaves one.
fake_part() {
	mkdir -p "$1"
	touch "$1/.complete" "$1.lock"
}

what_is_removed() {
	local cache=$SCRATCH/home own=(env PASSTHRU_CACHE="$SCRATCH/home" scripts/lab) kept part
	mkdir -p "$cache"/{log,kernel/mine}
	touch "$cache"/log/{stock-9.9.log,kvm.log,syslog.log,diary} "$cache/kernel/mine/file" "$cache"/{letter,native.config,kvm-0123456789ab}
	echo 9.9 9.9-1 >"$cache/kernel/${KERNEL_SUITE:-trixie-backports}-${KERNEL_FLAVOUR:-cloud-amd64}"
	# What today's recipes use is asked of them.
	# shellcheck disable=SC2016 # the inner shell expands
	kept=$(PASSTHRU_CACHE=$cache lab_parts parts_in_use | sort -u)
	between "$(wc -l <<<"$kept")" 10 10 "the parts in use: toolchain, guest, boot, image, source and three kernels, this machine's" || diag "$kept"
	for part in $kept "$cache"/{toolchain/trixie-old,kernel/9.9/uml-old,kernel/9.8/stock}; do fake_part "$part"; done
	succeeds "clean --old" "${own[@]}" clean --old
	# shellcheck disable=SC2086 # one a word
	succeeds "clean --old leaves what is in use" ls -d $kept
	is "$(find "$cache" -name '*-old*' -o -name 9.8)" "" "and nothing else of ours"
	succeeds "clean" "${own[@]}" clean
	is "$(cd "$cache" && find . -type f | sort | tr '\n' ' ')" "./kernel/mine/file ./letter ./log/diary ./log/syslog.log " "clean takes what the lab made, and nothing else"
	mkdir "$SCRATCH/emptied"
	touch "$SCRATCH/emptied/native.config"
	succeeds "clean, where all is ours" env PASSTHRU_CACHE="$SCRATCH/emptied" scripts/lab clean
	fails "leaves no directory" test -e "$SCRATCH/emptied"
}

# A mirror on which 2.0 has taken the place of 1.0, which was the answer an hour ago.
which_kernel_it_is() {
	local bin=$SCRATCH/bin cache=$SCRATCH/gone said
	is "$(env KREL=6.0.0 KDIR=/none TOOLCHAIN=/none scripts/lab where stock)" "$(scripts/lab where stock)" \
		"KREL, KDIR and TOOLCHAIN of other purposes do not mislead the lab"
	mkdir -p "$bin" "$cache/kernel"
	# shellcheck disable=SC2016 # the inner shell expands
	printf '#!/bin/bash\n%s\n' '[[ " $* " != *" download "* ]]' >"$bin/apt-get"
	printf '#!/bin/bash\n%s\n' 'printf "%s\n" "Version: 2.0-1" "Depends: kmod, linux-image-2.0 (= 2.0-1)"' >"$bin/apt-cache"
	printf '#!/bin/bash\n%s\n' 'echo "99999999 * 4096"' >"$bin/stat"
	chmod +x "$bin"/*
	echo 1.0 1.0-1 >"$cache/kernel/${KERNEL_SUITE:-trixie-backports}-${KERNEL_FLAVOUR:-cloud-amd64}"
	said=$(env PATH="$bin:$PATH" PASSTHRU_CACHE="$cache" scripts/lab where stock 2>&1)
	like "$said" "source-1.0: failed.*kernel 1.0 has left the mirror; once more with 2.0.*source-2.0: failed" \
		"a kernel that has left the mirror: its successor is taken, once"
	is "$(cat "$cache/kernel/${KERNEL_SUITE:-trixie-backports}-${KERNEL_FLAVOUR:-cloud-amd64}")" "2.0 2.0-1" "and remembered"
}

# mirror WHAT [URI]: what the lab takes for the mirror where apt tells of that, and the
# user names URI.
mirror() {
	echo "$1" >"$SCRATCH/told"
	env PATH="$SCRATCH/apt:$PATH" PASSTHRU_CACHE="$SCRATCH" PASSTHRU_MIRROR="${2:-}" bash -euc 'set -o pipefail
		. scripts/lib/common.sh; . scripts/lib/suite.sh; suite_mirror' 2>&1
}

which_mirror_it_is() {
	local lists="mirror+file:$SCRATCH/list/ trixie main Debian"
	mkdir "$SCRATCH/apt"
	# An update may bring what there was none of before.
	printf '#!/bin/bash\n%s\n' "case \"\$*\" in *update) mv '$SCRATCH/fetched' '$SCRATCH/told' ;; *) cat '$SCRATCH/told' ;; esac" >"$SCRATCH/apt/apt-get"
	chmod +x "$SCRATCH/apt/apt-get"
	is "$(mirror $'file:/other/ trixie main Debian\nfile:/a/debian/ trixie-updates main Debian\nfile:/b/debian/ trixie main Debian')" \
		file:/b/debian "the mirror: apt's, of the release itself, by its name"
	is "$(mirror $'file:/others/ stable main Some One\nfile:/other/ trixie main Debian')" file:/other "by another name, where it is Debian's"
	printf '# ours\nfile:/listed/debian\tpriority:1\nfile:/more\n' >"$SCRATCH/list"
	is "$(mirror "$lists")" file:/listed/debian "the first of a list"
	is "$(mirror "$lists" file:/mine/)" file:/mine "PASSTHRU_MIRROR before all"
	like "$(mirror '')" "error: apt on this machine names no Debian mirror.*PASSTHRU_MIRROR" "none"
	if [ "$(id -u)" = 0 ]; then
		echo "file:/new/debian/ trixie main Debian" >"$SCRATCH/fetched"
		like "$(mirror '')" "file:/new/debian$" "none before apt-get update"
	else
		skip "this is not root" "none before apt-get update"
	fi
}

# accelerator DEVICE STATUS: what guests run on where KVM can be opened as DEVICE and a
# guest that is booted with it ends so; and how often that was tried, for two questions.
accelerator() {
	: >"$SCRATCH/boots"
	rm -f "$SCRATCH"/kvm/kvm-*
	mkdir -p "$SCRATCH/kvm/log"
	# shellcheck disable=SC2016 # the inner shell expands
	PASSTHRU_CACHE=$SCRATCH/kvm lab_parts 'KVM=$1 boots=$2 status=$3
		boot_guest() { echo "$ACCEL" >>"$boots"; return "$status"; }
		probe_kvm; first=$ACCEL; probe_kvm; echo "$first $ACCEL $(wc -l <"$boots")"' "$1" "$SCRATCH/boots" "$2" 2>&1 | paste -sd' '
}

what_guests_run_on() {
	: >"$SCRATCH/device"
	is "$(accelerator "$SCRATCH/none" 0)" "tcg tcg 0" "without KVM: TCG, and nothing to try"
	is "$(accelerator "$SCRATCH/device" 0)" "lab: guests run on kvm here kvm kvm 1" "with KVM that works: KVM, which is tried once"
	is "$(accelerator "$SCRATCH/device" 1)" "lab: guests run on tcg here tcg tcg 1" "with KVM in which guests die: TCG"
}

# --- Guests -------------------------------------------------------------------
# guest STATUS NAME REGEX ARG...: a guest's end, and what is said of it.
guest() {
	local want=$1 name="$lab: $2" regex=$3 out status
	shift 3
	out=$(scripts/lab run --lab "$lab" "$@" 2>&1)
	status=$?
	is "$status" "$want" "$name: the status" || diag "$out"
	like "$out" "$regex" "$name: what is said"
}

# guests LAB: how they end there. The debug lab takes four seconds for one. One that
# does not boot is paused from its first instruction on; in UML its first process
# does nothing.
guests() {
	local lab=$1 said=15 unbooted=(--boot-timeout 4 --qemu=-S) first=rdinit=/none breakpoint=95
	# Only an emulated CPU can be blamed for it.
	# shellcheck disable=SC2016 # the inner shell expands
	[ "$lab:$(lab_parts 'probe_kvm; echo "$ACCEL"' 2>/dev/null)" = "${lab/uml/none}:tcg" ] || breakpoint=98
	case $lab in
	debug) said=60 unbooted=(--boot-timeout 1 --qemu=-S) first=init=/bin/false ;;
	uml) first=init=/bin/false unbooted=(--boot-timeout 2 --append 'init=/bin/sleep -- 1000') ;;
	esac
	echo question >"$SCRATCH/ask"
	# shellcheck disable=SC2016 # the guest expands
	guest 7 "a command that fails" "here it is: question" --in "$SCRATCH/ask" --out "$SCRATCH/out-$lab" -- \
		bash -c 'echo "here it is: $(cat ask)"; mkdir "$OUT/deep"; echo answer >"$OUT/deep/file"; exit 7'
	is "$(cat "$SCRATCH/out-$lab/deep/file")" answer "$lab: files come back"
	guest 97 "a guest that hangs" "still running after $said s.*its console ends:.*last words" --timeout 15 -- \
		bash -c 'echo last words >/dev/kmsg; sleep 1000'
	guest 97 "a guest that does not boot" "stood still before the command began; once more.*did not come as far as its command" \
		"${unbooted[@]}" -- true
	guest 98 "a kernel that panics as it boots" "died before the command began; once more.*the kernel complained:.*Kernel panic" \
		--append "$first" -- true
	# shellcheck disable=SC2016 # the guest expands
	guest "$breakpoint" "a breakpoint of the emulator's" "died before the command said anything; once more.*the kernel complained:.*Oops: int3" -- \
		bash -c 'for line in "Oops: int3: 0000" "Code: 55 eb <3d> 0f"; do echo "$line" >/dev/kmsg; done; sleep 1; echo o >/proc/sysrq-trigger; sleep 100'
	# shellcheck disable=SC2016 # the guest expands
	guest "$breakpoint" "a breakpoint, later" "(^|[[:space:]])said[[:space:]]+lab: the kernel complained:.*Oops: int3" -- \
		bash -c 'echo said; for line in "Oops: int3: 0000" "Code: 55 eb <3d> 0f"; do echo "$line" >/dev/kmsg; done'
	# shellcheck disable=SC2016 # the guest expands
	guest 98 "a breakpoint that stands there" "the kernel complained:.*Oops: int3" -- \
		bash -c 'for line in "Oops: int3: 0000" "Code: c3 cc <cc> cc"; do echo "$line" >/dev/kmsg; done'
	guest 97 "a guest that dies" "the guest died; its console ends:" -- bash -c 'echo o >/proc/sysrq-trigger; sleep 100'
	guest 98 "a kernel that complains" "the kernel complained:.*WARNING: a fake" -- \
		bash -c 'echo "WARNING: a fake one" >/dev/kmsg'
	PASSTHRU_END=1 guest 96 "a guest that all have no time for" "there was no time left" -- true
	is "$(PASSTHRU_END=1 LAB=$lab scripts/lab test tests/01-create.t 2>/dev/null)" "1..0 # SKIP there was no time left for it" \
		"$lab: a test that there was no time for"
}

# What the kernel may say is known for what it is, and what else it says is not.
what_a_splat_is() {
	local said
	said=$(python3 -S - <<-'END'
		import argparse, sys
		sys.path.insert(0, "scripts/lib")
		import run
		SPLATS = """WARNING: CPU: 1 PID: 5 at net/core/dev.c:1 f+0x1/0x2
		WARNING: possible circular locking dependency detected
		WARNING: suspicious RCU usage
		BUG: KASAN: slab-use-after-free in f+0x1/0x2
		BUG: unable to handle page fault for address: 0
		BUG: sleeping function called from invalid context at a.c:1
		kernel BUG at net/core/skbuff.c:1!
		Oops: general protection fault, probably for non-canonical address
		UBSAN: array-index-out-of-bounds in a.c:1
		Kernel panic - not syncing: x
		INFO: task ip:5 blocked for more than 120 seconds.
		INFO: trying to register non-static key.
		rcu: INFO: rcu_preempt self-detected stall on CPU
		rcu: INFO: rcu_preempt detected expedited stalls on CPUs/tasks: { 1-... }
		watchdog: BUG: soft lockup - CPU#0 stuck for 26s!
		unregister_netdevice: waiting for c0 to become free. Usage count = 2
		refcount_t: underflow; use-after-free.
		ref_tracker: netdev@0 has 1/1 users at
		BUG nf_conntrack (Not tainted): Objects remaining in nf_conntrack
		list_del corruption. prev->next should be 0
		kmemleak: 2 new suspected memory leaks (see /sys/kernel/debug/kmemleak)
		rust_kernel: panicked at src/lib.rs:1:1""".splitlines()
		for line in SPLATS:
		    if not run.complaints("", run.START + "\n[    1.0] " + line.strip(), None):
		        print("missed:", line.strip())
		for line in ("passthru: loading out-of-tree module taints kernel.", "device c0 entered promiscuous mode"):
		    if run.complaints("", run.START + "\n" + line, None):
		        print("not one:", line)
		args = argparse.Namespace(lab="debug", leaks=True)
		print(*run.off_duty(args, "", " debug_locks:             1\n"), sep=", ")
		print(*run.off_duty(args, None, " debug_locks:             0\n"), sep=", ")
		print(*run.complaints("", "", "unreferenced object 0x1 (size 8)"))
		log = "[1.0] fine\n[2.0] WARNING: a fake\n[3.0] Call Trace:\n"
		args = argparse.Namespace(command=["./tests/00-none.t"])
		sys.stderr = sys.stdout
		run.complain(run.head_of(args), *run.excerpt(run.complaints("", run.START + "\n" + log, None), log))
	END
	)
	is "$said" $'\nkmemleak: did not judge, lockdep: is off\nkmemleak: unreferenced objects:\nunreferenced object 0x1 (size 8)\n00-none.t: [2.0] WARNING: a fake\n00-none.t: its log goes on:\n00-none.t: [3.0] Call Trace:' \
		"what the kernel says is known for what it is"
}

# is_made LAB: its kernel is there already.
# shellcheck disable=SC2016 # the inner shell expands
is_made() { lab_parts 'part() { exit 1; }; tree "$1"' "$1"; }

# --- What a test says ---------------------------------------------------------
# tap CODE: what a test with that in it says, in one line.
tap() { bash -c ". tests/tap.sh; $1" | grep -v '^#' | paste -sd' '; }

# Of a suite with a test that fails, the end names the check again.
what_a_suite_says() {
	local said
	mkdir "$SCRATCH/scripts"
	cat >"$SCRATCH/scripts/lab" <<-END
		#!/bin/bash
		set -euo pipefail
		. "$PWD/scripts/lib/guest.sh"
		in_toolchain() { "\$@"; }
		"run_\$1" "\${@:2}"
	END
	chmod +x "$SCRATCH/scripts/lab"
	# shellcheck disable=SC2016 # the inner shell expands
	said=$(cd "$SCRATCH" && bash -c 'set -euo pipefail; . "$1/scripts/lib/guest.sh"
		in_toolchain() { "$@"; }
		run_tests tests/fails.t' - "$OLDPWD" 2>&1)
	is "$?" 1 "a suite that fails: the status"
	is "$(tail -n 3 <<<"$said")" $'What failed:\nfails.t: not ok 2 - broken\nfails.t: # got:  1' "a suite that fails: how it ends"
}

what_a_test_says() {
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
	what_a_suite_says
	# shellcheck disable=SC2016 # the test expands
	printf '%s\n' '#!/bin/bash' '# lab: --host' 'echo "ok 1 - $PASSTHRU_END"; sleep 100' >"$SCRATCH/tests/long.t"
	chmod +x "$SCRATCH/tests/long.t"
	# shellcheck disable=SC2016 # the inner shell expands
	said=$(PASSTHRU_END=$(($(date +%s) + 2)) bash -c 'set -euo pipefail; . scripts/lib/guest.sh
		in_toolchain() { "$@"; }
		cd "$1" && run_test tests/long.t' - "$SCRATCH" 2>&1)
	is "$said" "1..0 # SKIP there was no time left for it" "a test beside the guests that there is no time for"
	touch "$SCRATCH/tests/again.t"
	# shellcheck disable=SC2016 # the inner shell expands
	said=$(bash -c 'set -euo pipefail; . scripts/lib/common.sh; . scripts/lib/guest.sh
		run_guest() { echo "ok 1 - $([ -e tried ] && echo again || echo once)"; [ -e tried ] || { touch tried; return 95; }; }
		cd "$1" && run_test tests/again.t' - "$SCRATCH" 2>&1)
	is "$said" $'lab: again.t: a breakpoint that only an emulated CPU meets; once more\nok 1 - again' "a test whose emulator failed is run once more"
	# shellcheck disable=SC2016 # the inner shell expands
	said=$(bash -c 'set -euo pipefail; . scripts/lib/common.sh; . scripts/lib/guest.sh
		run_guest() { echo "not ok 1 - said"; return 95; }
		cd "$1" && run_test tests/again.t' - "$SCRATCH" 2>/dev/null)
	is "$? $said" "95 not ok 1 - said" "... but not one that had failed before"

	# What the stock kernel can do a test must not leave out there.
	is "$(LAB=stock KIND=passthru tap 'skip "no netem" netem')" "not ok 1 - netem" "a check that is skipped on the stock kernel fails"
	is "$(LAB=stock KIND=passthru tap 'skip_all "no netem"')" "not ok 1 - the whole test 1..1" "so does a test"
	is "$(LAB=stock KIND=passthru tap 'skip_all "this kernel injects no faults"')" "1..0 # SKIP this kernel injects no faults" \
		"but not for what it lacks"
	is "$(LAB=uml KIND=passthru tap 'skip "no netem" netem')" "ok 1 - netem # SKIP no netem" "nor in another lab"
	is "$(LAB=stock KIND=veth tap 'skip "no netem" netem')" "ok 1 - netem # SKIP no netem" "nor for another kind"
}

if [ "$LAB" = stock ]; then
	what_there_is
	what_is_missing
	half_a_build
	half_a_checkout
	what_is_said_meanwhile
	what_guests_run_on
	what_is_removed
	which_kernel_it_is
	which_mirror_it_is
	what_a_test_says
	what_a_splat_is
	! is_made uml || guests uml
fi
guests "$LAB"

plan
