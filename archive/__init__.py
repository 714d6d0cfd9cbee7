"""What has been found: evaluations, elites, the grid, the cache and the store."""
