"""What can be done to a table: one module per verb, each a pure plan and a thin doing."""
