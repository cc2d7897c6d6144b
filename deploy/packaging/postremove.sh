#!/bin/sh
# The state stays, whatever is removed: without it nobody knows which accounts are
# whose. So does the user, whose files they are.
set -e
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
fi
if [ "$1" = purge ] && [ -d /var/lib/mmsync ]; then
	echo "mmsync: /var/lib/mmsync is kept: it says which accounts mmsync owns"
fi
