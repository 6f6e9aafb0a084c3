#!/bin/sh
# Make the passwords of compose.yaml, once. Their folder is readable by its owner only; MongoDB's
# own user, which has another number, must be able to read the two files that it is given.
set -eu
umask 077
cd "$(dirname "$0")"
mkdir -p secrets
random() { python3 -c 'import secrets; print(secrets.token_hex(24))'; }
for name in database_root database_password dashboard_password; do
    test -s "secrets/$name" || random >"secrets/$name"
done
printf 'mongodb://pyrite:%s@database:27017/pyrite\n' "$(cat secrets/database_password)" \
    >secrets/database_uri
chmod 644 secrets/database_root secrets/database_password
echo "The dashboard's password is in $(pwd)/secrets/dashboard_password."
