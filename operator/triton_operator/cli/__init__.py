"""`kubectl triton`: what people see of their services, and what they ask for."""
