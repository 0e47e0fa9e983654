"""`cop gaps`: the planner's questions in a terminal; `cop gaps-by-hour`: the same of files, without a service."""
