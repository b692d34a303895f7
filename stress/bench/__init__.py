"""`partway bench`: what a server costs, beside its peers in one run, and what a large table does."""
