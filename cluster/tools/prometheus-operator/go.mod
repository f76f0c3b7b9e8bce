module example.invalid/tools/prometheus-operator

go 1.26.8

// Only the CustomResourceDefinitions are taken from it: nothing is built.
require github.com/prometheus-operator/prometheus-operator v0.85.0
