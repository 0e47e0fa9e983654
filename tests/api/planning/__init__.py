"""The planner's questions over HTTP and in the terminal, against the real service."""
