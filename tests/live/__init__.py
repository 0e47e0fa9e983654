"""Tests of the live stream: its rules alone, and the whole of it over real sockets and a real database."""
