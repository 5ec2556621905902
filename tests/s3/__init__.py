"""S3 servers on this machine, for tests."""
