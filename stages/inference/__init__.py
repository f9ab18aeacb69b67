"""Inference on CPUs: trained networks are exported once as graphs and run by OpenVINO without PyTorch."""
