"""Pictures of layers: vector tiles and what describes them. Knows the layers, and no HTTP."""
