#!/bin/sh
# Debian says remove, rpm says 0, when the package goes and does not come again.
set -e
case "$1" in
remove | 0)
	if [ -d /run/systemd/system ]; then
		systemctl disable --now mmsync.service mmsync-sync.timer mmsync-sync.service
	fi
	;;
esac
