"""Run NVIDIA Triton Inference Server on Kubernetes from one resource, InferenceService."""
