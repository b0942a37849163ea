"""Features of candidates, paths and curricula that policies observe, and the kernels that compute them."""
