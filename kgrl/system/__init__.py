"""System: files, executors, registries, memory, devices, tensors, and the display of objects."""
