"""A briefing: the answer of an analysis to take into a meeting, as one HTML file that opens offline, or as a picture.

`facts` says in words and rows what was found, `basemap` reads the ground below it, `page` and `picture` draw both.
"""
