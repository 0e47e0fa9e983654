"""The layers against a real PostGIS, and the private cluster itself."""
