"""Everything that listens, talks or is run: the service, the command line, the client and the demo."""
