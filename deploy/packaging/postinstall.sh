#!/bin/sh
# The user and the state directory. Nothing is enabled or started: there is a
# configuration to be written first. On an upgrade a service that runs is restarted,
# unless the store has to be migrated, which a person does.
set -e
if command -v systemd-sysusers >/dev/null 2>&1; then
	systemd-sysusers /usr/lib/sysusers.d/mmsync.conf
elif ! getent passwd mmsync >/dev/null; then
	useradd --system --home-dir /var/lib/mmsync --shell /usr/sbin/nologin --user-group mmsync
fi
install -d -o mmsync -g mmsync -m 0700 /var/lib/mmsync
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
	systemctl try-restart mmsync.service || true # what is wrong is in its log
fi
