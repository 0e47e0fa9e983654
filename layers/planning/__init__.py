"""What planners ask of the picture: where nobody is, who overlaps, what breaks if a unit leaves, where to put the next.

`reading` and `history` fetch what an answer rests on; everything else is pure: a `Case` goes in, a `Coverage` is
loaded from it, and the questions are functions of that.
"""
