"""What must hold when something dies: real processes are killed, stopped, starved and replaced under load."""
