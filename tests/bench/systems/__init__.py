"""How each system does what the workloads ask: one module each, all with the verbs of `base.System`."""
