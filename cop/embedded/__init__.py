"""A private PostGIS cluster for one machine, which `cop.cli` opens in `COP_DATA_DIR` when no `COP_DATABASE_URL` is set.

It has a Unix socket and no TCP port. `cluster` runs it; `programs` finds the PostgreSQL it runs on, `account` says as
whom, `folders` where; `processes` is what they ask of the machine.
"""
