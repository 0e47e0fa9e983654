"""The live stream on real sockets."""
