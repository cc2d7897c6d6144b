#!/bin/sh
# Run once by the image of PostgreSQL, on an empty volume: a database each for
# Mattermost and mmsync, of which neither can open the other's.
set -eu
for name in mattermost mmsync; do
	psql -v ON_ERROR_STOP=1 -U postgres -v name="$name" -v password="$(cat "/run/secrets/${name}_db_password")" <<-'SQL'
		create role :"name" login password :'password';
		create database :"name" owner :"name";
		revoke connect on database :"name" from public;
	SQL
done
