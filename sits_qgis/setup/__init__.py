"""Makes the engine's Python environment: what the algorithm 'Set up engine' does."""
