"""A GPU that is not there: PyTorch's CUDA functions over the CPU, for rehearsals on a machine without a card.

PyTorch's own Python code for CUDA runs as it is, with all its checks of arguments; only the C functions below it are
replaced. Tensors "on cuda" are CPU tensors with a tag, so their values are real and their times mean nothing.
"""
