"""Trained networks on processors: exported once as graphs, run by OpenVINO without PyTorch."""
