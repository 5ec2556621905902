"""SQL text in, a relation out."""
