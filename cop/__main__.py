"""`python -m cop` is `cop`."""

from cop.cli import main

main()
