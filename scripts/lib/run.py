#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Boot a fresh guest, run a command in it, bring back its output and files.

Called by scripts/lab inside the toolchain root. The command's output is our
standard output; the exit status is the command's, or one of:
  95  the kernel complained of what only an emulator can do (see EMULATED)
  96  the time was up that PASSTHRU_END (seconds since 1970) sets for all
  97  the guest hung or died (its console is shown)
  98  the kernel complained: a WARN, BUG, lockdep, KASAN or leak report
"""

import argparse
import contextlib
import os
import re
import selectors
import shlex
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time

BREAKPOINT, NO_TIME, HUNG, SPLAT = 95, 96, 97, 98
OUT_DISK_BYTES = 512 << 20
# A guest boots in 3 s, on a machine that is busy with others in 20. One that has
# not by then never will.
BOOT_SECONDS = 90
BOOTS = 3
# The debug kernel checks every access: the same work takes it so much longer.
SLOWER = {"stock": 1, "uml": 1, "debug": 4}

# What a kernel says when something is wrong with it. One line names each.
SPLATS = re.compile(
    r"WARNING: |BUG: |BUG\b.*at |kernel BUG|Oops|KASAN:|UBSAN:|KFENCE:|Kernel panic|general protection"
    r"|INFO: possible|INFO: task .* blocked|INFO: suspicious|suspicious RCU|possible recursive locking"
    r"|INFO: trying to register|turning off the locking|inconsistent lock state"
    r"|rcu.*self-detected stall|rcu.*detected (expedited )?stalls|soft lockup|hard LOCKUP"
    r"|unregister_netdevice: waiting|refcount_t: |ref_tracker: .*(leaked|has \d)|ODEBUG: "
    r"|scheduling while atomic|sleeping function called|DEBUG_LOCKS_WARN_ON|still has \d+ elements"
    r"|Objects remaining|double free|list_(add|del) corruption|Bad page|stack-protector"
    r"|kmemleak: \d+ new suspected|rust_kernel: panicked|panicked at"
)
# Kernels with all built in would make devices that modules make when asked.
BUILT_IN = "fb_tunnels=none dummy.numdummies=0 ifb.numifbs=0"
# What no code of a kernel's or of ours can do: an emulated CPU has met the breakpoint that
# stands for a moment where the kernel rewrites its own code, and that was gone when it asked.
EMULATED = re.compile(r"Oops: int3")
START = "lab: command starts"
GIVEN_UP = "KVM internal error"


def parse_args():
    parser = argparse.ArgumentParser(prog="scripts/lab run", description=__doc__.split("\n")[0])
    parser.add_argument("--lab", default=os.environ.get("LAB") or "stock", choices=["stock", "uml", "debug"])
    parser.add_argument("--timeout", type=float, default=1200, metavar="S", help="seconds that the command may take")
    parser.add_argument("--boot-timeout", type=float, default=BOOT_SECONDS, metavar="S", help="... until it begins")
    parser.add_argument("--mem", type=int, default=1500, metavar="MB")
    parser.add_argument("--cpus", type=int, default=2, metavar="N")
    parser.add_argument("--icount", action="store_true", help="one instruction is one nanosecond (implies one CPU)")
    parser.add_argument("--in", dest="files", action="append", default=[], metavar="FILE", help="also copied to /passthru")
    parser.add_argument("--out", metavar="DIR", help="where the guest's /out goes")
    parser.add_argument("--leaks", action="store_true", help="debug: judge leaks at the end (slower: every allocation is followed)")
    parser.add_argument("--nic", type=int, default=0, metavar="N", help="virtio NICs, on a hub of their own")
    parser.add_argument("--qemu", action="append", default=[], metavar="ARG", help="passed on to QEMU")
    parser.add_argument("--append", default="", metavar="WORDS", help="more of the kernel's command line")
    parser.add_argument("--console", metavar="FILE", help="keep the kernel's log there")
    parser.add_argument("--boot", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--image", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--tree", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--top", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--accel", required=True, help=argparse.SUPPRESS)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    args = parser.parse_args()
    if args.command[:1] == ["--"]:
        args.command = args.command[1:]
    if not args.command:
        parser.error("no command given")
    if args.icount:
        args.cpus = 1
    return args


def checkout_files(top):
    """What git would clone, as it stands in the work tree, and what was built."""
    listing = subprocess.run(
        ["git", "-c", "safe.directory=*", "-C", top, "ls-files", "-coz", "--exclude-standard"],
        capture_output=True, check=False,
    )
    if listing.returncode == 0:
        names = [os.fsdecode(n) for n in listing.stdout.split(b"\0") if n]
    else:  # a source archive without git
        names = [
            os.path.relpath(os.path.join(d, f), top)
            for d, _, files in os.walk(top) for f in files if not d.startswith(os.path.join(top, "build"))
        ]
    return [n for n in names if os.path.lexists(os.path.join(top, n))]


def built_files(top, lab):
    """The module of this lab, the plugin and the helpers of benchmarks. Not what else lies
    in their folders: others may be building there, and take away what they made for it."""
    names = (f"{lab}/passthru.ko", "iproute2/link_passthru.so", "bench/load", "bench/redirect.o")
    return [n for n in (f"build/{name}" for name in names) if os.path.exists(os.path.join(top, n))]


def environment(args):
    env = {
        "LAB": args.lab,
        "PASSTHRU_KO": f"/passthru/build/{args.lab}/passthru.ko",
        "IP_LIB_DIR": "/passthru/build/iproute2",
        "OUT": "/out",
        "LAB_LEAKS": "1" if args.leaks else "",
    }
    for name, value in os.environ.items():
        if name.startswith("PASSTHRU_TEST_"):
            env[name] = value
    return "".join(f"{k}={shlex.quote(v)}\n" for k, v in env.items())


def make_input(args, path):
    """The input disk: a tar of the checkout, the built files and the command."""
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        def reset(info):
            info.uid = info.gid = 0
            info.uname = info.gname = "root"
            return info

        for name in [*checkout_files(args.top), *built_files(args.top, args.lab)]:
            # Who works in the checkout may have taken a file away since it was listed, or may put
            # another one in its place: it is opened once.
            with contextlib.suppress(FileNotFoundError), open(os.path.join(args.top, name), "rb") as file:
                tar.addfile(reset(tar.gettarinfo(arcname=os.path.join("passthru", name), fileobj=file)), file)
        if args.lab != "stock":
            for name in ("modules.builtin", "modules.builtin.modinfo"):
                tar.add(os.path.join(args.tree, name), os.path.join("lab", name), filter=reset)
        for name in args.files:
            tar.add(name, os.path.join("passthru", os.path.basename(name.rstrip("/"))), filter=reset)
        scratch = os.path.dirname(path)
        for name, text in (("env", environment(args)), ("command", shlex.join(args.command) + "\n")):
            with open(os.path.join(scratch, name), "w") as file:
                file.write(text)
            tar.add(os.path.join(scratch, name), os.path.join("lab", name), filter=reset)
        tar.add(os.path.join(args.top, "scripts/guest/start"), "lab/start", filter=reset)


def stock_kernel(args):
    """The stock kernel, unpacked already where that takes an emulated processor long."""
    unpacked = f"{args.boot}/vmlinux"
    if (args.icount or args.accel != "kvm") and os.path.exists(unpacked):
        return unpacked
    return f"{args.boot}/vmlinuz"


def qemu_command(args, scratch):
    cmd = ["qemu-system-x86_64", "-nodefaults", "-display", "none", "-no-reboot", "-m", str(args.mem),
           "-machine", "q35", "-smp", str(args.cpus)]
    if args.icount:
        # One thread, one clock, one seed: the same run at every run.
        cmd += ["-accel", "tcg,thread=single", "-icount", "shift=0,sleep=off",
                "-seed", "1", "-rtc", "base=2026-01-01,clock=vm", "-cpu", "max"]
    elif args.accel == "kvm":
        cmd += ["-accel", "kvm", "-cpu", "host"]
    else:
        # Without five levels of page tables: a walk is shorter, and a kernel that
        # reads its CPU's features anew at boot takes KASAN's shadow of five levels
        # for one of four until it is done, if an interrupt comes just then.
        cmd += ["-accel", "tcg", "-cpu", "max,la57=off"]
    # The timer works: a kernel that counts its ticks while the machine is busy finds
    # too few, tries other timers, and may stand still with one of them. And the clock
    # goes on where a busy machine does not let the emulator run for half a minute.
    # With --icount time jumps to the next timer while the guest waits for a disk, which may be long
    # for tasks that wait, too.
    hung = " sysctl.kernel.hung_task_timeout_secs=0" if args.icount else ""
    words = ("console=ttyS0 panic=-1 quiet net.ifnames=0 no_timer_check watchdog_thresh=30 "
             f"rcupdate.rcu_cpu_stall_timeout=90{hung} {args.append}")
    if args.lab == "debug":
        cmd += ["-kernel", f"{args.tree}/arch/x86/boot/bzImage"]
        # Without kasan_multi_shot a report of the kernel's own boot would be
        # the last one.
        words += f" root=/dev/vda rw init=/init kasan_multi_shot {BUILT_IN}"
        if not args.leaks:
            words += " kmemleak=off"
    else:
        cmd += ["-kernel", stock_kernel(args), "-initrd", f"{args.boot}/initrd.img"]
    cmd += ["-append", words, "-serial", f"file:{scratch}/console"]
    cmd += ["-device", "virtio-serial-pci", "-chardev", "stdio,id=out,signal=off",
            "-device", "virtserialport,chardev=out,name=out"]
    for name, options in ((args.image, "snapshot=on"), (f"{scratch}/in.tar", "readonly=on"), (f"{scratch}/out.tar", "")):
        # No locks: the image is only read, by other labs at the same time too.
        cmd += ["-drive", f"file.filename={name},file.locking=off,if=virtio,format=raw,cache=unsafe,{options}".rstrip(",")]
    if args.nic:
        # A hub of their own: the NICs reach each other and no one else. The
        # stack behind it leads nowhere either, but a hub on which nobody
        # listens would not take what one NIC sends.
        cmd += ["-netdev", "user,id=sink,restrict=on", "-netdev", "hubport,id=end,hubid=0,netdev=sink"]
    for i in range(args.nic):
        cmd += ["-netdev", f"hubport,id=nic{i},hubid=0", "-device", f"virtio-net-pci,netdev=nic{i}"]
    return cmd + args.qemu


def uml_command(args, scratch):
    return [f"{args.tree}/linux", f"mem={args.mem}M", "seccomp=on", f"ncpus={args.cpus}",
            f"ubd0={scratch}/cow,{args.image}", f"ubd1r={scratch}/in.tar", f"ubd2={scratch}/out.tar",
            "root=/dev/ubda", "rootfstype=ext4", "rw", "init=/init", "quiet", "panic=-1",
            f"uml_dir={scratch}/", *BUILT_IN.split(), "console=tty0", f"con0=null,fd:{args.console_fd}", "con1=null,fd:1", "con=null",
            *shlex.split(args.append)]


def pump(process, console, boot_deadline, timeout):
    """Pass the command's output on until the guest ends. Whether it did in time, and
    came as far as its command in time; and whether there was any output."""
    selector = selectors.DefaultSelector()
    selector.register(process.stdout, selectors.EVENT_READ)
    started, heard, deadline = False, False, boot_deadline
    while True:
        if not started and has_started(console):
            started, deadline = True, time.monotonic() + timeout
        if not started and given_up(console):
            return False, heard
        left = deadline - time.monotonic()
        if left <= 0:
            return False, heard
        if not selector.select(left if started else min(left, 1)):
            continue
        data = os.read(process.stdout.fileno(), 65536)
        if not data:
            break
        heard = True
        os.write(1, data)
    try:
        process.wait(max(1, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        return False, heard
    return True, heard


def has_started(console):
    """Whether the guest has begun its command."""
    with open(console, errors="replace") as file:
        return START in file.read()


def given_up(console):
    """Whether KVM could not go on: it stands still then, and would at each boot."""
    with open(console, errors="replace") as file:
        return GIVEN_UP in file.read()


def time_left():
    """Seconds until the time that is set for all guests together."""
    return float(os.environ.get("PASSTHRU_END") or "inf") - time.time()


def boot(args, scratch):
    """Boot once. Returns how that ended ("ended", "hung", "crashed": the emulator), the
    console, and whether the command said anything."""
    with open(f"{scratch}/console", "wb") as console:
        args.console_fd = console.fileno()
        command = uml_command(args, scratch) if args.lab == "uml" else qemu_command(args, scratch)
        # Standard input stays open and silent: at its end QEMU would take the
        # command's stream for closed.
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=console,
            pass_fds=[console.fileno()], start_new_session=True,
            env={**os.environ, "TMPDIR": scratch},
        )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    timeout = min(args.timeout * SLOWER[args.lab], time_left())
    boot_deadline = time.monotonic() + min(args.boot_timeout * SLOWER[args.lab], time_left())
    try:
        ended, heard = pump(process, f"{scratch}/console", boot_deadline, timeout)
        crashed = ended and args.lab != "uml" and process.returncode < 0
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    with open(f"{scratch}/console", errors="replace") as file:
        return "crashed" if crashed else "ended" if ended else "hung", file.read(), heard


def boot_until_it_starts(args, scratch):
    """Boot, again if nothing of the command ran, which is said. How it ended and the console.

    Emulators have bugs of their own: a rare one is in MSI-X set-up, and of some
    thousand guests one stands still or panics before it has a first process. No
    module of ours is in it by then, so what we do cannot be a reason for it. Nor
    for what is EMULATED; as long as nothing was said, nothing is said twice."""
    for attempt in range(1, BOOTS + 1):
        outcome, console, heard = boot(args, scratch)
        begun = START in console and (heard or not EMULATED.search(console))
        if begun or GIVEN_UP in console or attempt == BOOTS or time_left() <= 0:
            break
        why = {"crashed": "the emulator crashed", "ended": "the guest died", "hung": "the guest stood still"}[outcome]
        print(f"lab: {why} before the command {'said anything' if START in console else 'began'}; once more:", *console.splitlines()[-30:], sep="\n", file=sys.stderr)
    return outcome, console


def take_output(scratch, out):
    """Unpack what the guest left. Returns its exit status, or None, its log, and what
    its kernel's checkers said, None where there was none."""
    files = os.path.join(scratch, "files")
    os.mkdir(files)
    try:
        with tarfile.open(f"{scratch}/out.tar", "r:") as tar:
            tar.extractall(files, filter="tar")
        with open(f"{files}/.status") as file:
            status = int(file.read())
    except (tarfile.TarError, OSError, ValueError):
        status = None
    texts = {}
    for name in (".dmesg", ".kmemleak", ".lockdep"):
        try:
            with open(f"{files}/{name}", errors="replace") as file:
                texts[name] = file.read()
        except OSError:
            texts[name] = None
    if out:
        os.makedirs(out, exist_ok=True)
        for name in os.listdir(files):
            if not name.startswith("."):
                target = os.path.join(out, name)
                if os.path.isdir(target) and not os.path.islink(target):
                    shutil.rmtree(target)
                shutil.move(os.path.join(files, name), target)
    return status, texts[".dmesg"] or "", texts[".kmemleak"], texts[".lockdep"]


def off_duty(args, kmemleak, lockdep):
    """Which of the debug kernel's checkers gave up: those find nothing any more."""
    if args.lab != "debug":
        return
    if args.leaks and kmemleak is None:
        yield "kmemleak: did not judge"
    if not re.search(r"debug_locks: +1$", lockdep or "", re.M):
        yield "lockdep: is off"


def complaints(console, dmesg, kmemleak):
    """The first lines of what the kernel complained of while the command ran."""
    _, started, after = console.partition(START)
    text = after if started else console
    if START in dmesg:
        text += dmesg.partition(START)[2]
    found = [line.strip() for line in text.splitlines() if SPLATS.search(line)]
    if kmemleak and "unreferenced object" in kmemleak:
        found.append("kmemleak: unreferenced objects:\n" + kmemleak[:4000])
    return list(dict.fromkeys(found))


def excerpt(found, text):
    """What the kernel complained of, and how its log goes on after the first of it."""
    lines = [line for one in found[:10] for line in one.splitlines()]
    log = [line.strip() for line in text.splitlines()]
    if found[0] in log:
        at = log.index(found[0])
        lines += ["its log goes on:", *log[at + 1:at + 25]]
    return lines


def is_emulators(complaint, text, args):
    """Whether that is what no kernel does where its CPU is a real one: the breakpoint that was met is
    there no more. One that still is (cc) stands between functions, and who jumps there is at fault."""
    code = re.search(r"Code: .*?([0-9a-f]{2}) <", text.partition(complaint)[2])
    return args.lab != "uml" and args.accel != "kvm" and bool(EMULATED.search(complaint) and code and code[1] != "cc")


def head_of(args):
    """With which name lines begin that tell of the command: a test's, if it is one."""
    name = os.path.basename(args.command[0])
    return name if name.endswith(".t") else "lab"


def complain(head, *lines):
    """Say it, each line with a name: prove shows numbers only, and what stands in lines with that
    of a test is shown once more at the end of all."""
    print(*(f"{head}: {line}" for line in lines), sep="\n", file=sys.stderr)


def main():
    args = parse_args()
    with tempfile.TemporaryDirectory(prefix="guest-", dir="/tmp") as scratch:
        make_input(args, f"{scratch}/in.tar")
        with open(f"{scratch}/out.tar", "wb") as disk:
            disk.truncate(OUT_DISK_BYTES)
        outcome, console = boot_until_it_starts(args, scratch)
        status, dmesg, kmemleak, lockdep = take_output(scratch, args.out)
        if args.console:
            shutil.copyfile(f"{scratch}/console", args.console)
    found = complaints(console, dmesg, kmemleak)
    if outcome == "ended" and status is not None:
        found += off_duty(args, kmemleak, lockdep)
    if found:
        text = console if len(console) > len(dmesg) else dmesg
        emulators = is_emulators(found[0], text, args)
        # Of what is done again nothing is shown at the end.
        complain("lab" if emulators else head_of(args), "the kernel complained:", *excerpt(found, text))
        print("lab: its log ends:", *text.splitlines()[-150:], sep="\n", file=sys.stderr)
        return BREAKPOINT if emulators else SPLAT
    if outcome != "ended" or status is None:
        if outcome == "hung" and time_left() <= 0:
            print("lab: the guest was ended: there was no time left", file=sys.stderr)
            return NO_TIME
        if outcome != "hung":
            why = "died"
        elif START in console:
            why = f"was still running after {args.timeout * SLOWER[args.lab]:g} s and was ended"
        else:
            why = "did not come as far as its command"
        complain(head_of(args), f"the guest {why}; its console ends:", *console.splitlines()[-60:])
        return HUNG
    return status


if __name__ == "__main__":
    sys.exit(main())
