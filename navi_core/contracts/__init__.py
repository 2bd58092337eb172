"""The contracts: what each kind of plugin implements, and what services see of the host."""
