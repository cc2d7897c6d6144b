#!/bin/sh
# Makes the secrets that compose.yaml names; what is there is left as it is. The files
# are readable by everybody inside of a directory that only its owner can enter, because
# the programs in the containers are other users.
set -eu
umask 022
cd "$(dirname "$0")"
mkdir -p secrets
chmod 0700 secrets
cd secrets
random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }
make() { # make FILE TEXT
	[ -e "$1" ] || printf '%s' "$2" >"$1"
}
for name in postgres_password mattermost_db_password mmsync_db_password bind_password; do
	make "$name" "$(random)"
done
make mmsync_state_url "postgres://mmsync:$(cat mmsync_db_password)@postgres/mmsync?sslmode=disable"
make mattermost.env "MM_SQLSETTINGS_DATASOURCE=postgres://mattermost:$(cat mattermost_db_password)@postgres/mattermost?sslmode=disable"
[ -e mattermost_token ] || : >mattermost_token # docs/deploy.md says where it comes from
