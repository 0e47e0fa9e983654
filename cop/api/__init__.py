"""HTTP: one router a file, each parses, calls one function and shapes the answer."""
