"""``navi-host demo``: a small recap-like ranking model, its mapping files, requests, and a host that serves it."""
