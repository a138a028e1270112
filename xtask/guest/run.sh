#!/bin/sh
# Runs the command of `cargo xtask vm` and tells the host how it ended.
#
# Ports to the host, by number: 1 stdin, 2 stdout, 3 stderr, 4 control; hvc0 is the terminal.
# Control carries `ROWS COLS` lines to the guest and, to the host, `start`, `alive` every few seconds, and `exit CODE`.
# $END_MARK is the last thing on every output stream: only then has the host seen all of it.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
lib=/usr/lib/xtask
. $lib/config # END_MARK, TERMINAL, HOLD_PATCHES, ROWS, COLS, TERM

# For emulators before QEMU 10, which now and then run the breakpoint of a code patch that is over (`Oops: int3`), as
# each CPU is a thread of its own. What makes the kernel patch itself while it is busy is done once, now, and kept.
hold_patches() {
    # Tracepoints that ringfence listens to: twice, as the code is patched too when a second listener comes or goes.
    # Names of tasks are not recorded for the same reason. Nobody reads the buffers.
    cd /sys/kernel/tracing || return
    echo 0 >options/record-cmd
    for keep in keep-1 keep-2; do
        mkdir instances/$keep
        for event in oom/mark_victim cgroup/cgroup_attach_task; do
            echo 1 >instances/$keep/events/$event/enable
        done
        echo 1 >instances/$keep/buffer_size_kb
    done
    # A first cgroup with CPUs, a quota, or the memory controller of its own (cpusets_enabled_key,
    # __cfs_bandwidth_used, memcg_kmem_online_key). In Debian, systemd's cgroups do the same.
    [ "$(cat /proc/1/comm)" = systemd ] && return
    cd /sys/fs/cgroup || return
    echo +cpu +cpuset +memory >cgroup.subtree_control
    mkdir keep
    echo 100000 >keep/cpu.max
    echo -memory >cgroup.subtree_control
}
if [ -n "$HOLD_PATCHES" ]; then (hold_patches); fi

port() {
    set -- /dev/vport*p"$1"
    echo "$1"
}
stdin=$(port 1) stdout=$(port 2) stderr=$(port 3) control=$(port 4)
terminal=/dev/hvc0
keep=" 1 $$ "

command() {
    exec 4>&-
    cd /root || exit 125
    exec env -i PATH="$PATH" HOME=/root TERM="$TERM" "$@" /bin/sh $lib/command
}

# What the command left running holds its output open: without this the streams would not end.
kill_leftovers() {
    for dir in /proc/[0-9]*; do
        case $keep in
        *" ${dir#/proc/} "*) ;;
        *) kill -9 "${dir#/proc/}" 2>/dev/null ;;
        esac
    done
}

exec 4<>"$control"
echo start >&4

# Tells that this guest is alive, also when its memory is full. One process that starts no others, so that tests which
# count processes find the same ones always; busybox, as its `read` knows a timeout.
mkdir -p /run/xtask
mkfifo /run/xtask/never
busybox sh -c 'echo -1000 >/proc/self/oom_score_adj
while :; do
    read -r -t 5 line <&5
    echo alive
done' heartbeat 5<>/run/xtask/never >&4 4>&- &
keep="$keep$! "
echo $! >/run/xtask/heartbeat.pid

if [ -n "$TERMINAL" ]; then
    exec 5<>$terminal # a terminal that nobody has open forgets its size
    stty -F $terminal sane rows "$ROWS" cols "$COLS"
    while read -r rows cols; do stty -F $terminal rows "$rows" cols "$cols"; done <&4 &
    (command setsid -c <>$terminal >&0 2>&1 5>&-)
    status=$?
    kill_leftovers
    # Opened only now: the end of its session has hung up every older descriptor of the terminal.
    printf "$END_MARK" >$terminal
else
    pipes=/run/xtask
    mkfifo $pipes/stdin $pipes/stdout $pipes/stderr
    cat <"$stdin" >$pipes/stdin 4>&- &
    cat <$pipes/stdout >"$stdout" 4>&- &
    keep="$keep$! " out=$!
    cat <$pipes/stderr >"$stderr" 4>&- &
    keep="$keep$! " err=$!
    (command <$pipes/stdin >$pipes/stdout 2>$pipes/stderr)
    status=$?
    kill_leftovers
    wait $out
    wait $err
    printf "$END_MARK" >"$stdout"
    printf "$END_MARK" >"$stderr"
fi
echo "exit $status" >&4
# The host ends the machine as soon as it has read that.
sleep 60
poweroff -f
