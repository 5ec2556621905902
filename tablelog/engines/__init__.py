"""Other people's query engines: a scan plan in, their object out. The only place that names an engine's API."""
