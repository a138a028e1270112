#!/bin/sh
# Runs one suite: suite.sh SECONDS PROGRAM ARGS… One that has not ended by then tells what every process waits
# for, and is killed.
limit=$1
shift

tell() {
	echo "not ended after $limit s; what is there, and what it waits for:"
	for process in /proc/[0-9]*; do
		command=$(tr '\0' ' ' <"$process/cmdline")
		# Not the kernel's own threads.
		[ "$command" ] || continue
		echo "$(sed -n 's/^PPid:\t/child of /p' "$process/status") ${process#/proc/} $command"
		for task in "$process"/task/*; do
			echo "    ${task##*/} $(cat "$task/comm"), $(sed -n 's/^State:\t//p' "$task/status"):" \
				"$(sed 's/.*\] //; s/+.*//' "$task/stack" | head -n 6 | tr '\n' ' ')"
		done
	done 2>/dev/null
	grep -H . $(find /sys/fs/cgroup -name cgroup.events -o -name cgroup.procs) 2>/dev/null | head -n 60
}

# In the foreground: a shell has what it runs in the background ignore SIGINT.
running=/run/suite.pid
{
	sleep "$limit" &
	trap "kill $!; exit" TERM
	wait $!
	tell
	kill -KILL "$(cat $running)"
} &
watchdog=$!
sh -c 'echo $$ >"$0"; exec "$@"' $running "$@"
code=$?
kill $watchdog
wait $watchdog
# What a failed suite leaves behind is not the next one's business.
slice=/sys/fs/cgroup/ringfence.slice
if [ $code != 0 ] && [ -e $slice ]; then
	echo 1 >$slice/cgroup.kill
	sleep 1
	find $slice -depth -type d -exec rmdir {} +
fi
exit $code
