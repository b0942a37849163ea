"""The vector environment: many simulated curricula stepped together by compiled kernels."""
