#!/bin/sh
# Runs the command of `cargo xtask vm` and tells the host how it ended.
#
# Ports to the host, by number: 1 stdin, 2 stdout, 3 stderr, 4 control; hvc0 is the terminal.
# Control carries `ROWS COLS` lines to the guest and one `exit CODE` line to the host.
# $END_MARK is the last thing on every output stream: only then has the host seen all of it.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
lib=/usr/lib/xtask
. $lib/config # END_MARK, TERMINAL, ROWS, COLS, TERM

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
    mkdir -p $pipes
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
