"""What is on the picture and who may see it: layers, their logs, hexes and the policy. No HTTP, no websocket."""
