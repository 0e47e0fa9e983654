"""The suite: unit/ needs no database, db/ and api/ run against a real PostGIS, e2e/ in Chromium, bench/ measures."""
