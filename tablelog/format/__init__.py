"""Values and their bytes: types, schemas, statistics, predicates, actions, commits, names. No I/O."""
