"""How programs are searched: configuration, the loop, executors, strategies, proposers, command line."""
