"""The learner of several processes and devices, on Hugging Face Accelerate."""
