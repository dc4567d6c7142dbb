"""Python runs this at its start where this folder is in PYTHONPATH: every process of a rehearsal, workers too."""

from tools.gpu_check.pretended.importing import pretend_gpu

pretend_gpu()
