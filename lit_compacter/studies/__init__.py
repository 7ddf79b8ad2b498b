"""Studies: grids of runs, from a YAML file to finished cells."""
