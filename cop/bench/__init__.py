"""`cop bench live`: a load of publishers and viewers against a running service, and what it says of lag and loss.

`command` is the words of the command line; it hands a `Plan` to `run`, which lets `publishing` drive a `fleet` and
`crew` processes hold the sockets of the viewers; what those recorded is judged by `judging` when all is over.
"""
