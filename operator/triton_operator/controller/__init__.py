"""The running operator: events in, reconciles out, start and stop, its own metrics, probes and logs."""
