"""What is asked of the systems: one module each, with `run(bench) -> Section`."""
