"""The ground below: files, executors, registries, memory, devices and tensors."""
