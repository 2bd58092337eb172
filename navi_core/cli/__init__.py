"""The command line: arguments become a configuration and a host, nothing else."""
