"""The planner's desk: questions as they come over the wire, settled against the policy, worked out, and answered."""
