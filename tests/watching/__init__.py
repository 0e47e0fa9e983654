"""Following the stream: the fold alone, and the whole of it over real sockets."""
