"""The live stream: the picture in memory, who needs what of it, and what each viewer is still owed.

Only `pump` talks to the database and only `cop/api/live.py` to sockets; everything else is plain functions.
"""
