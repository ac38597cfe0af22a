"""A ledger in SQLite: add NAME COUNT, show, dump.  The file is /data/ledger.db."""

import sqlite3
import sys

with sqlite3.connect("/data/ledger.db", timeout=30) as database:
    database.execute("CREATE TABLE IF NOT EXISTS entry (name TEXT, count INTEGER)")
    verb, *words = sys.argv[1:]
    if verb == "add":
        name, count = words
        database.execute("INSERT INTO entry VALUES (?, ?)", (name, int(count)))
    elif verb == "show":
        rows = "SELECT name, sum(count) FROM entry GROUP BY name ORDER BY name"
        for name, total in database.execute(rows):
            print(f"{name:8} {total:4}")
    elif verb == "dump":
        print("\n".join(database.iterdump()))
