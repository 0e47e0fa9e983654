"""Following the live stream from Python: the fold of its messages (pure), and the command that shows it."""
