#!/bin/sh
# Run once, by the container of system A's database, when its data directory is empty.
set -eu
for file in customers system-a-cdc; do
  psql -v ON_ERROR_STOP=1 -v password="$DEBEZIUM_PASSWORD" -U "$POSTGRES_USER" -d "$POSTGRES_DB" -f "/system-a/$file.sql"
done
